"""certificates that grow, turn by turn, and bounds of two classes"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels: Any = None
depends_on: Any = None


def upgrade() -> None:
    with op.batch_alter_table("shard") as shard:
        shard.add_column(sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("certificate") as certificate:
        certificate.add_column(sa.Column("p_upper", sa.Float(53), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("certificate") as certificate:
        certificate.drop_column("p_upper")
    with op.batch_alter_table("shard") as shard:
        shard.drop_column("turn")
