"""certificates of a mix, with the standard classifier's probabilities as evidence"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels: Any = None
depends_on: Any = None


JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
JOB = sa.table("job", sa.column("id"), sa.column("kind"), sa.column("needs_id"), sa.column("spec", JSON))
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


def upgrade() -> None:
    with op.batch_alter_table("certificate") as certificate:
        certificate.add_column(sa.Column("standard", JSON, nullable=True))


def downgrade() -> None:
    """The older version reads neither jobs with ``bound = mixed``, which are deleted with all that is theirs, nor the field
    ``robust_weight``, which the other certifications have without a value."""
    mixed = sa.select(JOB.c.id).where(JOB.c.kind == "certify", JOB.c.spec["bound"].as_string() == "mixed")
    _delete_jobs(mixed)
    postgres = op.get_bind().dialect.name == "postgresql"
    without = "spec - 'robust_weight'" if postgres else "json_remove(spec, '$.robust_weight')"
    op.execute(JOB.update().where(JOB.c.kind == "certify").values(spec=sa.text(without)))
    with op.batch_alter_table("certificate") as certificate:
        certificate.drop_column("standard")


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
