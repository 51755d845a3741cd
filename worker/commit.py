"""One commit: everything that a child has sent since the last one, in a single transaction that checks the fence.

Results, progress, summary, lease and the shard's end go together or not at all.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.records import UNKNOWN_LABEL
from radii.rs_core.results.codec import of_values
from radii.rs_core.specs.jobs import DEFAULT_BATCH
from radii.worker.kinds import registry
from radii.worker.kinds.kind import Kind
from radii.worker.settings import Settings
from radii.worker.store import counters, jobs, resources, results, shards, storage_usage
from radii.worker.store.blobs.blob_files import SealedBlob
from radii.worker.store.models.tables import Blob, Job
from radii.worker.store.shards import Claim

Message = dict[str, Any]

FEWER = 8
"""By which the batch of an input is divided whose child was killed from outside twice."""
MAX_DEATHS = 3
"""How often an input may end the child that works on it before it is stored as not certified."""
MOST_GIVEN_UP = 3
"""Inputs that may be given up one after the other; where another one would be, something else is wrong."""


@dataclass
class PendingResults:
    """What has come from the child of a job of this kind and is not yet stored.

    ``at`` are the inputs that it works on, with their labels; ``resumed`` are the samples of the unfinished inputs when
    the claim took them up: until the child gets beyond them, it has brought nothing forward.
    """

    kind: Kind
    records: list[Any] = field(default_factory=list)
    """The results of inputs, in the order in which they came. An input of several turns has one of each turn."""
    epochs: list[Message] = field(default_factory=list)
    snapshots: list[Message] = field(default_factory=list)
    progress: dict[int, Message] = field(default_factory=dict)
    work_done: int | None = None
    turn: int | None = None
    """To which the shard has come, where that is more than the last commit has said."""
    at: dict[int, int] = field(default_factory=dict)
    death: str | None = None
    killed: bool = False
    resumed: dict[int, int] = field(default_factory=dict)
    superseded: list[str] = field(default_factory=list)
    """Blobs of snapshots that nobody needs once this is committed."""
    forced: int | None = None
    """Rows that memory allowed at once, where that has been told of already."""
    told: int | None = None
    """The same with what is to be told of in the transaction that runs, which may have to be begun again."""

    def add(self, message: Message) -> None:
        """Takes in one message."""
        kind = message.pop("type")
        if kind == "record":
            assert self.kind.rows is not None
            self.records.append(of_values(self.kind.rows.record, message))
            self.progress.pop(message["index"], None)
            self.at.pop(message["index"], None)
        elif kind == "progress":
            index = message["index"]
            self.at[index] = message.pop("label")
            drawn = sum(stage["drawn"] for stage in message["votes"].values())
            if drawn and drawn != self.resumed.get(index):
                self.progress[index] = message
        elif kind == "turn":
            self.turn = message["turn"]
        elif kind == "epoch":
            self.epochs.append(message)
        elif kind == "snapshot":
            self.snapshots.append(message)
        elif kind == "step":
            self.work_done = message["work_done"] or self.work_done

    def emptied(self) -> "PendingResults":
        """The same place in the work, with nothing left to store."""
        return PendingResults(
            kind=self.kind, at=self.at, resumed=self.resumed, forced=self.told if self.told is not None else self.forced
        )

    def let_go(self, resume: Message | None) -> None:
        """Notes the snapshot of a place that is not gone on from any more."""
        if resume is not None and "sha256" in resume:
            self.superseded.append(resume["sha256"])

    def holds_results(self) -> bool:
        """Whether a commit of this brings the shard forward."""
        return bool(self.records or self.snapshots or self.progress)


@dataclass(frozen=True, kw_only=True)
class ShardEnding:
    """How a commit leaves the shard. Without any of it, the worker goes on with it."""

    done: Message | None = None
    """The child's last message: the shard is finished, or has come as far as it goes in one turn."""
    failed: Message | None = None
    """The problem that ends the job; with ``retry``, if it comes again and again."""
    retry: bool = False
    no_room: Message | None = None
    """The problem of a disk that is full: the shard is handed back as often as need be."""
    release: bool = False
    """The shard is handed back: nothing is wrong with it."""
    alone: bool = False
    """So it is, with the order to work on one input at a time from now on."""
    smaller: Message | None = None
    """The shard is handed back, and these values of the job's execution take less memory."""


GOES_ON = ShardEnding()


def write(
    session: Session,
    settings: Settings,
    claim: Claim,
    pending: PendingResults,
    seconds: float,
    ending: ShardEnding = GOES_ON,
) -> shards.ClaimDirective:
    """Writes one commit and tells whether the job is to go on; of a job that has ended nothing is written any more.
    Raises ``LeaseLost`` before anything is written, and :class:`StorageUsedUp` or :class:`BeyondStorage` where a file does not
    fit into the tenant's storage quota."""
    if pending.snapshots or (ending.done is not None and "made" in ending.done):
        storage_usage.hold(session, claim.tenant_id)  # before any other row, as a submission does
    touch = shards.renew if pending.holds_results() or ending.done else shards.extend
    standing = touch(session, claim, settings.lease)
    if standing == "ended":
        return standing
    _results(session, settings, claim, pending)
    results.add_device_seconds(session, claim.job_id, seconds)
    shards.charge(session, claim.tenant_id, seconds)
    _note_smaller_batches(
        session, claim, pending
    )  # after the account, as with a training: one order for the rows' locks
    if pending.death is not None:
        _death(session, settings, claim, pending)
    else:
        _leave(session, settings, claim, pending, ending)
    return standing


def _leave(session: Session, settings: Settings, claim: Claim, pending: PendingResults, ending: ShardEnding) -> None:
    """Does with the shard what the ending says."""
    if ending.failed is not None and ending.retry:
        shards.lose(session, claim, ending.failed)
    elif ending.failed is not None:
        shards.fail(session, claim, ending.failed)
    elif ending.smaller is not None:
        shards.run_smaller(session, claim, ending.smaller)
    elif ending.done is not None and ending.done.get("more"):
        shards.next_turn(session, claim)
    elif ending.done is not None:
        shards.finish(session, claim, _made(session, settings, claim, pending, ending.done))
    elif ending.no_room is not None:
        jobs.note_once(session, claim.job_id, "no_room", {"shard": claim.number, "error": ending.no_room["detail"]})
        shards.release(session, claim)
    elif ending.alone:
        shards.keep(session, claim, {"alone": True})
        shards.release(session, claim)
    elif ending.release:
        shards.release(session, claim)


def abandon(pending: PendingResults, done: Message | None) -> None:
    """Removes the files that a commit would have named, when it is certain that it will not happen."""
    made = [done["made"]] if done and "made" in done else []
    for file in [*pending.snapshots, *made]:
        Path(file["sealed"]["path"]).unlink(missing_ok=True)


def _results(session: Session, settings: Settings, claim: Claim, pending: PendingResults) -> None:
    job_id = claim.job_id
    if pending.turn is not None:
        shards.turned(session, claim, pending.turn)
    if pending.records:
        assert pending.kind.rows is not None
        pending.kind.rows.store(session, job_id, pending.records)
        results.drop_progress(session, job_id, {record.index for record in pending.records})
        results.forget_failures(session, job_id)
    for part in pending.progress.values():
        results.store_progress(session, job_id, part["index"], part["votes"], part["seconds"], part.get("batch_size"))
    for metric in pending.epochs:
        results.store_epoch(session, job_id, metric)
    if pending.work_done is not None:
        results.set_work(session, job_id, pending.work_done)
    if pending.snapshots:
        *older, last = pending.snapshots
        for file in older:
            Path(file["sealed"]["path"]).unlink(missing_ok=True)
        sealed = _sealed(last)
        before = shards.keep(session, claim, {"sha256": sealed.sha256, **last["place"]})
        _check_quota(session, settings, claim, sealed.size, before)
        resources.put_blob(session, settings.blobs, sealed)
        pending.let_go(before)


def _note_smaller_batches(session: Session, claim: Claim, pending: PendingResults) -> None:
    """Leaves an event where memory has forced smaller batches than the last time that it did."""
    sizes = [record.batch_size for record in pending.records]
    pending.told = min((size for size in sizes if size is not None), default=pending.forced)
    if pending.told is not None and (forced := pending.told) != pending.forced:
        jobs.note(session, claim.job_id, "smaller_batch", {"shard": claim.number, "batch_size": forced})
        counters.add(session, counters.BATCHES_HALVED)


def _made(
    session: Session, settings: Settings, claim: Claim, pending: PendingResults, done: Message
) -> dict[str, Any] | None:
    """Stores the file that the job made, if any, and what is known of it; the output of the job."""
    job = session.get_one(Job, claim.job_id)
    if "made" in done:
        results.finish_work(session, claim.job_id)
        sealed, before = _sealed(done["made"]), shards.keep(session, claim, None)
        _check_quota(session, settings, claim, sealed.size, before)
        pending.let_go(before)
        resources.put_blob(session, settings.blobs, sealed)
        done["made"]["columns"] |= {"sha256": sealed.sha256}
    return pending.kind.output(session, job, done)


def _check_quota(session: Session, settings: Settings, claim: Claim, size: int, replaced: Message | None) -> None:
    """Raises the problem of a file that does not fit into the tenant's storage quota. What takes the place of a snapshot that is
    as large fits in any case: hours of training are not lost because something else has filled the quota."""
    before = (replaced or {}).get("sha256")
    old = None if before is None else session.scalar(select(Blob.size).where(Blob.sha256 == before))
    if size > (old or 0):
        storage_usage.require(session, claim.tenant_id, settings, size, without_output_of=claim.job_id, exact=True)


def _death(session: Session, settings: Settings, claim: Claim, pending: PendingResults) -> None:
    """A child died before it brought the shard forward: the input it was at is counted, and in the end given up."""
    index, label = next(iter(pending.at.items()), (None, UNKNOWN_LABEL))
    deaths = results.count_death(session, claim.job_id, index) if index is not None else 0
    if index is not None and deaths >= MAX_DEATHS and results.count_failure(session, claim.job_id) > MOST_GIVEN_UP:
        shards.fail(session, claim, _nothing_lives(pending))
    elif index is not None and deaths >= MAX_DEATHS:
        error = f"The process that worked on this input {pending.death}, {MAX_DEATHS} times."
        registry.store_failure(session, claim.job_id, index, label, error)
        jobs.note(session, claim.job_id, "input_failed", {"index": index, "error": error})
        counters.add(session, counters.INPUTS_FAILED)
        shards.renew(session, claim, settings.lease)
        shards.release(session, claim)
    else:
        if deaths == MAX_DEATHS - 1 and pending.killed:
            shards.keep(session, claim, {"alone": True, "rows": _fewer_rows(claim)})
        shards.lose(session, claim)


def _fewer_rows(claim: Claim) -> int:
    """How many noisy copies the last try of an input has at once: a machine that is short of memory kills, and says nothing."""
    return max(1, (claim.execution.get("batch_size") or DEFAULT_BATCH) // FEWER)


def _nothing_lives(pending: PendingResults) -> dict[str, Any]:
    """The problem of a job whose process ends whatever input it works on."""
    hint = " Something may be short of memory: a smaller batch_size needs less." if pending.killed else ""
    return {
        "type": "urn:radii:problem:nothing-lives",
        "title": "The process that worked on the job ended again and again.",
        "status": 500,
        "detail": f"The process that worked on an input {pending.death}, {MAX_DEATHS} times on each of {MOST_GIVEN_UP + 1} "
        f"inputs, and no other input was done meanwhile: they are hardly to blame.{hint}",
    }


def _sealed(file: Message) -> SealedBlob:
    sealed = file["sealed"]
    return SealedBlob(sha256=sealed["sha256"], size=sealed["size"], path=Path(sealed["path"]))
