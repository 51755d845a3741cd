"""Blobs: the bytes of a tenant's uploads, data sets, checkpoints and soft labels, by their SHA-256."""

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.service.api.dependencies import DatabaseDep, FileSettingsDep, TenantId, matches
from radii.service.api.openapi import problems
from radii.service.api.problems import missing_file
from radii.service.errors import NotFound
from radii.service.lookup import shown
from radii.worker.store import jobs
from radii.worker.store.blobs import blob_files
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Upload

router = APIRouter(prefix="/v1/blobs", tags=["blobs"])

SHA256 = re.compile(r"[0-9a-f]{64}")


@router.get(
    "/{sha256}",
    operation_id="get_blob",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "Not modified"},
        **problems(404, 410),
    },
)
def get_blob(
    sha256: str, request: Request, tenant_id: TenantId, database: DatabaseDep, settings: FileSettingsDep
) -> Response:
    """The bytes themselves; ranges are served, so that a download can go on where it was cut."""
    with database.read() as session:
        name = _name(session, tenant_id, sha256) if SHA256.fullmatch(sha256) else None
    path = blob_files.path_of(settings.blobs, sha256)  # FileResponse serves ranges of a path
    if name is None:
        raise NotFound(
            expected="the SHA-256 of an upload, data set, checkpoint or soft_labels job of yours", got=shown(sha256)
        )
    if not path.is_file():
        raise missing_file(name)
    headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if matches(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=headers)


def _name(session: Session, tenant_id: str, sha256: str) -> str | None:
    """A file name for the blob, if the tenant owns something that rests on it."""
    upload = session.scalars(select(Upload).where(Upload.tenant_id == tenant_id, Upload.sha256 == sha256)).first()
    if upload is not None:
        return upload.name
    dataset = session.scalars(select(Dataset.id).where(Dataset.tenant_id == tenant_id, Dataset.sha256 == sha256))
    mine = (Checkpoint.tenant_id == tenant_id, Checkpoint.sha256 == sha256)
    made = dataset.first() or session.scalars(select(Checkpoint.id).where(*mine)).first()
    made = made or session.scalar(
        select(Job.id).where(Job.tenant_id == tenant_id, jobs.VOTING, Job.output["sha256"].as_string() == sha256)
    )
    return None if made is None else f"{made}.safetensors"
