"""Finds a tenant's rows by their identifiers."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from radii.service.errors import NotFound
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Upload
from radii.worker.store.resources import HIDDEN

Row = TypeVar("Row", Dataset, Checkpoint, Job, Upload)
IDENTIFIER = re.compile(r"[a-z]{1,10}_[0-9a-f]{28}")
WORDS: dict[type[Any], str] = {Dataset: "data set", Checkpoint: "checkpoint", Job: "job", Upload: "upload"}


def find(session: Session, kind: type[Row], tenant_id: str, identifier: str) -> Row | None:
    """The tenant's row of that identifier; None where there is none, or where it is somebody else's."""
    row = session.get(kind, identifier) if IDENTIFIER.fullmatch(identifier) else None
    if row is None or row.tenant_id != tenant_id or getattr(row, "state", None) in HIDDEN:
        return None
    return row


def get(session: Session, kind: type[Row], tenant_id: str, identifier: str) -> Row:
    """The same; raises :class:`NotFound`."""
    row = find(session, kind, tenant_id, identifier)
    if row is None:
        raise NotFound(expected=f"the identifier of a {WORDS[kind]} of yours", got=shown(identifier))
    return row


def shown(text: str) -> str:
    """Text from outside, quoted and shortened for a message."""
    return repr(text if len(text) <= 100 else text[:97] + "...")


def etag_of(*parts: object) -> str:
    """A weak entity tag of whatever an answer depends on."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode("utf-8", "backslashreplace")).hexdigest()
    return f'W/"{digest[:32]}"'


def of_kind(session: Session, tenant_id: str, job_id: str, kinds: Sequence[str], part: str) -> Job:
    """The tenant's job, if it is of a kind that has this part; raises :class:`NotFound`."""
    job = get(session, Job, tenant_id, job_id)
    if job.kind not in kinds:
        raise NotFound(
            expected=f"a job of kind {' or '.join(kinds)}, since only these have {part}", got=f"one of kind {job.kind}"
        )
    return job
