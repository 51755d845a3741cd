"""Admission: how much work a tenant may have in the queue at a time, so that nobody fills it for everybody else."""

from sqlalchemy.orm import Session

from radii.service.errors import BeyondQuota, QuotaExceeded, TooManyWait
from radii.worker.settings import Settings
from radii.worker.store import tenants, urgent_jobs


def fit(settings: Settings, *, jobs: int, seconds: float) -> None:
    """Raises :class:`BeyondQuota` where so many jobs, or so many seconds of estimated work, would never be taken, however
    empty the queue."""
    if jobs > settings.tenant_jobs:
        raise BeyondQuota(expected=_jobs(settings), got=f"{jobs:,} at once")
    if seconds > settings.tenant_seconds:
        raise BeyondQuota(expected=_seconds(settings), got=f"{seconds:,.0f} s in one request")


def require(
    session: Session, tenant_id: str, settings: Settings, *, jobs: int = 1, seconds: float = 0.0, final: bool = True
) -> None:
    """Raises :class:`QuotaExceeded` where so many more jobs, or so many more seconds of estimated work, go beyond what
    the settings allow a tenant. Two submissions at once are counted one after the other, unless this is not the ``final`` look."""
    there = tenants.outstanding(session, tenant_id, hold=final)
    if there.jobs + jobs > settings.tenant_jobs:
        raise QuotaExceeded(expected=_jobs(settings), got=f"{there.jobs:,} and {jobs:,} more")
    if there.seconds + seconds > settings.tenant_seconds:
        raise QuotaExceeded(expected=_seconds(settings), got=f"{there.seconds:,.0f} s and {seconds:,.0f} s more")


def require_urgent(session: Session, tenant_id: str, settings: Settings, *, seconds: float, final: bool = True) -> None:
    """The same for one urgent job, of which a tenant has a number of its own; raises :class:`TooManyWait`, too."""
    require(session, tenant_id, settings, seconds=seconds, final=final)
    there = urgent_jobs.outstanding(session, tenant_id)
    if there >= settings.tenant_predictions:
        most = f"at most {settings.tenant_predictions:,} requests of yours in progress (RADII_TENANT_PREDICTIONS)"
        raise TooManyWait(expected=most, got=f"{there:,} and one more")


def _jobs(settings: Settings) -> str:
    return f"at most {settings.tenant_jobs:,} jobs of yours that have not ended (RADII_TENANT_JOBS)"


def _seconds(settings: Settings) -> str:
    return f"at most {settings.tenant_seconds:,.0f} s of estimated work of yours in the queue (RADII_TENANT_SECONDS)"
