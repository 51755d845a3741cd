"""Lists the identifiers in an answer whose objects have been deleted; the identifiers stay in the answer as provenance."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.resources import DELETED

IDENTIFIER = re.compile(r"(job|ds|ckpt)_[0-9a-f]{28}")
MOST = 1_000
"""Identifiers of one answer that are looked for."""
ASKED = 500
"""Identifiers in one query."""


def deleted(session: Session, tenant_id: str, bodies: Sequence[Any]) -> list[list[str]]:
    """Of each body the identifiers of the tenant's jobs, datasets and checkpoints that it names and that are there no more, in
    order."""
    named = [sorted(set(_taken(_identifiers(body)))) for body in bodies]
    wanted = sorted({each for some in named for each in some})
    there: set[str] = set()
    for first in range(0, len(wanted), ASKED):
        some = wanted[first : first + ASKED]
        for query in _queries(tenant_id, some):
            there.update(session.scalars(query))
    return [[each for each in some if each not in there] for some in named]


def _queries(tenant_id: str, some: list[str]) -> Iterator[Select[str]]:
    """Queries for those of the identifiers that are there, by kind; none where no identifier is of the kind."""
    for table in (Job, Dataset, Checkpoint):
        prefix = {Job: "job_", Dataset: "ds_", Checkpoint: "ckpt_"}[table]
        mine = [each for each in some if each.startswith(prefix)]
        if mine and table is Job:
            yield select(Job.id).where(Job.id.in_(mine), Job.tenant_id == tenant_id)
        elif mine:
            kind = Dataset if table is Dataset else Checkpoint
            yield select(kind.id).where(kind.id.in_(mine), kind.tenant_id == tenant_id, kind.state != DELETED)


def _taken(found: Iterator[str]) -> Iterator[str]:
    for count, each in enumerate(found):
        if count == MOST:
            return
        yield each


def _identifiers(body: Any) -> Iterator[str]:
    if isinstance(body, str):
        if IDENTIFIER.fullmatch(body):
            yield body
    elif isinstance(body, dict):
        for value in body.values():
            yield from _identifiers(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _identifiers(value)
