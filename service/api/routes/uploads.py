"""Uploads: raw bytes under a name of the tenant's choice. Data sets and checkpoints are made out of them."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import AfterValidator
from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.service.api.dependencies import ActiveUploadsDep, Cursor, DatabaseDep, FileSettingsDep, Limit, TenantId
from radii.service.api.openapi import problems
from radii.service.api.resource_routes import page
from radii.service.api.upload_stream import take
from radii.service.errors import InUse, NotFound
from radii.service.lookup import shown
from radii.service.schemas import responses
from radii.service.schemas.requests import UPLOAD_NAME, printable
from radii.service.views import resource_views
from radii.worker.store import resources, storage_usage
from radii.worker.store.blobs import blob_files
from radii.worker.store.blobs.blob_files import SealedBlob
from radii.worker.store.models.tables import Upload

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

UploadName = Annotated[
    str,
    Path(pattern=UPLOAD_NAME, max_length=255, description="1 to 255 visible characters without slashes"),
    AfterValidator(printable),
]
ContentDigest = Annotated[str | None, Header(description="RFC 9530; `sha-256=:BASE64:` is checked against the body")]
RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/{name}",
    operation_id="put_upload",
    status_code=201,
    openapi_extra=RAW_BODY,
    responses=problems(400, 413, 415, 507),
)
async def put_upload(
    name: UploadName,
    request: Request,
    response: Response,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: FileSettingsDep,
    active_uploads: ActiveUploadsDep,
    content_digest: ContentDigest = None,
) -> responses.Upload:
    """Stores the body under a name; a name that is taken is given to the new bytes.

    The body is the file itself, never multipart.
    """

    def store(sealed: SealedBlob) -> responses.Upload:
        with database.write() as session:
            storage_usage.hold(session, tenant_id)  # so that no other request takes the same name meanwhile
            resources.record_blob(session, sealed)
            row = resources.put_upload(session, tenant_id, name, sealed.sha256)
            storage_usage.require_count(session, tenant_id, settings, storage_usage.UPLOADS, 0)
            storage_usage.require_within(session, tenant_id, settings, sealed.size, exact=False)
            blob_files.place(settings.blobs, sealed)  # last: what was refused leaves no file
            return resource_views.uploads(session, [row])[0]

    with active_uploads.arriving(tenant_id) as arriving:
        stored = await take(request, settings, content_digest, store, arriving=arriving)
    response.headers["Location"] = f"/v1/uploads/{stored.id}"
    return stored


@router.get("", operation_id="list_uploads")
def list_uploads(
    tenant_id: TenantId, database: DatabaseDep, limit: Limit = 50, cursor: Cursor = None
) -> responses.Page[responses.Upload]:
    """Your uploads, newest first."""
    with database.read() as session:
        rows, following = page(session, Upload, tenant_id, cursor, limit)
        return responses.Page(items=resource_views.uploads(session, rows), next_cursor=following)


@router.get("/{name}", operation_id="get_upload", responses=problems(404))
def get_upload(name: str, tenant_id: TenantId, database: DatabaseDep) -> responses.Upload:
    """One upload, by its name or identifier."""
    with database.read() as session:
        return resource_views.uploads(session, [_find(session, tenant_id, name)])[0]


@router.delete("/{name}", operation_id="delete_upload", status_code=204, responses=problems(404, 409))
def delete_upload(name: str, tenant_id: TenantId, database: DatabaseDep) -> None:
    """Forgets an upload; refused while a conversion reads it. What was made out of it stays."""
    with database.write() as session:
        upload = _find(session, tenant_id, name)
        users = resources.readers_of(session, upload)
        if users:
            raise InUse(expected="an upload that no conversion reads", got=f"one that {users[0]} reads", jobs=users)
        session.delete(upload)


def _find(session: Session, tenant_id: str, name: str) -> Upload:
    mine = select(Upload).where(Upload.tenant_id == tenant_id)
    for column in (Upload.name, Upload.id):
        found = session.scalar(mine.where(column == name)) if name.isprintable() else None
        if found is not None:
            return found
    raise NotFound(expected="the name of an upload of yours", got=shown(name))
