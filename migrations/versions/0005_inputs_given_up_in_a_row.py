"""inputs that are given up one after the other"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels: Any = None
depends_on: Any = None


def upgrade() -> None:
    with op.batch_alter_table("job_summary") as summary:
        summary.add_column(sa.Column("given_up", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("job_summary") as summary:
        summary.drop_column("given_up")
