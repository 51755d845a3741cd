"""indexes for lists, claims, sweeps and metrics that do not slow down with the number of jobs"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels: Any = None
depends_on: Any = None

WAITING = "state IN ('queued', 'running')"

REPLACED = (
    ("ix_job_state", "job", ("state",)),
    ("ix_job_dataset_id", "job", ("dataset_id",)),
    ("ix_job_checkpoint_id", "job", ("checkpoint_id",)),
    ("ix_dataset_tenant_id", "dataset", ("tenant_id",)),
    ("ix_checkpoint_tenant_id", "checkpoint", ("tenant_id",)),
)
"""Indexes whose columns are the first ones of a new index."""
NEW: tuple[tuple[str, str, tuple[str, ...], str | None], ...] = (
    ("ix_job_tenant_id_state_id", "job", ("tenant_id", "state", "id"), None),
    ("ix_job_tenant_id_kind_id", "job", ("tenant_id", "kind", "id"), None),
    ("ix_job_state_kind", "job", ("state", "kind"), None),
    ("ix_job_dataset_id_kind", "job", ("dataset_id", "kind"), None),
    ("ix_job_checkpoint_id_kind", "job", ("checkpoint_id", "kind"), None),
    ("ix_job_waiting", "job", ("tenant_id", "priority", "id"), f"{WAITING} AND kind != 'convert'"),
    ("ix_job_converting", "job", ("tenant_id", "priority", "id"), f"{WAITING} AND kind = 'convert'"),
    ("ix_job_state_deadline", "job", ("state", "deadline"), None),
    ("ix_job_urgent_state_finished", "job", ("state", "finished"), "priority >= 1000"),
    ("ix_job_urgent_tenant_id_id", "job", ("tenant_id", "id"), "priority >= 1000"),
    ("ix_shard_ready", "shard", ("job_id", "turn", "number"), "state = 'ready'"),
    ("ix_shard_resume", "shard", ("job_id",), "resume IS NOT NULL"),
    ("ix_upload_tenant_id_id", "upload", ("tenant_id", "id"), None),
    ("ix_upload_created", "upload", ("created",), None),
    ("ix_part_upload_created", "part_upload", ("created",), None),
    ("ix_dataset_tenant_id_id", "dataset", ("tenant_id", "id"), None),
    ("ix_checkpoint_tenant_id_id", "checkpoint", ("tenant_id", "id"), None),
    ("ix_idempotency_resource_id", "idempotency", ("resource_id",), None),
    ("ix_idempotency_created", "idempotency", ("created",), None),
)


def upgrade() -> None:
    for name, table, columns, condition in NEW:
        where = None if condition is None else sa.text(condition)
        op.create_index(name, table, list(columns), sqlite_where=where, postgresql_where=where)
    for name, table, _ in REPLACED:
        op.drop_index(name, table_name=table)


def downgrade() -> None:
    for name, table, replaced in REPLACED:
        op.create_index(name, table, list(replaced))
    for name, table, *_ in NEW:
        op.drop_index(name, table_name=table)
