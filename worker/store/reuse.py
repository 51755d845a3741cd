"""What a job computes, as one word, so that work that others need is done once and found again.

A content key is a hash over everything that determines the result: the specification without the names of things, and
the content of those things. Equal keys mean equal work, whoever asked for it. Functions take a session and never commit.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from rs_core.spec import dump_spec
from worker.store import jobs
from worker.store.tables import Checkpoint, Dataset, Job, JobSummary

NAMES = ("dataset", "test_dataset", "checkpoint", "start_from")
NAMES_OF_METHOD = ("soft_labels", "soft_label_checkpoint")
WITHOUT_EFFECT = ("loader_processes",)


def content_key(spec: Any, things: Mapping[str, str | None]) -> str:
    """The key of a specification whose names stand for ``things``, by role: hashes of their content."""
    body = dump_spec(spec)
    kept = {name: value for name, value in body.items() if name not in (*NAMES, *WITHOUT_EFFECT)}
    if "method" in kept:
        kept["method"] = {name: value for name, value in kept["method"].items() if name not in NAMES_OF_METHOD}
    known = {role: content for role, content in things.items() if content is not None}
    return hashlib.sha256(json.dumps([kept, known], sort_keys=True).encode()).hexdigest()


def content_of(row: Dataset | Checkpoint | None) -> str | None:
    """What a data set or a checkpoint holds, as a word; of one that is not ready, its identifier."""
    if row is None:
        return None
    return (row.content_hash if isinstance(row, Dataset) else None) or row.sha256 or row.id


def find(session: Session, tenant_id: str, kind: str, key: str, checkpoint_id: str | None = None) -> Job | None:
    """The tenant's train or soft_labels job of that key that has succeeded, or else one that may yet.

    A job whose checkpoint is gone is not found, nor one that left an input without votes.
    """
    conditions = [Job.checkpoint_id == checkpoint_id] if checkpoint_id is not None else []
    query = (
        select(Job)
        .join(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.kind == kind,
            Job.content_key == key,
            Job.state.in_((jobs.QUEUED, jobs.RUNNING, jobs.SUCCEEDED)),
            Checkpoint.state.in_(("pending", "ready")),
            JobSummary.errors == 0,
            *conditions,
        )
        .order_by(case((Job.state == jobs.SUCCEEDED, 0), else_=1), Job.id)
    )
    return session.scalars(query.limit(1)).first()
