"""Urgent jobs: small ones that somebody waits for. They go before all others, and workers make way for them.

A worker that is busy with something else looks now and then whether an urgent shard waits. One that has waited for a moment
has found nobody free: the first busy worker to see it calls it (``calls``), hands back its own shard with all its votes, and
claims the urgent one like any other. The call keeps other workers from making way for the same shard. Functions take a
session and never commit.
"""

from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from radii.worker.store import counters, jobs
from radii.worker.store.clock import clock, instant
from radii.worker.store.models.index_conditions import is_ready_of_few, is_urgent, unindexed
from radii.worker.store.models.index_conditions import waits as may_be_claimed
from radii.worker.store.models.tables import Blob, Dataset, Idempotency, Job, Shard
from radii.worker.store.scheduling import claimable
from radii.worker.store.shards import Claim

FREE = 0.2
"""Seconds after which an urgent shard that nobody has claimed has found nobody free."""
CALL = 2.0
"""Seconds for which the call of one worker keeps others from making way, too."""
AT_ONCE = 100
"""Jobs that are looked at, or deleted, in one transaction."""


def outstanding(session: Session, tenant_id: str) -> int:
    """How many urgent jobs of the tenant have not ended."""
    query = select(func.count()).where(Job.tenant_id == tenant_id, Job.state.in_(jobs.ACTIVE), is_urgent())
    return session.scalar(query) or 0


def waits(session: Session, held: Claim, turn: int, device_type: str) -> bool:
    """Whether an urgent shard waits that ``held``, which has come to ``turn``, is to make way for: any, where it is not
    urgent itself, else one that has had fewer turns."""
    return bool(_waiting(session, held, turn, device_type))


def calls(session: Session, held: Claim, turn: int, device_type: str) -> bool:
    """The same, and calls the shard that waits; False where another worker was faster."""
    for job_id, number in _waiting(session, held, turn, device_type):
        called = (
            update(Shard)
            .where(Shard.job_id == job_id, Shard.number == number, Shard.state == "ready", Shard.lease_until < clock())
            .values(lease_until=clock() + CALL)
            .returning(Shard.number)
            .execution_options(synchronize_session=False)
        )
        if session.execute(called).first() is not None:
            counters.add(session, counters.MADE_WAY)
            return True
    return False


def forget(session: Session, age: float) -> int:
    """Deletes some of the urgent jobs that ended more than ``age`` seconds ago, with the images that came with them; returns
    how many. Those that an active job still needs stay until it has ended."""
    old = select(Job.id).where(is_urgent(), Job.state.in_(jobs.TERMINAL), Job.finished < instant() - age)
    return len(_gone(session, list(session.scalars(old.order_by(Job.id).limit(AT_ONCE)))))


def kept(session: Session, tenant_id: str) -> tuple[int, int]:
    """How many of the tenant's urgent jobs have ended and are still there, and the bytes of their images."""
    count, size = session.execute(_ended(tenant_id, func.count(), func.coalesce(func.sum(Blob.size), 0))).one()
    return count, int(size)


def forget_beyond(session: Session, tenant_id: str, *, most: int, most_bytes: int) -> list[str]:
    """Deletes some of the tenant's urgent jobs that have ended, the oldest first, until no more than ``most`` and
    ``most_bytes`` of images are left; returns the digests of what nobody may need any more."""
    count, size = kept(session, tenant_id)
    digests: list[str] = []
    for job_id, sha256, of_this in session.execute(
        _ended(tenant_id, Job.id, Blob.sha256, Blob.size).order_by(Job.id)
    ).all():
        if (count <= most and size <= most_bytes) or len(digests) == AT_ONCE:
            break
        if _gone(session, [job_id]):
            digests.append(sha256)
            count, size = count - 1, size - of_this
    return digests


def _ended(tenant_id: str, *columns: Any) -> Select[Any]:
    query = select(*columns).select_from(Job).join(Dataset, Dataset.id == Job.dataset_id)
    query = query.join(Blob, Blob.sha256 == Dataset.sha256)
    return query.where(Job.tenant_id == tenant_id, is_urgent(), unindexed(Job.state).in_(jobs.TERMINAL))


def _gone(session: Session, found: list[str]) -> list[str]:
    """Deletes those of the jobs that no active one needs, with the keys that made them; returns which."""
    gone = [job_id for job_id in found if jobs.delete(session, job_id)]
    session.execute(delete(Idempotency).where(Idempotency.resource_id.in_(gone)))
    return gone


def _waiting(session: Session, held: Claim, turn: int, device_type: str) -> list[tuple[str, int]]:
    """Jobs first: there are few urgent ones, and very many shards."""
    active = select(Job.id).where(may_be_claimed(), is_urgent(), Job.created < instant() - FREE)
    found = list(session.scalars(active.order_by(Job.id).limit(AT_ONCE)))
    if not found:
        return []
    query = (
        select(Shard.job_id, Shard.number)
        .join(Job, Job.id == Shard.job_id)
        .where(
            Shard.job_id.in_(found),
            is_urgent(),
            is_ready_of_few(),
            *claimable(Job, device_type),
            Shard.lease_until < clock(),
        )
        .order_by(Shard.turn, Shard.job_id)
    )
    query = query.where(Shard.turn < turn) if held.urgent else query
    return [(job_id, number) for job_id, number in session.execute(query.limit(AT_ONCE))]
