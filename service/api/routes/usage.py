"""Storage: what a tenant has stored, and its quota."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.service.api.dependencies import DatabaseDep, SettingsDep, TenantId
from radii.service.schemas.storage import StoredKind, UnfinishedUpload, Usage
from radii.service.views.resource_views import time
from radii.worker.settings import Settings
from radii.worker.store import storage_usage
from radii.worker.store.models.tables import PartUpload

router = APIRouter(prefix="/v1/usage", tags=["usage"])

SHOWN = 20


@router.get("", operation_id="get_usage")
def get_usage(tenant_id: TenantId, database: DatabaseDep, settings: SettingsDep) -> Usage:
    """What you have stored, by kind, and your quota. What you delete is free at once."""
    with database.read() as session:
        return view(session, tenant_id, settings)


def view(session: Session, tenant_id: str, settings: Settings) -> Usage:
    """The tenant's usage as an answer."""
    found = storage_usage.usage(session, tenant_id)
    kinds = [
        StoredKind(
            kind=stored.kind,
            count=stored.count,
            bytes=stored.size,
            most=settings.tenant_items if stored.kind in storage_usage.COUNTED else None,
        )
        for stored in found.kinds
    ]
    return Usage(
        used=found.size,
        quota=settings.tenant_bytes,
        free=max(0, settings.tenant_bytes - found.size),
        kinds=kinds,
        unfinished_uploads=_unfinished(session, tenant_id),
    )


def _unfinished(session: Session, tenant_id: str) -> list[UnfinishedUpload]:
    query = select(PartUpload).where(PartUpload.tenant_id == tenant_id, PartUpload.upload_id.is_(None))
    rows = session.scalars(query.order_by(PartUpload.size.desc(), PartUpload.id).limit(SHOWN))
    return [UnfinishedUpload(id=row.id, name=row.name, size=row.size, created=time(row.created)) for row in rows]
