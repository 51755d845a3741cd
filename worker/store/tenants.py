"""Tenants, their API keys, and what is kept of them for a while. A key is stored as its SHA-256 (it is 256 random bits, so
no slow hash is needed) and can be shown only when it is made. Functions take a session and never commit.
"""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radii.worker.store import storage_usage
from radii.worker.store.clock import clock, instant
from radii.worker.store.database import new_id
from radii.worker.store.jobs import ACTIVE
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import ApiKey, DeviceTime, Idempotency, Job, Tenant
from radii.worker.store.scheduling import FAIR_WINDOW, SLICE

DEFAULT_TENANT = "default"
REQUESTS_KNOWN = 86_400.0
"""Seconds for which a request that was sent with an ``Idempotency-Key`` is known again."""


def tenant(session: Session, name: str) -> Tenant:
    """The tenant of that name, made where there was none; callers at once get the same one."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = dialect.insert(Tenant).values(id=new_id("tenant"), name=name, created=clock())
    if session.scalar(select(Tenant.id).where(Tenant.name == name)) is None:
        session.execute(new.on_conflict_do_nothing(index_elements=["name"]))
    return session.scalars(select(Tenant).where(Tenant.name == name)).one()


def create_key(session: Session, tenant_name: str, key_name: str) -> tuple[ApiKey, str]:
    """A new key of a tenant: its row, and the key itself."""
    secret = f"radii_{secrets.token_urlsafe(32)}"
    row = ApiKey(id=new_id("key"), tenant_id=tenant(session, tenant_name).id, name=key_name, hash=_hash(secret))
    session.add(row)
    session.flush()
    return row, secret


def keys(session: Session) -> list[tuple[ApiKey, Tenant]]:
    """Every key with its tenant, oldest first."""
    query = select(ApiKey, Tenant).join(Tenant, Tenant.id == ApiKey.tenant_id).order_by(ApiKey.id)
    return [(key, owner) for key, owner in session.execute(query)]


def revoke_key(session: Session, key_id: str) -> bool:
    """Ends a key; False where there is none of that identifier or it has ended."""
    query = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked.is_(None)).values(revoked=clock())
    return session.execute(query.returning(ApiKey.id)).first() is not None


def tenant_of_key(session: Session, secret: str) -> Tenant | None:
    """Whose key this is; None where it is nobody's or has been revoked."""
    query = select(Tenant).join(ApiKey, ApiKey.tenant_id == Tenant.id)
    return session.scalar(query.where(ApiKey.hash == _hash(secret), ApiKey.revoked.is_(None)))


def any_key(session: Session) -> bool:
    """Whether there is a key that works."""
    return session.scalar(select(ApiKey.id).where(ApiKey.revoked.is_(None)).limit(1)) is not None


@dataclass(frozen=True, kw_only=True)
class Outstanding:
    """Jobs that have not ended, and about how many seconds of device time they have before them."""

    jobs: int
    seconds: float


def outstanding(session: Session, tenant_id: str, *, hold: bool = True) -> Outstanding:
    """What the tenant has in the queue; with ``hold``, nobody else adds to it until the transaction ends."""
    if hold:
        storage_usage.hold(session, tenant_id)
    over = JobSummary.work_done >= JobSummary.work_total
    left = case((over, 0.0), else_=Job.estimated_seconds * (1 - 1.0 * JobSummary.work_done / JobSummary.work_total))
    query = (
        select(func.count(), func.coalesce(func.sum(left), 0.0))
        .join(JobSummary, JobSummary.job_id == Job.id)
        .where(Job.tenant_id == tenant_id, Job.state.in_(ACTIVE))
    )
    count, seconds = session.execute(query).one()
    return Outstanding(jobs=count, seconds=seconds)


def forget_device_time(session: Session) -> int:
    """Deletes the slices of device time that are too old for any comparison, with as long again to spare; returns how
    many."""
    old = DeviceTime.slice < (instant() - 2 * FAIR_WINDOW) / SLICE
    return len(session.execute(delete(DeviceTime).where(old).returning(DeviceTime.slice)).all())


def forget_requests(session: Session, age: float = REQUESTS_KNOWN) -> int:
    """Deletes the ``Idempotency-Key`` of requests older than ``age`` seconds, which nobody sends again; returns how many."""
    old = Idempotency.created < instant() - age
    return len(session.execute(delete(Idempotency).where(old).returning(Idempotency.key)).all())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
