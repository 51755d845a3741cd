"""deadlines and admission, uploads in parts, batches that memory forced, counters of losses"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels: Any = None
depends_on: Any = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("deadline", sa.Float(53), nullable=True))
        job.add_column(sa.Column("ends_as", sa.String(length=16), nullable=True))
        job.add_column(sa.Column("estimated_seconds", sa.Float(53), nullable=False, server_default="0"))
    with op.batch_alter_table("dataset") as dataset:
        dataset.add_column(sa.Column("eight_bit", sa.Boolean(), nullable=True))
    for results in ("certificate", "prediction", "sample_progress"):
        with op.batch_alter_table(results) as table:
            table.add_column(sa.Column("batch_size", sa.BigInteger(), nullable=True))
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "part_upload",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("upload_id", sa.String(length=40), nullable=True),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_part_upload_tenant_id_tenant")),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["upload.id"], name=op.f("fk_part_upload_upload_id_upload"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_upload")),
    )
    op.create_index(op.f("ix_part_upload_tenant_id"), "part_upload", ["tenant_id"])
    op.create_index(op.f("ix_part_upload_upload_id"), "part_upload", ["upload_id"])
    op.create_table(
        "part",
        sa.Column("part_upload_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["part_upload_id"],
            ["part_upload.id"],
            name=op.f("fk_part_part_upload_id_part_upload"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("part_upload_id", "number", name=op.f("pk_part")),
    )


def downgrade() -> None:
    op.drop_table("part")
    op.drop_table("part_upload")
    op.drop_table("counter")
    for results in ("sample_progress", "prediction", "certificate"):
        with op.batch_alter_table(results) as table:
            table.drop_column("batch_size")
    with op.batch_alter_table("dataset") as dataset:
        dataset.drop_column("eight_bit")
    with op.batch_alter_table("job") as job:
        for column in ("estimated_seconds", "ends_as", "deadline"):
            job.drop_column(column)
