"""what evaluations find, input by input"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels: Any = None
depends_on: Any = None


JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
JOB = sa.table(
    "job",
    *(sa.column(name) for name in ("id", "kind", "needs_id", "priority", "dataset_id")),
    sa.column("spec", JSON),
)
DATASET = sa.table("dataset", sa.column("id"), sa.column("state"))
OF_A_JOB = (
    "certificate",
    "epoch_metric",
    "evaluation",
    "event",
    "job_digest",
    "job_summary",
    "prediction",
    "sample_progress",
    "shard",
)
HIGHEST = 100
"""The highest priority that can be asked for; above are the jobs that somebody waits for."""


def upgrade() -> None:
    op.create_table(
        "evaluation",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.BigInteger(), nullable=False),
        sa.Column("found", JSON, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=False),
        sa.Column("batch_size", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_evaluation_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "index", name=op.f("pk_evaluation")),
    )


def downgrade() -> None:
    """The older version reads neither evaluations nor requests for predictions, with the images that came with these: both are
    deleted with all that is theirs."""
    attached = sa.select(DATASET.c.id).where(DATASET.c.state == "attached")
    unknown = (JOB.c.kind == "evaluate") | (JOB.c.priority > HIGHEST) | JOB.c.dataset_id.in_(attached)
    _delete_jobs(sa.select(JOB.c.id).where(unknown))
    op.execute(DATASET.delete().where(DATASET.c.state == "attached"))
    op.drop_table("evaluation")


def _delete_jobs(chosen: "sa.Select[Any]") -> None:
    """Deletes jobs, their audits, and all rows that name them: SQLite follows no foreign key while it is migrated."""
    audits = sa.select(JOB.c.id).where(JOB.c.kind == "verify", JOB.c.spec["job"].as_string().in_(chosen))
    gone = [row.id for row in op.get_bind().execute(chosen.union(audits))]
    for first in range(0, len(gone), 500):
        some = gone[first : first + 500]
        op.execute(JOB.update().where(JOB.c.needs_id.in_(some)).values(needs_id=None))
        for name, column in [*((table, "job_id") for table in OF_A_JOB), ("idempotency", "resource_id"), ("job", "id")]:
            table = sa.table(name, sa.column(column))
            op.execute(table.delete().where(table.c[column].in_(some)))
