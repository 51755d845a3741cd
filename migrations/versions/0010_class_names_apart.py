"""class names in columns of their own, the files of conversions in a table, and the bytes that rows are charged for"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels: Any = None
depends_on: Any = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
ACTIVE = ("queued", "running", "cancelling")
MEASURED = {
    "job": ("spec",),
    "dataset": ("source", "class_names"),
    "checkpoint": ("source", "class_names", "info"),
}
"""Columns whose bytes a row of each table is charged for."""

job = sa.table(
    "job", sa.column("id"), sa.column("kind"), sa.column("state"), sa.column("spec", JSON), sa.column("dataset_id")
)
dataset = sa.table("dataset", sa.column("id"), sa.column("state"), sa.column("class_names", JSON))
checkpoint = sa.table("checkpoint", sa.column("id"), sa.column("info", JSON), sa.column("class_names", JSON))
conversion_file = sa.table("conversion_file", sa.column("job_id"), sa.column("sha256"))


def upgrade() -> None:
    op.create_table(
        "conversion_file",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_conversion_file_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "sha256", name=op.f("pk_conversion_file")),
    )
    op.create_index("ix_conversion_file_sha256", "conversion_file", ["sha256"])
    op.add_column("checkpoint", sa.Column("class_names", JSON, nullable=True))
    for table in MEASURED:
        op.add_column(table, sa.Column("stored", sa.BigInteger(), server_default="0", nullable=False))
        op.create_index(f"ix_{table}_tenant_id_stored", table, ["tenant_id", "stored"])
    bind = op.get_bind()
    for job_id in _ids(bind, job, job.c.kind == "convert"):
        _move_names_of_conversion(bind, job_id)
    for checkpoint_id in _ids(bind, checkpoint, checkpoint.c.info.is_not(None)):
        _move_names_of_checkpoint(bind, checkpoint_id)
    for table, columns in MEASURED.items():
        size = " + ".join(f"coalesce(length(CAST({column} AS TEXT)), 0)" for column in columns)
        op.execute(f"UPDATE {table} SET stored = {size}")


def downgrade() -> None:
    bind = op.get_bind()
    for job_id in _ids(bind, job, (job.c.kind == "convert") & job.c.state.in_(ACTIVE)):
        _put_names_back(bind, job_id)
    for checkpoint_id in _ids(bind, checkpoint, checkpoint.c.class_names.is_not(None)):
        row = bind.execute(sa.select(checkpoint).where(checkpoint.c.id == checkpoint_id)).one()
        info = (row.info or {}) | {"class_names": row.class_names}
        bind.execute(sa.update(checkpoint).where(checkpoint.c.id == checkpoint_id).values(info=info))
    for table in MEASURED:
        op.drop_index(f"ix_{table}_tenant_id_stored", table_name=table)
        op.drop_column(table, "stored")
    op.drop_column("checkpoint", "class_names")
    op.drop_table("conversion_file")


def _ids(bind: sa.Connection, table: sa.TableClause, condition: sa.ColumnElement[bool]) -> list[str]:
    """One row at a time is loaded later: each may hold megabytes."""
    return list(bind.scalars(sa.select(table.c.id).where(condition)))


def _move_names_of_conversion(bind: sa.Connection, job_id: str) -> None:
    row = bind.execute(sa.select(job).where(job.c.id == job_id)).one()
    source = dict(row.spec.get("source") or {})
    names = source.pop("class_names", None)
    if names is not None and row.dataset_id is not None:
        pending = (dataset.c.id == row.dataset_id) & (dataset.c.state == "pending")
        bind.execute(sa.update(dataset).where(pending).values(class_names=names))
    if "source" in row.spec:
        bind.execute(sa.update(job).where(job.c.id == job_id).values(spec=row.spec | {"source": source}))
    if row.state in ACTIVE:
        for sha256 in {file["sha256"] for kind in ("files", "parts") for file in source.get(kind) or []}:
            bind.execute(sa.insert(conversion_file).values(job_id=job_id, sha256=sha256))


def _move_names_of_checkpoint(bind: sa.Connection, checkpoint_id: str) -> None:
    info = dict(bind.scalar(sa.select(checkpoint.c.info).where(checkpoint.c.id == checkpoint_id)) or {})
    if "class_names" in info:
        names = info.pop("class_names") or None
        row = sa.update(checkpoint).where(checkpoint.c.id == checkpoint_id)
        bind.execute(row.values(info=info, class_names=names))


def _put_names_back(bind: sa.Connection, job_id: str) -> None:
    row = bind.execute(sa.select(job).where(job.c.id == job_id)).one()
    names = bind.scalar(sa.select(dataset.c.class_names).where(dataset.c.id == row.dataset_id))
    if names is not None:
        spec = row.spec | {"source": (row.spec.get("source") or {}) | {"class_names": names}}
        bind.execute(sa.update(job).where(job.c.id == job_id).values(spec=spec))
