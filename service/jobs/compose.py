"""Composing checkpoints: the parts that a request names must be the tenant's, ready, and go together. What is made of them is
the work of a conversion."""

from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.checkpoints.checkpoint_info import make_info
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.specs.composition import Mixed
from radii.rs_core.specs.jobs import dump_spec
from radii.service.kinds.planned_job import ready
from radii.service.schemas.requests import Compose
from radii.worker.store.models.tables import Checkpoint


def source(session: Session, tenant_id: str, wanted: Compose) -> dict[str, Any]:
    """What the conversion is made from: the composition and its parts, each by its row and its file. Raises the problem where
    a part is not there, not ready, or does not fit the others."""
    rows = [ready(session, Checkpoint, tenant_id, part, "compose.parts") for part in wanted.parts]
    body = dump_spec(wanted)
    del body["parts"]
    composition = Mixed(**body) if wanted.kind == "mixed" else wanted
    facts(composition, [make_info(row.id, row.record) for row in rows])
    return {"compose": body, "parts": [{"id": row.id, "sha256": row.sha256} for row in rows]}
