"""Whose turn it is: the job of which a worker is to take a shard next. Functions take a session and never commit.

Urgent jobs come first, and of them the one that has had the fewest turns; then the tenant with the least device time of
late, conversions with a credit; then priority, then age. Of each tenant only the first job is looked up, by an index in that
order, so that a claim takes as long with ten thousand jobs in the queue as with ten.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, String, Subquery, bindparam, func, or_, select, union_all
from sqlalchemy.orm import Session, aliased

from radii.worker.store.clock import instant
from radii.worker.store.jobs import SUCCEEDED
from radii.worker.store.models.index_conditions import converts, is_ready, is_urgent, no_conversion, waits
from radii.worker.store.models.tables import DeviceTime, Job, Shard, Tenant

FAIR_WINDOW = 3600
SLICE = 300
"""Seconds over which device time is compared between tenants, and of one stored slice of it."""
CREDIT = FAIR_WINDOW / 2
"""Seconds by which a tenant's conversions, which somebody waits for before anything else can be asked, count as if it had
used less: they go first, but who sends nothing else does not have the device for itself.
"""

DEVICE_TYPE: BindParameter[str] = bindparam("device_type", type_=String())
TRIED: BindParameter[str] = bindparam("tried", type_=String(), expanding=True)


def next_job(
    session: Session, device_type: str, *, others_first: bool = False, tried: Sequence[str] = ()
) -> str | None:
    """The job whose turn it is, without those that were ``tried``, or None. With ``others_first`` urgent jobs come last."""
    queries = (_next_other(), _next_urgent()) if others_first else (_next_urgent(), _next_other())
    asked = {"device_type": device_type, "tried": list(tried)}
    found = (session.scalar(query, asked) for query in queries)
    return next((job_id for job_id in found if job_id is not None), None)


def claimable(job: type[Job], device_type: str | BindParameter[str]) -> list[ColumnElement[bool]]:
    """What holds of a job of which a worker of this device type may take a ready shard."""
    return [
        waits(job),
        or_(job.device_type.is_(None), job.device_type == device_type),
        or_(job.deadline.is_(None), job.deadline >= instant()),
        free(job),
    ]


def free(job: type[Job]) -> ColumnElement[bool]:
    """That a job needs none, or that the one it needs has succeeded."""
    needed = aliased(Job)
    # No EXISTS: Postgres would rather read all jobs that have ever succeeded into a hash table.
    state = select(needed.state).where(needed.id == job.needs_id).scalar_subquery()
    return or_(job.needs_id.is_(None), state == SUCCEEDED)


def has_ready(job: type[Job]) -> ColumnElement[bool]:
    """That a job has a shard that nobody holds."""
    return select(Shard.number).where(Shard.job_id == job.id, is_ready()).exists()


@cache
def _next_urgent() -> Select[str]:
    """There are few of them, and their shards' turns come before anything else: all are looked at.

    Kept, like :func:`_next_other`: to build these queries takes ten times as long as the database takes to answer them.
    """
    recent = _recent()
    turn = select(func.min(Shard.turn)).where(Shard.job_id == Job.id, is_ready()).scalar_subquery()
    some = select(Job.id, Job.tenant_id, Job.priority, turn.label("turn"))
    urgent = some.where(is_urgent(), *claimable(Job, DEVICE_TYPE), Job.id.not_in(TRIED)).subquery()
    order = (urgent.c.turn, func.coalesce(recent.c.seconds, 0.0), urgent.c.priority.desc(), urgent.c.id)
    query = select(urgent.c.id).outerjoin(recent, recent.c.tenant_id == urgent.c.tenant_id)
    return query.where(urgent.c.turn.is_not(None)).order_by(*order).limit(1)


@cache
def _next_other() -> Select[str]:
    """Of each tenant the first conversion and the first other job, and of these the one that comes first."""
    recent = _recent()
    used = func.coalesce(recent.c.seconds, 0.0)
    firsts = union_all(
        *(
            select((used - credit).label("used"), _first(kind).label("job_id"))
            .select_from(Tenant)
            .outerjoin(recent, recent.c.tenant_id == Tenant.id)
            for kind, credit in ((converts, CREDIT), (no_conversion, 0.0))
        )
    ).subquery("firsts")
    query = select(Job.id).join(firsts, firsts.c.job_id == Job.id)
    return query.order_by(firsts.c.used, Job.priority.desc(), Job.id).limit(1)


def _first(kind: Callable[[type[Job]], ColumnElement[bool]]) -> Any:
    """A tenant's oldest job of its highest priority, as a subquery of a query over tenants.

    Two steps, since no index has priorities downwards and identifiers upwards; each ends at the first job that it finds.
    The second asks for at least that priority, though there is no higher one: so only this index gives the order.
    """
    top, job = aliased(Job), aliased(Job)

    def of_tenant(one: type[Job]) -> list[ColumnElement[bool]]:
        known = [one.tenant_id == Tenant.id, kind(one), ~is_urgent(one), one.id.not_in(TRIED)]
        return [*known, *claimable(one, DEVICE_TYPE), has_ready(one)]

    highest = select(top.priority).where(*of_tenant(top)).order_by(top.priority.desc()).limit(1).correlate(Tenant)
    first = select(job.id).where(*of_tenant(job), job.priority >= highest.scalar_subquery())
    return first.order_by(job.priority, job.id).limit(1).correlate(Tenant).scalar_subquery()


def _recent() -> Subquery:
    """Device time of late by tenant."""
    since = DeviceTime.slice >= (instant() - FAIR_WINDOW) / SLICE
    seconds = func.sum(DeviceTime.seconds).label("seconds")
    return select(DeviceTime.tenant_id, seconds).where(since).group_by(DeviceTime.tenant_id).subquery()
