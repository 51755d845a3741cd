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
    op.create_table(
        "job_digest",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_digest_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_digest")),
    )


def downgrade() -> None:
    op.drop_table("job_digest")
    with op.batch_alter_table("certificate") as certificate:
        certificate.drop_column("p_upper")
    with op.batch_alter_table("shard") as shard:
        shard.drop_column("turn")
