"""A hash of everything that determines a job's result, so that finished work is found and used again.

A content key is a hash over everything that determines the result: the settings of the specification, the content of
the things that it names, and of a registered architecture the row and the file of its function. Equal keys mean equal
work, whoever asked for it. Left out on purpose: the type of device and the versions of libraries, under which results
differ in the last digits, and what a registered function imports beside its own file. Functions take a session and
never commit.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, case, or_, select
from sqlalchemy.orm import Session

from radii.rs_core.models.code_hash import network_of
from radii.rs_core.specs.jobs import dump_spec
from radii.rs_core.specs.references import settings
from radii.worker.store import jobs
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job


def content_key(spec: Any, things: Mapping[str, str | None]) -> str:
    """The key of a specification whose names stand for ``things``, by role: hashes of their content."""
    body = settings(dump_spec(spec))
    known = {role: content for role, content in things.items() if content is not None}
    if (network := network_of(body.get("architecture"))) is not None:
        known["network"] = network
    return hashlib.sha256(json.dumps([body, known], sort_keys=True).encode()).hexdigest()


def content_of(row: Dataset | Checkpoint | None) -> str | None:
    """What a data set or a checkpoint holds, as a word; of one that is not ready, its identifier."""
    if row is None:
        return None
    return (row.content_hash if isinstance(row, Dataset) else None) or row.sha256 or row.id


def find(session: Session, tenant_id: str, kind: str, key: str, checkpoint_id: str | None = None) -> Job | None:
    """The tenant's train or soft_labels job of that key that has succeeded, or else one that may yet.

    A training whose checkpoint is gone is not found, while votes that are there need their classifier no longer; nor is a
    job that left an input without votes, or one that is cancelled while it is looked for. The one that is found, and
    those it needs, stay as they are until the transaction ends.
    """
    tried: list[str] = []
    while (found := _search(session, tenant_id, kind, key, checkpoint_id, tried)) is not None:
        # The locks on a job that is not taken are let go, or they would cross those of the next one.
        with session.begin_nested() as savepoint:
            if jobs.hopeless(session, found) is None:
                return session.get_one(Job, found, populate_existing=True)
            savepoint.rollback()
        tried.append(found)
    return None


def _search(
    session: Session, tenant_id: str, kind: str, key: str, checkpoint_id: str | None, tried: list[str]
) -> str | None:
    votes_are_there = and_(jobs.VOTING, Job.state == jobs.SUCCEEDED)
    conditions = [Job.checkpoint_id == checkpoint_id] if checkpoint_id is not None else []
    query = (
        select(Job.id)
        .join(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.kind == kind,
            Job.content_key == key,
            Job.state.in_(jobs.HOPEFUL),
            Job.id.not_in(tried),
            or_(Checkpoint.state.in_(("pending", "ready")), votes_are_there),
            JobSummary.errors == 0,
            *conditions,
        )
        .order_by(case((Job.state == jobs.SUCCEEDED, 0), else_=1), Job.id)
    )
    return session.scalar(query.limit(1))
