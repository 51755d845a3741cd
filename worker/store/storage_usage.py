"""What a tenant has stored, and the quota on it.

Everything counts: uploads, unfinished parts, datasets, images of prediction requests, checkpoints, training snapshots, soft
labels, and database rows. A tenant is charged once for each distinct blob that it refers to, even where other tenants refer to
it, too. Deleting frees quota at once. Active work is charged for what it will store: the rows of a job, and the estimated file of
a conversion.

Row sizes are estimates for both databases, with their indexes: ``ROW_BYTES`` for a result and ``CLASS_BYTES`` more for
each class, whose votes it holds as JSON; ``JOB_BYTES`` for a job with its shards and events. Specifications, class names and
records of checkpoints, which tenants write, are charged by their length (the columns ``stored``).

Functions take a session and never commit. Callers that add something call :func:`hold` first, so that concurrent additions are
counted one after the other.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from radii.rs_core.errors import BeyondStorage, StorageUsedUp
from radii.worker.settings import Settings
from radii.worker.store import jobs
from radii.worker.store.models.column_types import json_size
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import (
    Blob,
    Checkpoint,
    Dataset,
    Idempotency,
    Job,
    PartUpload,
    Shard,
    Tenant,
    Upload,
)
from radii.worker.store.resources import DELETED

ROW_BYTES = 400
CLASS_BYTES = 8
JOB_BYTES = 4096
EXPECTED = "output_bytes"
"""In the specification of a conversion: the estimated size of what it makes."""
MOST_KNOWN = 10_000
KEY_BYTES = 300
"""Of an ``Idempotency-Key``, kept for a day."""
UPLOADS, PARTS, DATASETS, CHECKPOINTS = "uploads", "part_uploads", "datasets", "checkpoints"
PREDICTIONS, SOFT_LABELS, SNAPSHOTS = "predictions", "soft_labels", "snapshots"
RESULTS, OUTPUTS = "results", "expected_outputs"
OF_BLOBS = (DATASETS, CHECKPOINTS, UPLOADS, PREDICTIONS, SOFT_LABELS, SNAPSHOTS)
"""Kinds of things that rest on a blob. One that several rest on is charged to the first of them."""
COUNTED: dict[str, type[Upload] | type[PartUpload] | type[Dataset] | type[Checkpoint]] = {
    UPLOADS: Upload,
    PARTS: PartUpload,
    DATASETS: Dataset,
    CHECKPOINTS: Checkpoint,
}
"""Kinds of things whose number is limited, too: their rows are next to free."""
WORDS = {UPLOADS: "uploads", PARTS: "unfinished uploads", DATASETS: "datasets", CHECKPOINTS: "checkpoints"}
HELP = "delete what you do not need (`radii delete ID`); `radii usage` shows what there is"


@dataclass(frozen=True, kw_only=True)
class StoredUsage:
    """How many things of one kind a tenant has, and the bytes that it is charged for them."""

    kind: str
    count: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a tenant has stored, by kind."""

    kinds: tuple[StoredUsage, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(stored.size for stored in self.kinds)


class RecentUsage:
    """Cache of recent usage totals, plus the bytes that this process has admitted since.

    Adding up reads all that a tenant has, and on SQLite all other writers wait for that. Small additions skip it for ``LASTS``
    seconds where no more than ``SHARE`` of the quota is used. Processes do not know of each other, so each of them admits at most
    ``SLACK`` of the quota in all before it adds up again: together they exceed the quota by at most that for each further process.
    """

    LASTS = 5.0
    SHARE = 0.9
    SLACK = 0.01

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, int, int]] = {}

    def note(self, tenant_id: str, used: int) -> None:
        """Stores a total that was just added up."""
        with self._lock:
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            self._known[tenant_id] = time.monotonic(), used, 0

    def surely_fits(self, tenant_id: str, settings: Settings, needed: int, in_flight: int) -> bool:
        """Whether ``needed`` more bytes fit without adding up again; if so, they count from now on."""
        with self._lock:
            since, used, admitted = self._known.get(tenant_id, (-self.LASTS, 0, 0))
            late = time.monotonic() - since > self.LASTS
            admitted += needed
            much = admitted > self.SLACK * settings.tenant_bytes
            if late or much or used + admitted + in_flight > self.SHARE * settings.tenant_bytes:
                return False
            self._known[tenant_id] = since, used, admitted
            return True


RECENT = RecentUsage()


def hold(session: Session, tenant_id: str) -> None:
    """Locks the tenant's row, so that others that add to its storage wait until this transaction ends. On SQLite this does
    nothing: a write transaction already excludes all other writers."""
    session.scalar(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))


def usage(session: Session, tenant_id: str, *, without_output_of: str | None = None) -> Usage:
    """What the tenant has stored. ``without_output_of`` is a job whose own output is about to be counted."""
    sizes = {str(kind): (int(count), int(size)) for kind, count, size in session.execute(_by_blob(tenant_id))}
    parts = select(func.count(), func.coalesce(func.sum(PartUpload.size), 0)).where(
        PartUpload.tenant_id == tenant_id, PartUpload.upload_id.is_(None)
    )
    begun, announced = session.execute(parts).one()
    sizes[PARTS] = begun, announced
    for kind, table in ((DATASETS, Dataset), (CHECKPOINTS, Checkpoint)):
        count, size = sizes.get(kind, (0, 0))
        sizes[kind] = count, size + _texts(session, table, tenant_id)
    sizes[RESULTS] = _rows(session, tenant_id)
    sizes[OUTPUTS] = _outputs(session, tenant_id, without_output_of)
    order = (UPLOADS, PARTS, DATASETS, CHECKPOINTS, PREDICTIONS, SOFT_LABELS, SNAPSHOTS, RESULTS, OUTPUTS)
    found = [(kind, *sizes.get(kind, (0, 0))) for kind in order]
    return Usage(kinds=tuple(StoredUsage(kind=kind, count=count, size=int(size)) for kind, count, size in found))


def require(
    session: Session,
    tenant_id: str,
    settings: Settings,
    needed: int,
    *,
    without_output_of: str | None = None,
    in_flight: int = 0,
    exact: bool = False,
) -> None:
    """Checks that ``needed`` more bytes fit into the tenant's quota.

    Args:
        without_output_of: A job whose estimated output is not counted, since ``needed`` takes its place.
        in_flight: Bytes that others have announced.
        exact: Whether to add up in any case. If false, small additions are checked against a total of some seconds ago
            (:class:`RecentUsage`).

    Raises:
        BeyondStorage: The bytes exceed the whole quota.
        StorageUsedUp: They do not fit now.
    """
    fit(settings, needed)
    if not exact and RECENT.surely_fits(tenant_id, settings, needed, in_flight):
        return
    used = usage(session, tenant_id, without_output_of=without_output_of).size
    if used + in_flight + needed > settings.tenant_bytes:
        raise _used_up(settings, used + in_flight, needed)
    RECENT.note(tenant_id, used + needed)


def fit(settings: Settings, needed: int) -> None:
    """Raises :class:`BeyondStorage` where that many bytes exceed all that a tenant may store."""
    if needed > settings.tenant_bytes:
        raise BeyondStorage(expected=_quota(settings), got=f"{needed:,} bytes at once", where="storage")


def require_within(
    session: Session,
    tenant_id: str,
    settings: Settings,
    written: int,
    *,
    more: int = 0,
    in_flight: int = 0,
    exact: bool = True,
) -> None:
    """Raises :class:`StorageUsedUp` where all that the tenant has, with the ``written`` bytes that this transaction has just
    written and ``more`` that follow, is more than it may store. This is the last check before a commit: it adds up, except
    for small additions if ``exact`` is false (:class:`RecentUsage`)."""
    if not exact and RECENT.surely_fits(tenant_id, settings, written + more, in_flight):
        return
    session.flush()
    used = usage(session, tenant_id).size
    if used + more + in_flight > settings.tenant_bytes:
        raise _used_up(settings, used + in_flight - written, written + more)
    RECENT.note(tenant_id, used + more)


def require_count(session: Session, tenant_id: str, settings: Settings, kind: str, more: int = 1) -> None:
    """Raises :class:`StorageUsedUp` where the tenant has as many things of the kind as it may have."""
    table = COUNTED[kind]
    query = select(func.count()).select_from(table).where(table.tenant_id == tenant_id)
    if issubclass(table, PartUpload):
        query = query.where(PartUpload.upload_id.is_(None))
    elif issubclass(table, Dataset | Checkpoint):
        query = query.where(table.state.not_in((DELETED, jobs.ATTACHED)))
    there = session.scalar(query) or 0
    if there + more > settings.tenant_items:
        most = f"at most {settings.tenant_items:,} {WORDS[kind]} of yours (RADII_TENANT_ITEMS)"
        raise StorageUsedUp(expected=most, got=f"{there:,} and {more:,} more; {HELP}", where="storage")


def rows_of(total: int, num_classes: int) -> int:
    """Bytes of a job and its ``total`` rows of results, each with votes for ``num_classes`` classes."""
    return JOB_BYTES + total * (ROW_BYTES + num_classes * CLASS_BYTES)


def conversion_of(source: dict[str, Any]) -> int:
    """Bytes of the job that converts ``source``, and of the row that it makes."""
    names = json_size(source.get("class_names"))
    return JOB_BYTES + names + 2 * json_size({key: value for key, value in source.items() if key != "class_names"})


def _used_up(settings: Settings, used: int, needed: int) -> StorageUsedUp:
    more = f" and {needed:,} more" if needed else ""
    return StorageUsedUp(expected=_quota(settings), got=f"{used:,} bytes{more}; {HELP}", where="storage")


def _quota(settings: Settings) -> str:
    return f"at most {settings.tenant_bytes:,} bytes of yours in storage (RADII_TENANT_BYTES)"


def _by_blob(tenant_id: str) -> Select[Any]:
    """Kind, number of things and bytes; each distinct blob is charged to one kind."""
    references = union_all(
        *(query.add_columns(literal(rank).label("rank")) for rank, query in enumerate(_references(tenant_id)))
    ).subquery()
    once = (
        select(references.c.sha256, func.min(references.c.rank).label("rank")).group_by(references.c.sha256).subquery()
    )
    charged = (
        select(once.c.rank, func.sum(Blob.size).label("size"))
        .join(Blob, Blob.sha256 == once.c.sha256)
        .group_by(once.c.rank)
        .subquery()
    )
    counted = select(references.c.rank, func.count().label("count")).group_by(references.c.rank).subquery()
    kind = case(*((counted.c.rank == rank, kind) for rank, kind in enumerate(OF_BLOBS)), else_="")
    return select(kind, counted.c.count, func.coalesce(charged.c.size, 0)).outerjoin(
        charged, charged.c.rank == counted.c.rank
    )


def _references(tenant_id: str) -> list[Select[Any]]:
    """The blobs that things of the tenant refer to, in the order of ``OF_BLOBS``."""
    dataset = select(Dataset.sha256.label("sha256")).where(Dataset.tenant_id == tenant_id, Dataset.sha256.is_not(None))
    checkpoint = select(Checkpoint.sha256).where(Checkpoint.tenant_id == tenant_id, Checkpoint.sha256.is_not(None))
    votes = select(Job.output["sha256"].as_string()).where(
        Job.tenant_id == tenant_id, jobs.VOTING, Job.output["sha256"].as_string().is_not(null())
    )
    snapshot = (
        select(Shard.resume["sha256"].as_string())
        .join(Job, Job.id == Shard.job_id)
        .where(Job.tenant_id == tenant_id, jobs.TRAINING, Shard.resume["sha256"].as_string().is_not(null()))
    )
    return [
        dataset.where(Dataset.state != jobs.ATTACHED),
        checkpoint,
        select(Upload.sha256).where(Upload.tenant_id == tenant_id),
        dataset.where(Dataset.state == jobs.ATTACHED),
        votes,
        snapshot,
    ]


def _rows(session: Session, tenant_id: str) -> tuple[int, int]:
    """Jobs of the tenant, and the bytes of their rows and of its other small ones; of jobs that have not ended as many rows
    as there are to be."""
    rows = case((Job.state.in_(jobs.TERMINAL), JobSummary.done), else_=JobSummary.total)
    classes = case((jobs.TRAINING, 0), else_=func.coalesce(Checkpoint.num_classes, 0))
    query = (
        select(func.count(), func.coalesce(func.sum(rows * (ROW_BYTES + CLASS_BYTES * classes)), 0))
        .select_from(Job)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .outerjoin(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .where(Job.tenant_id == tenant_id)
    )
    count, size = session.execute(query).one()
    keys = session.scalar(select(func.count()).select_from(Idempotency).where(Idempotency.tenant_id == tenant_id)) or 0
    return count, int(size) + _texts(session, Job, tenant_id) + count * JOB_BYTES + keys * KEY_BYTES


def _texts(session: Session, table: type[Dataset] | type[Checkpoint] | type[Job], tenant_id: str) -> int:
    """Bytes of the JSON columns of the tenant's rows, out of an index alone."""
    return int(
        session.scalar(select(func.coalesce(func.sum(table.stored), 0)).where(table.tenant_id == tenant_id)) or 0
    )


def _outputs(session: Session, tenant_id: str, without: str | None) -> tuple[int, int]:
    """Conversions that have not ended and whose output was estimated, and the bytes of that."""
    size = Job.plan[EXPECTED].as_float()
    query = select(func.count(size), func.coalesce(func.sum(size), 0)).where(
        Job.tenant_id == tenant_id, jobs.CONVERTING, Job.state.in_(jobs.ACTIVE)
    )
    query = query if without is None else query.where(Job.id != without)
    count, found = session.execute(query).one()
    return count, int(found)
