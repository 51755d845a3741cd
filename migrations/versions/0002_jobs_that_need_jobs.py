"""jobs that need jobs, and certifications during training"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels: Any = None
depends_on: Any = None


def Json() -> Any:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("needs_id", sa.String(length=40), nullable=True))
        job.add_column(sa.Column("auto", sa.Boolean(), nullable=False, server_default=sa.false()))
        job.add_column(sa.Column("content_key", sa.String(length=64), nullable=True))
        job.create_foreign_key(op.f("fk_job_needs_id_job"), "job", ["needs_id"], ["id"])
        job.create_index(op.f("ix_job_needs_id"), ["needs_id"])
        job.create_index("ix_job_tenant_id_content_key", ["tenant_id", "content_key"])
    with op.batch_alter_table("epoch_metric") as epoch_metric:
        epoch_metric.add_column(sa.Column("certification", Json(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("epoch_metric") as epoch_metric:
        epoch_metric.drop_column("certification")
    with op.batch_alter_table("job") as job:
        job.drop_index("ix_job_tenant_id_content_key")
        job.drop_index(op.f("ix_job_needs_id"))
        job.drop_constraint(op.f("fk_job_needs_id_job"), type_="foreignkey")
        job.drop_column("content_key")
        job.drop_column("auto")
        job.drop_column("needs_id")
