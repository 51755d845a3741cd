"""Shards: the parts of a job that workers claim, hold by a lease, and hand back or finish.

A claim raises the shard's fence. Every later write of that worker names the fence; where it no longer matches, another
worker has the shard and nothing is written (:class:`LeaseLost`). The lease runs by the database's clock.
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radii.worker.store import counters, jobs, scheduling
from radii.worker.store.clock import clock, instant
from radii.worker.store.database import new_id
from radii.worker.store.models.index_conditions import is_ready, is_ready_of_few, unindexed, waits
from radii.worker.store.models.tables import DeviceTime, Job, Shard
from radii.worker.store.scheduling import SLICE, claimable, free
from radii.worker.store.specifications import JobSpec, Plan

URGENT_BATCH = {"cpu": 100, "cuda": 1_000}
"""Noise samples per forward pass of urgent jobs, by type of device: trying several would take longer than their work."""

MAX_LOST = 10
"""Claims in a row without one commit after which a shard, and with it the job, is given up."""
MOST_TRIED = 100
"""Jobs whose last shards others are about to take, after which a claim finds nothing: its worker looks again soon."""


ClaimDirective = Literal["go on", "stop", "ended"]
"""What a worker is to do with its part of a job: go on, hand it back, or leave it and write nothing."""


class LeaseLost(Exception):
    """The shard belongs to another worker now: stop, and write nothing."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to work on one shard, and what the shard is."""

    job_id: str
    tenant_id: str
    number: int
    fence: int
    owner: str
    first: int
    stop: int
    kind: str
    spec: JobSpec
    execution: dict[str, Any]
    resume: dict[str, Any] | None
    attempt: int
    turn: int = 0
    urgent: bool = False
    plan: Plan | None = None


def claim(
    session: Session,
    *,
    lease: float,
    device_type: str,
    execution: dict[str, Any],
    provenance: dict[str, Any],
    others_first: bool = False,
) -> Claim | None:
    """Takes the next ready shard, or None. ``execution`` is fixed for the job by its first claim; ``provenance`` is noted.

    Urgent jobs go first or, with ``others_first``, last, and of them the one that has had the fewest turns; then the tenant
    with the least device time of late, conversions with a credit; then priority, then age.
    """
    found = _take(session, device_type, others_first=others_first)
    if found is None:
        return None
    shard, job = found
    if provenance not in (job.provenance or {}).get("workers", []):
        # The row lock makes two first claims agree on one execution.
        job = session.get_one(Job, job.id, with_for_update={"key_share": True}, populate_existing=True)
        if job.device_type not in (None, device_type):
            return None  # another kind of device was faster
        if job.execution is None:
            job.execution = _chosen(job, execution)
            job.device_type = device_type if job.spec.pinned else None
        known = (job.provenance or {}).get("workers", [])
        job.provenance = {"workers": known if provenance in known else [*known, provenance]}
    jobs.change(session, job.id, jobs.RUNNING)
    if session.scalar(select(Job.state).where(Job.id == job.id)) != jobs.RUNNING:
        shard.state = "dropped"  # the job was ended while this claim waited for its row
        session.flush()
        jobs.settle(session, job.id)
        return None
    shard.state, shard.owner = "leased", new_id("claim")
    shard.fence, shard.attempt = shard.fence + 1, shard.attempt + 1
    shard.lease_until = clock() + lease
    session.flush()
    return Claim(
        job_id=job.id,
        tenant_id=job.tenant_id,
        number=shard.number,
        fence=shard.fence,
        owner=shard.owner,
        first=shard.first,
        stop=shard.stop,
        kind=job.kind,
        spec=job.resolved,
        plan=job.plan,
        execution=job.execution or execution,
        resume=shard.resume,
        attempt=shard.attempt,
        turn=shard.turn,
        urgent=job.priority >= jobs.URGENT,
    )


def waiting(session: Session, device_type: str) -> bool:
    """Whether there is a shard that a worker of this device type could claim."""
    return scheduling.next_job(session, device_type) is not None


def _chosen(job: Job, execution: dict[str, Any]) -> dict[str, Any]:
    """How the job's first worker means to run it, and what the job itself asks for."""
    asked = job.spec.execution
    if "batch_size" in asked and job.priority >= jobs.URGENT:
        urgent = URGENT_BATCH.get(str(execution.get("device_type")), URGENT_BATCH["cpu"])
        asked |= {"compiled": False, "batch_size": asked["batch_size"] or urgent}
    return {**execution, **asked, **({} if job.plan is None else job.plan.run_as())}


def agree(session: Session, held: Claim, found: dict[str, Any]) -> dict[str, Any]:
    """How the job is run, all in all: with what this worker has found where none was before it. Raises
    :class:`LeaseLost`."""
    _fenced(session, held, fence=held.fence)
    job = session.get_one(Job, held.job_id, with_for_update={"key_share": True}, populate_existing=True)
    before = job.execution or {}
    if "compiled" not in before:
        job.execution = before | found
    return dict(job.execution or {})


def run_smaller(session: Session, held: Claim, smaller: dict[str, Any]) -> None:
    """Hands back a shard that ran out of memory. It resumes from its last snapshot with the execution changed by ``smaller``."""
    job = session.get_one(Job, held.job_id, populate_existing=True)
    job.execution = (job.execution or {}) | smaller
    jobs.note(session, held.job_id, "smaller_batch", {"shard": held.number, **smaller})
    counters.add(session, counters.BATCHES_HALVED)
    release(session, held)


def renew(session: Session, held: Claim, lease: float) -> ClaimDirective:
    """Extends the lease and forgets earlier losses; tells whether the job is to go on. Raises :class:`LeaseLost`."""
    _fenced(session, held, lease_until=clock() + lease, lost=0)
    return _standing(session, held)


def extend(session: Session, held: Claim, lease: float) -> ClaimDirective:
    """Extends the lease of a child that is alive but has nothing to commit; losses stay as they are."""
    _fenced(session, held, lease_until=clock() + lease)
    return _standing(session, held)


def _standing(session: Session, held: Claim) -> ClaimDirective:
    """Whether the job is to go on, as it stands until the transaction ends; the shard of one that has ended is dropped.

    The worker of a job notices its deadline here; housekeeping notices it for jobs without a worker.
    """
    state = jobs.lock(session, held.job_id)
    if state == jobs.RUNNING and session.scalar(select(Job.id).where(Job.id == held.job_id, Job.deadline < clock())):
        jobs.stop(session, held.job_id, jobs.EXPIRED)
        return "stop"
    if state in jobs.TERMINAL:
        _fenced(session, held, state="dropped", owner=None, lease_until=0.0, resume=None)
        return "ended"
    return "go on" if state == jobs.RUNNING else "stop"


def keep(session: Session, held: Claim, resume: dict[str, Any] | None) -> dict[str, Any] | None:
    """Stores where a training job stands; returns where it stood before."""
    before = session.scalar(select(Shard.resume).where(Shard.job_id == held.job_id, Shard.number == held.number))
    _fenced(session, held, resume=resume)
    return before


def finish(session: Session, held: Claim, output: dict[str, Any] | None = None) -> None:
    """Ends the shard, and the job with it where it was the last."""
    _fenced(session, held, state="done", owner=None, lease_until=0.0)
    jobs.settle(session, held.job_id, output)


def release(session: Session, held: Claim) -> None:
    """Hands the shard back in order: nothing is lost, and the next worker goes on from the last commit."""
    _fenced(session, held, state="ready", owner=None, lease_until=0.0, rung=0.0)
    jobs.settle(session, held.job_id)


def next_turn(session: Session, held: Claim) -> None:
    """Hands back a shard that has come as far as it goes in one turn; its next one comes after this one of all others."""
    _fenced(session, held, state="ready", owner=None, lease_until=0.0, rung=clock(), turn=Shard.turn + 1)
    jobs.settle(session, held.job_id)


def turned(session: Session, held: Claim, turn: int) -> None:
    """Notes that the shard has come to another turn, and stays with its worker."""
    _fenced(session, held, turn=turn)


def lose(session: Session, held: Claim, problem: dict[str, Any] | None = None) -> int:
    """Hands back a shard that could not be worked on; returns how many claims in a row ended without a commit.

    After ``MAX_LOST`` of them the job fails, with ``problem`` where there is one.
    """
    _fenced(session, held, state="ready", owner=None, lease_until=0.0, rung=0.0, lost=Shard.lost + 1)
    lost = session.scalar(select(Shard.lost).where(Shard.job_id == held.job_id, Shard.number == held.number)) or 0
    if lost >= MAX_LOST:
        _give_up(session, held.job_id, held.number, lost, problem)
    jobs.settle(session, held.job_id)
    return lost


def fail(session: Session, held: Claim, problem: dict[str, Any]) -> None:
    """Ends the shard and the whole job with the problem that stopped it."""
    _fenced(session, held, state="failed", owner=None, lease_until=0.0, resume=None)
    jobs.fail(session, held.job_id, problem)


def expire_leases(session: Session) -> list[tuple[str, int]]:
    """Takes back the shards whose lease has run out; returns which, as job and number.

    That a worker was not heard of tells nothing of the shard: its machine may have been switched off. It counts no loss.
    Shards that somebody holds in a transaction are left for the next round: it may be a worker that was frozen inside of
    it, and all others are not to wait for that one.
    """
    over = (
        select(Shard).where(Shard.state == "leased", Shard.lease_until < instant()).order_by(Shard.job_id, Shard.number)
    )
    expired = list(session.scalars(over.with_for_update(skip_locked=True)))
    for shard in expired:  # in one order: two rounds cannot deadlock
        shard.state, shard.owner, shard.rung = "ready", None, 0.0
    session.flush()
    for shard in expired:
        jobs.note(session, shard.job_id, "lease_expired", {"shard": shard.number})
        jobs.settle(session, shard.job_id)
    if expired:
        counters.add(session, counters.LEASES_EXPIRED, len(expired))
    return [(shard.job_id, shard.number) for shard in expired]


def without_wakeup(session: Session, interval: float, most: int) -> int:
    """How many ready shards have had no wake-up message for ``interval`` seconds, ``most`` of them; from now on they have.

    Of a long queue only these few are touched: their rows are held until the transaction ends, and nobody can claim them.
    """
    found = session.execute(
        select(Shard.job_id, Shard.number)
        .where(
            is_ready(),
            Shard.rung < instant() - interval,
            Shard.job_id.in_(select(Job.id).where(waits(), free(Job))),
        )
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    for job_id, number in found:
        session.execute(
            update(Shard)
            .where(Shard.job_id == job_id, Shard.number == number)
            .values(rung=clock())
            .execution_options(synchronize_session=False)
        )
    return len(found)


def awakened(session: Session, job_id: str) -> int:
    """How many shards of other jobs can be claimed now that this one has succeeded: so many wake-up messages are to be sent."""
    waiting = select(Job.id).where(Job.needs_id == job_id, unindexed(Job.state) == jobs.QUEUED, free(Job))
    query = select(func.count()).where(is_ready_of_few(), Shard.job_id.in_(waiting))
    return session.scalar(query) or 0


def charge(session: Session, tenant_id: str, seconds: float) -> None:
    """Adds device time to the tenant's account of the present slice."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    now = session.scalar(select(clock())) or 0.0
    new = dialect.insert(DeviceTime).values(tenant_id=tenant_id, slice=int(now // SLICE), seconds=seconds)
    more = DeviceTime.seconds + new.excluded.seconds
    session.execute(new.on_conflict_do_update(index_elements=["tenant_id", "slice"], set_={"seconds": more}))


def _take(session: Session, device_type: str, *, others_first: bool) -> tuple[Shard, Job] | None:
    """The next shard that nobody else is about to take, its row locked, with its job."""
    tried: list[str] = []
    while len(tried) < MOST_TRIED:
        job_id = scheduling.next_job(session, device_type, others_first=others_first, tried=tried)
        if job_id is None:
            return None
        query = (
            select(Shard, Job)
            .join(Job, Job.id == Shard.job_id)
            .where(Shard.job_id == job_id, is_ready(), *claimable(Job, device_type))
            .order_by(Shard.turn, Shard.number)
            .limit(1)
        )
        found = session.execute(query.with_for_update(of=Shard, skip_locked=True)).first()
        if found is not None:
            return found[0], found[1]
        tried.append(job_id)  # others are about to take all that is left of it
    return None


def _fenced(session: Session, held: Claim, **columns: Any) -> None:
    written = session.execute(
        update(Shard)
        .where(
            Shard.job_id == held.job_id,
            Shard.number == held.number,
            Shard.fence == held.fence,
            Shard.state == "leased",
        )
        .values(**columns)
        .returning(Shard.fence)
        .execution_options(synchronize_session=False)
    ).first()
    if written is None:
        raise LeaseLost(f"claim {held.fence} of it is over: it was taken back, and may be another worker's by now")


def _give_up(session: Session, job_id: str, number: int, lost: int, problem: dict[str, Any] | None = None) -> None:
    jobs.fail(
        session,
        job_id,
        problem
        or {
            "type": "urn:radii:problem:shard-lost",
            "title": "A part of the job could not be done.",
            "status": 500,
            "detail": f"Part {number} was begun {lost} times in a row and its worker was lost each time without a result.",
        },
    )
