"""Admission: how much work a tenant may have in the queue at a time, so that nobody fills it for everybody else."""

from sqlalchemy.orm import Session

from service.errors import QuotaExceeded
from worker.settings import Settings
from worker.store import tenants


def require(session: Session, tenant_id: str, settings: Settings, *, jobs: int = 1, seconds: float = 0.0) -> None:
    """Raises :class:`QuotaExceeded` where so many more jobs, or so many more seconds of estimated work, go beyond what
    the settings allow a tenant. Two submissions at once are counted one after the other."""
    there = tenants.outstanding(session, tenant_id)
    if there.jobs + jobs > settings.tenant_jobs:
        raise QuotaExceeded(
            expected=f"at most {settings.tenant_jobs:,} jobs of yours that have not ended (RADII_TENANT_JOBS)",
            got=f"{there.jobs:,} and {jobs:,} more",
        )
    if there.seconds + seconds > settings.tenant_seconds:
        raise QuotaExceeded(
            expected=f"at most {settings.tenant_seconds:,.0f} s of estimated work of yours in the queue "
            "(RADII_TENANT_SECONDS)",
            got=f"{there.seconds:,.0f} s and {seconds:,.0f} s more",
        )
