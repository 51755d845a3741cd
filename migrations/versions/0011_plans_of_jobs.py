"""what planning has chosen for a job in a column of its own, and specifications that hold only what was asked for"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels: Any = None
depends_on: Any = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
MOVED = {"verify": ("audit", ("chosen", "certify", "execution")), "convert": ("conversion", ("output_bytes",))}
"""By kind of job: the kind of its plan, and the fields that were in the specification."""
RESOLVED = ("sigma", "robust_weight")

job = sa.table("job", sa.column("id"), sa.column("kind"), sa.column("spec", JSON), sa.column("plan", JSON))


def upgrade() -> None:
    op.add_column("job", sa.Column("plan", JSON, nullable=True))
    bind = op.get_bind()
    for job_id in _ids(bind, job.c.kind.in_(MOVED)):
        _move_out(bind, job_id)


def downgrade() -> None:
    bind = op.get_bind()
    for job_id in _ids(bind, job.c.plan.is_not(None)):
        _put_back(bind, job_id)
    op.drop_column("job", "plan")


def _ids(bind: sa.Connection, condition: sa.ColumnElement[bool]) -> list[str]:
    """One row at a time is loaded later: each may hold megabytes."""
    return list(bind.scalars(sa.select(job.c.id).where(condition)))


def _move_out(bind: sa.Connection, job_id: str) -> None:
    row = bind.execute(sa.select(job).where(job.c.id == job_id)).one()
    plan_kind, fields = MOVED[row.kind]
    moved = {name: row.spec[name] for name in fields if name in row.spec}
    if moved:
        spec = {name: value for name, value in row.spec.items() if name not in moved}
        plan = {"kind": plan_kind, **moved}
        bind.execute(sa.update(job).where(job.c.id == job_id).values(spec=spec, plan=plan))


def _put_back(bind: sa.Connection, job_id: str) -> None:
    row = bind.execute(sa.select(job).where(job.c.id == job_id)).one()
    known = RESOLVED if row.plan["kind"] == "noise" else row.plan.keys() - {"kind"}
    found = {name: row.plan[name] for name in known if name in row.plan and (name in row.spec or name not in RESOLVED)}
    bind.execute(sa.update(job).where(job.c.id == job_id).values(spec=row.spec | found))
