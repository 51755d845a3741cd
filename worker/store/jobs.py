"""Jobs and the states they go through. No other code changes a job's state.

    queued -> running -> succeeded | failed                    (terminal states are final)
                 \\-> cancelling -> cancelled | expired
    queued -> cancelled | expired

Every change is a compare-and-set on the state and leaves an event in the same transaction. Functions take a session and
never commit.

A job may need another one (``needs_id``): it is not claimable until that one has succeeded, and fails where it has not.
Where several jobs are locked, the needed one is locked first, so that ends, cancels and submissions cannot cross.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, not_, select, update
from sqlalchemy.orm import Session

from radii.worker.store import counters
from radii.worker.store.clock import clock, instant
from radii.worker.store.database import new_id
from radii.worker.store.models.column_types import json_size
from radii.worker.store.models.index_conditions import is_ready
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Event, Job, Shard
from radii.worker.store.specifications import JobSpec, Plan, dump_spec

QUEUED, RUNNING, CANCELLING = "queued", "running", "cancelling"
SUCCEEDED, FAILED, CANCELLED, EXPIRED = "succeeded", "failed", "cancelled", "expired"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED})
ACTIVE = frozenset({QUEUED, RUNNING, CANCELLING})
HOPEFUL = frozenset({QUEUED, RUNNING, SUCCEEDED})
"""States of a job that has succeeded or may yet."""
ATTACHED = "attached"
"""State of a data set that came with a job: it is that job's alone, is listed nowhere, and goes with it."""
TRAINING, VOTING, CONVERTING = (Job.kind == kind for kind in ("train", "soft_labels", "convert"))
"""Jobs that keep a snapshot; whose output may be a file of votes; that make a dataset or a checkpoint of files."""
LISTED = not_(CONVERTING)
"""Jobs that lists show unless others are asked for."""
URGENT = 1_000
"""The priority of jobs that somebody waits for, which nobody can ask for by hand: they go before all others (``urgent_jobs``)."""

SOURCES = {
    RUNNING: (QUEUED,),
    CANCELLING: (RUNNING,),
    SUCCEEDED: (RUNNING,),
    FAILED: (QUEUED, RUNNING, CANCELLING),
    CANCELLED: (QUEUED, CANCELLING),
    EXPIRED: (QUEUED, CANCELLING),
}
"""For each state, the states that may become it."""


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What a submission needs in addition to its specification: what it is about, and how it is cut."""

    tenant_id: str
    spec: JobSpec
    shards: Sequence[tuple[int, int]]
    total: int
    work_total: int
    radii: Sequence[float] = ()
    dataset_id: str | None = None
    test_dataset_id: str | None = None
    checkpoint_id: str | None = None
    priority: int = 0
    seconds_to_end: float | None = None
    estimated_seconds: float = 0.0
    needs_id: str | None = None
    auto: bool = False
    content_key: str | None = None
    plan: Plan | None = None

    @property
    def kind(self) -> str:
        """The kind of job that the specification asks for."""
        return self.spec.kind


def stored_size(new: NewJob) -> int:
    """Bytes of what the job's row holds of its specification and plan."""
    return json_size(dump_spec(new.spec), None if new.plan is None else dump_spec(new.plan))


def submit(session: Session, new: NewJob) -> Job:
    """Writes the job, its shards, its summary and its first event.

    Where it needs a job that has ended otherwise than well, or is being cancelled, it has failed already: who chooses the
    needed job asks :func:`hopeless` first, which keeps it as it is until the commit.
    """
    # Held until the commit: who ends the needed job meanwhile waits, and then finds this one.
    needed = lock(session, new.needs_id) if new.needs_id else None
    job = Job(
        id=new_id("job"),
        tenant_id=new.tenant_id,
        kind=new.kind,
        state=QUEUED,
        spec=new.spec,
        plan=new.plan,
        dataset_id=new.dataset_id,
        test_dataset_id=new.test_dataset_id,
        checkpoint_id=new.checkpoint_id,
        priority=new.priority,
        deadline=None if new.seconds_to_end is None else clock() + new.seconds_to_end,
        estimated_seconds=new.estimated_seconds,
        stored=stored_size(new),
        needs_id=new.needs_id,
        auto=new.auto,
        content_key=new.content_key,
    )
    session.add(job)
    session.flush()
    session.add(
        JobSummary(
            job_id=job.id,
            total=new.total,
            work_total=new.work_total,
            radii=list(new.radii),
            correct_at=[0] * len(new.radii),
        )
    )
    session.add_all(
        Shard(job_id=job.id, number=number, first=first, stop=stop) for number, (first, stop) in enumerate(new.shards)
    )
    _record(session, job.id, 0, QUEUED, {"needs": new.needs_id} if new.needs_id else {})
    session.flush()
    if new.needs_id and needed not in HOPEFUL:
        fail(session, job.id, _needed_problem(session.get_one(Job, new.needs_id, populate_existing=True)))
        session.refresh(job)
    return job


def change(session: Session, job_id: str, state: str, data: dict[str, Any] | None = None, **columns: Any) -> bool:
    """Moves a job to ``state`` if it stands in one of that state's sources; False where it does not.

    ``columns`` (``problem``, ``output``, ...) are set together with the state; ``data`` goes into the event.
    """
    if state == RUNNING:
        columns["started"] = clock()
    if state in TERMINAL:
        columns["finished"] = clock()
    revision = session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(SOURCES[state]))
        .values(state=state, revision=Job.revision + 1, **columns)
        .returning(Job.revision)
        .execution_options(synchronize_session=False)
    )
    if revision is None:
        return False
    _record(session, job_id, revision, state, data or {})
    if state in TERMINAL - {SUCCEEDED}:
        _drop_ready_shards(session, job_id)
        _reject_what_it_was_to_make(session, job_id, columns.get("problem") or {"detail": f"The job was {state}."})
        _fail_dependents(session, job_id)
    return True


def cancel(session: Session, job_id: str, ends_as: str = CANCELLED) -> None:
    """Asks a job to stop: at once where no worker holds a part of it, else within a commit. Final states stay, and the
    first one who asks says how it ends.

    Jobs that were made for it, and that no other active job needs, stop too.
    """
    chain = needed_by(session, job_id)
    for needed in reversed(chain):
        lock(session, needed)
    stop(session, job_id, ends_as)
    for needed in chain:
        if not _made_for_nobody(session, needed):
            return
        stop(session, needed, CANCELLED)


def expire(session: Session) -> list[str]:
    """Stops the jobs whose deadline has passed; returns which."""
    late = select(Job.id).where(Job.state.in_((QUEUED, RUNNING)), Job.deadline < instant()).order_by(Job.id)
    found = list(session.scalars(late))
    for job_id in found:
        cancel(session, job_id, EXPIRED)
    return found


def stop(session: Session, job_id: str, ends_as: str) -> None:
    """Asks one job to stop, and to end as ``CANCELLED`` or ``EXPIRED``; see :func:`cancel`."""
    state = lock(session, job_id)
    if state == QUEUED:
        _end(session, job_id, ends_as)
    elif state == RUNNING:
        change(session, job_id, CANCELLING, {"to": ends_as}, ends_as=ends_as)
    settle(session, job_id)


def needed_by(session: Session, job_id: str) -> list[str]:
    """The job that this one needs, the one that that one needs, and so on."""
    chain: list[str] = []
    following = session.scalar(select(Job.needs_id).where(Job.id == job_id))
    while following is not None:
        chain.append(following)
        following = session.scalar(select(Job.needs_id).where(Job.id == following))
    return chain


def hopeless(session: Session, job_id: str) -> tuple[str, str] | None:
    """Why nothing will come of the job: the first one of it and those it needs that has not succeeded and will not, as
    identifier and state. None where there is hope; then all of them stay as they are until the transaction ends.
    """
    for link in [*reversed(needed_by(session, job_id)), job_id]:
        state = lock(session, link) or "deleted"
        if state not in HOPEFUL:
            return link, state
    return None


def active_dependents(session: Session, job_id: str) -> list[str]:
    """The jobs that have not ended and need this one, or are attacks whose answers are held against its certificates."""
    active = select(Job.id).where(Job.state.in_(ACTIVE))
    named = Job.spec["evaluation"]["certificates"].as_string() == job_id
    # Two queries, since one index finds the first kind of them, and another one the second.
    queries = (active.where(Job.needs_id == job_id), active.where(Job.kind == "evaluate", named))
    return sorted({found for query in queries for found in session.scalars(query)})


def note(session: Session, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Leaves an event that is no change of state: something that happened on the way."""
    bumped = update(Job).where(Job.id == job_id).values(revision=Job.revision + 1).returning(Job.revision)
    revision = session.scalar(bumped.execution_options(synchronize_session=False))
    if revision is not None:
        _record(session, job_id, revision, kind, data)


def note_once(session: Session, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """The same, where the job's last event is not of this kind already."""
    last = select(Event.type).where(Event.job_id == job_id).order_by(Event.seq.desc()).limit(1)
    if session.scalar(last) != kind:
        note(session, job_id, kind, data)


def note_output(session: Session, job_id: str, output: dict[str, Any]) -> None:
    """Adds to what a job that has succeeded says of its output."""
    lock(session, job_id)
    job = session.get_one(Job, job_id, populate_existing=True)
    if job.state == SUCCEEDED:
        job.output, job.revision = (job.output or {}) | output, job.revision + 1
        _record(session, job_id, job.revision, "output", output)


def delete(session: Session, job_id: str) -> bool:
    """Deletes a job that has ended, with all its results; False where it, or a job that needs it, has not. How much it has
    done stays counted."""
    if lock(session, job_id) not in TERMINAL or active_dependents(session, job_id):
        return False
    counters.keep_done(session, job_id)
    used = select(Job.dataset_id, Job.test_dataset_id, Job.checkpoint_id).where(Job.id == job_id)
    dataset_id, test_dataset_id, checkpoint_id = session.execute(used).one()
    session.execute(update(Job).where(Job.needs_id == job_id).values(needs_id=None))
    session.execute(sql_delete(Job).where(Job.id == job_id))
    _delete_attached(session, dataset_id)
    for used_dataset in filter(None, (dataset_id, test_dataset_id)):
        strip_deleted(session, Dataset, used_dataset)
    if checkpoint_id is not None:
        strip_deleted(session, Checkpoint, checkpoint_id)
    return True


def strip_deleted(session: Session, table: type[Dataset] | type[Checkpoint], row_id: str) -> None:
    """Frees what a deleted dataset or checkpoint still holds, once no job is left whose report describes it."""
    if session.scalar(select(table.state).where(table.id == row_id)) != "deleted":
        return
    described = Job.kind.not_in(("convert", "train") if table is Checkpoint else ("convert",))
    columns = (Job.checkpoint_id,) if table is Checkpoint else (Job.dataset_id, Job.test_dataset_id)
    queries = (select(Job.id).where(column == row_id, described).limit(1) for column in columns)
    if any(session.scalar(query) is not None for query in queries):
        return
    source = session.scalar(select(table.source).where(table.id == row_id)) or {}
    emptied = {"source": {"sha256": source.get("sha256")}, "class_names": None, "problem": None, "stored": 0}
    emptied |= {"info": None} if table is Checkpoint else {}
    session.execute(update(table).where(table.id == row_id).values(**emptied))


def _delete_attached(session: Session, dataset_id: str | None) -> None:
    """Deletes a data set that came with a job, once no audit of that job names it either."""
    if session.scalar(select(Job.id).where(Job.dataset_id == dataset_id).limit(1)) is None:
        session.execute(sql_delete(Dataset).where(Dataset.id == dataset_id, Dataset.state == ATTACHED))


def settle(session: Session, job_id: str, output: dict[str, Any] | None = None) -> None:
    """Ends a job whose shards leave nothing to do: all done, or cancelling with none in work."""
    state = lock(session, job_id)
    counts = _shard_counts(session, job_id)
    open_shards, leased, failed = counts.get("ready", 0), counts.get("leased", 0), counts.get("failed", 0)
    if state == CANCELLING and not leased:
        _end(session, job_id, session.scalar(select(Job.ends_as).where(Job.id == job_id)) or CANCELLED)
    elif state in TERMINAL:
        _drop_ready_shards(session, job_id)
    elif state == RUNNING and not (open_shards or leased or failed):
        change(session, job_id, SUCCEEDED, **({"output": output} if output else {}))


def fail(session: Session, job_id: str, problem: dict[str, Any]) -> bool:
    """Ends a job with the problem that stopped it; its shards are no more to be claimed."""
    lock(session, job_id)
    return change(session, job_id, FAILED, {"detail": problem.get("detail", "")}, problem=problem)


def _end(session: Session, job_id: str, ends_as: str) -> None:
    """The end of a job that was stopped."""
    if ends_as != EXPIRED:
        change(session, job_id, ends_as)
        return
    summary = session.get_one(JobSummary, job_id, populate_existing=True)
    of_all, of_work = f"{summary.done} of {summary.total} done", summary.work_done / max(1, summary.work_total)
    found = f"{of_all}, and {of_work:.0%} of the work done" if summary.done < summary.total else of_all
    problem = {
        "type": "urn:radii:problem:deadline",
        "title": "The job's deadline has passed.",
        "status": 504,
        "detail": f"Its deadline passed with {found}; what it has found so far stays.",
    }
    change(session, job_id, EXPIRED, {"detail": problem["detail"]}, problem=problem)


def _made_for_nobody(session: Session, job_id: str) -> bool:
    """Whether the job was made for others, none of which still wants it."""
    auto = session.scalar(select(Job.auto).where(Job.id == job_id))
    wanted = select(Job.id).where(Job.needs_id == job_id, Job.state.in_((QUEUED, RUNNING))).limit(1)
    return bool(auto) and session.scalar(wanted) is None


def _fail_dependents(session: Session, job_id: str) -> None:
    """Nothing can come of the jobs that need a job which did not succeed, nor of those that need them."""
    waiting = select(Job.id).where(Job.needs_id == job_id, Job.state.in_(SOURCES[FAILED])).order_by(Job.id)
    dependents = list(session.scalars(waiting))
    if dependents:
        needed = session.get_one(Job, job_id, populate_existing=True)
        for dependent in dependents:
            fail(session, dependent, _needed_problem(needed))


def _needed_problem(needed: Job) -> dict[str, Any]:
    reason = (needed.problem or {}).get("detail")
    ended = {CANCELLED: "was cancelled", CANCELLING: "is being cancelled"}.get(needed.state, f"has {needed.state}")
    return {
        "type": "urn:radii:problem:needed-job",
        "title": "A job that this one needs did not succeed.",
        "status": 424,
        "detail": f"It needs job {needed.id} ({needed.kind}), which {ended}{f': {reason}' if reason else '.'}",
        "job": needed.id,
    }


def _drop_ready_shards(session: Session, job_id: str) -> None:
    """Nobody is to work on what is left of a job that has ended.

    Everywhere else a shard's row is locked before its job's. Here it is the other way round, so rows that a claim holds
    are left alone: it finds the job ended, or its worker does at the first commit.
    """
    ready = select(Shard.number).where(Shard.job_id == job_id, is_ready())
    session.execute(
        update(Shard)
        .where(Shard.job_id == job_id, Shard.number.in_(ready.with_for_update(skip_locked=True)))
        .values(state="dropped", resume=None)
        .execution_options(synchronize_session=False)
    )


def _reject_what_it_was_to_make(session: Session, job_id: str, problem: dict[str, Any]) -> None:
    """A conversion or training that did not succeed leaves no data set or checkpoint pending."""
    job = session.get_one(Job, job_id, populate_existing=True)
    for table, key, kinds in (
        (Dataset, job.dataset_id, ("convert",)),
        (Checkpoint, job.checkpoint_id, ("convert", "train")),
    ):
        if key is not None and job.kind in kinds:
            pending = update(table).where(table.id == key, table.state == "pending")
            session.execute(pending.values(state="rejected", problem=problem))


def lock(session: Session, job_id: str) -> str | None:
    """The job's state, and its row held until the transaction ends, so that two last shards see each other."""
    # "No key" leaves alone the locks by which new results refer to their job.
    return session.scalar(select(Job.state).where(Job.id == job_id).with_for_update(key_share=True))


def _shard_counts(session: Session, job_id: str) -> dict[str, int]:
    rows = session.execute(select(Shard.state, func.count()).where(Shard.job_id == job_id).group_by(Shard.state))
    return {state: count for state, count in rows}


def _record(session: Session, job_id: str, seq: int, kind: str, data: dict[str, Any]) -> None:
    session.add(Event(job_id=job_id, seq=seq, type=kind, data=data))
    session.flush()
