"""Uploads in parts, for files that a broken connection should not make begin anew: announce, send parts, complete."""

from functools import partial
from pathlib import Path as FilePath
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Body, Path, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from radii.service.api.dependencies import ActiveUploadsDep, DatabaseDep, FileSettingsDep, SettingsDep, TenantId
from radii.service.api.openapi import problems
from radii.service.api.routes.uploads import RAW_BODY, ContentDigest
from radii.service.api.upload_stream import take
from radii.service.errors import DigestMismatch, InvalidRequest, NotFound, NotReady
from radii.service.jobs.disk_space import check_room, check_size
from radii.service.limits.json_bodies import JsonRoute
from radii.service.limits.request_turns import waiting
from radii.service.lookup import shown
from radii.service.schemas import requests, responses
from radii.service.views import resource_views
from radii.service.views.resource_views import time
from radii.worker.settings import Settings
from radii.worker.store import resources, storage_usage
from radii.worker.store.blobs import blob_files, multipart_uploads
from radii.worker.store.blobs.blob_files import SealedBlob
from radii.worker.store.blobs.multipart_uploads import DamagedParts
from radii.worker.store.database import Database
from radii.worker.store.models.tables import PartUpload, Upload, UploadPart

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=JsonRoute)

UploadId = Annotated[str, Path(max_length=40, description="as `POST /v1/uploads` has answered")]
PartNumber = Annotated[int, Path(ge=0, lt=multipart_uploads.MOST_PARTS + 1, description="0, 1, ...")]
SHOWN = 10
TWICE = " (the parts, and the whole that is made of them before they go)"


@router.post(
    "",
    operation_id="begin_upload",
    status_code=201,
    response_model=responses.PartUpload,
    responses={
        200: {"model": responses.PartUpload, "description": "One that was begun before"},
        **problems(400, 413, 507),
    },
)
def begin_upload(
    body: Annotated[requests.UploadRequest, Body()],
    response: Response,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: FileSettingsDep,
    active_uploads: ActiveUploadsDep,
) -> responses.PartUpload:
    """Announces a file that comes in parts. With its `sha256`, an upload of the same name and file that was cut off is found
    again, with the parts that are there already; one that is complete, too (`upload` names what was made of it)."""
    check_size(body.size, settings)
    with database.write() as session:
        storage_usage.hold(session, tenant_id)
        upload, new = multipart_uploads.begin(session, tenant_id, body.name, body.size, body.sha256)
        if new:
            storage_usage.fit(settings, body.size)
            storage_usage.require_count(session, tenant_id, settings, storage_usage.PARTS, 0)
            storage_usage.require_count(session, tenant_id, settings, storage_usage.UPLOADS)
            storage_usage.require_within(
                session, tenant_id, settings, body.size, in_flight=active_uploads.size(tenant_id)
            )
        if upload.upload_id is None:
            left = sum(
                multipart_uploads.size_of(upload, number) for number in multipart_uploads.missing(session, upload)
            )
            check_room(left + upload.size, settings, TWICE)
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/v1/uploads/{upload.id}/parts"
        return _view(session, upload)


@router.get("/{upload_id}/parts", operation_id="get_part_upload", responses=problems(404))
def get_part_upload(upload_id: UploadId, tenant_id: TenantId, database: DatabaseDep) -> responses.PartUpload:
    """Which parts are still missing."""
    with database.read() as session:
        return _view(session, _find(session, tenant_id, upload_id))


@router.put(
    "/{upload_id}/parts/{number}",
    operation_id="put_part",
    openapi_extra=RAW_BODY,
    responses=problems(400, 404, 409, 413, 415, 507),
)
async def put_part(
    upload_id: UploadId,
    number: PartNumber,
    request: Request,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: FileSettingsDep,
    active_uploads: ActiveUploadsDep,
    content_digest: ContentDigest = None,
) -> responses.Part:
    """Stores one part: exactly `part_size` bytes, and of the last one what is left. It can be sent again."""
    expected, there = await run_in_threadpool(_expected, database, tenant_id, upload_id, number)

    def store(sealed: SealedBlob) -> responses.Part:
        if sealed.size != expected:
            raise InvalidRequest(expected=f"{expected:,} bytes for part {number}", got=f"{sealed.size:,}")
        with database.write() as session:
            _open(_find(session, tenant_id, upload_id, lock=True))
            multipart_uploads.add(session, settings.blobs, upload_id, number, sealed)
        return responses.Part(number=number, size=sealed.size, sha256=sealed.sha256)

    with active_uploads.arriving(tenant_id) as arriving, active_uploads.sending(upload_id, number) as alone:
        # The announced size is charged already. A part that is sent again takes room in addition to it.
        extra = arriving if there or not alone else None
        return await take(request, settings, content_digest, store, most=expected, arriving=extra)


@router.post(
    "/{upload_id}/complete",
    operation_id="complete_upload",
    response_model=responses.Upload,
    responses=problems(404, 409, 429, 507),
)
async def complete_upload(
    upload_id: UploadId, request: Request, tenant_id: TenantId, database: DatabaseDep, settings: FileSettingsDep
) -> responses.Upload:
    """Makes one upload of the parts, once all are there, under the announced name; asked again, it answers the same.

    Every part is compared with its hash, and the whole with the one that was announced. Parts that are damaged count as
    missing again (422). One upload of yours is completed at a time (429)."""
    found = await run_in_threadpool(_parts_of, database, tenant_id, upload_id)
    if isinstance(found, responses.Upload):
        return found
    places, threads = request.app.state.joining
    with places.taken(tenant_id):
        async with waiting():  # copying takes minutes, and others need the turn and the threads of requests
            join = partial(_join, database, settings, tenant_id, upload_id)
            return await to_thread.run_sync(join, limiter=threads)


@router.delete("/{upload_id}/parts", operation_id="abort_upload", status_code=204, responses=problems(404))
def abort_upload(upload_id: UploadId, tenant_id: TenantId, database: DatabaseDep, settings: SettingsDep) -> None:
    """Forgets an upload in parts; what was made of a complete one stays."""
    with database.write() as session:
        _find(session, tenant_id, upload_id, lock=True)
        multipart_uploads.forget(session, upload_id)
    multipart_uploads.remove(settings.blobs, upload_id)


def _parts_of(
    database: Database, tenant_id: str, upload_id: str
) -> responses.Upload | tuple[int, str | None, list[str]]:
    """What was made of the upload, or else its size, its announced hash and the hashes of its parts; raises
    :class:`NotReady` where parts are missing."""
    with database.read() as session:
        upload = _find(session, tenant_id, upload_id)
        if upload.upload_id is not None:
            return resource_views.uploads(session, [session.get_one(Upload, upload.upload_id)])[0]
        left = multipart_uploads.missing(session, upload)
        hashes = multipart_uploads.hashes(session, upload_id)
    if left:
        named = ", ".join(map(str, left[:SHOWN])) + (", ..." if len(left) > SHOWN else "")
        raise NotReady(
            expected=f"all {multipart_uploads.count_of(upload):,} parts", got=f"{len(hashes):,}; not number {named}"
        )
    return upload.size, upload.sha256, hashes


def _join(database: Database, settings: Settings, tenant_id: str, upload_id: str) -> responses.Upload:
    found = _parts_of(database, tenant_id, upload_id)
    if isinstance(found, responses.Upload):  # completed since the request was read
        return found
    size, announced, hashes = found
    check_room(size, settings)
    with blob_files.writing(settings.blobs) as writer:
        try:
            multipart_uploads.join(settings.blobs, upload_id, hashes, writer)
        except DamagedParts as error:
            writer.discard()
            return _made_meanwhile(database, tenant_id, upload_id, error.numbers)
        sealed = writer.seal()
        if announced is not None and announced != sealed.sha256:
            raise DigestMismatch(
                expected=f"bytes of SHA-256 {announced}, as was announced", got=f"bytes of SHA-256 {sealed.sha256}"
            )
        return _complete(database, settings.blobs, tenant_id, upload_id, sealed)


def _made_meanwhile(database: Database, tenant_id: str, upload_id: str, damaged: tuple[int, ...]) -> responses.Upload:
    """What another request to complete has made, after which the parts are gone; if none has, they are damaged: they count as
    missing, and :class:`DigestMismatch` says so."""
    with database.write() as session:
        upload = _find(session, tenant_id, upload_id, lock=True)
        if upload.upload_id is not None:
            return resource_views.uploads(session, [session.get_one(Upload, upload.upload_id)])[0]
        multipart_uploads.drop(session, upload_id, damaged)
    got = f"other bytes in number {', '.join(map(str, damaged[:SHOWN]))}: send them again"
    raise DigestMismatch(expected="parts as they came", got=got)


def _complete(
    database: Database, root: FilePath, tenant_id: str, upload_id: str, sealed: SealedBlob
) -> responses.Upload:
    with database.write() as session:
        storage_usage.hold(session, tenant_id)  # so that no other request takes the same name meanwhile
        upload = _find(session, tenant_id, upload_id, lock=True)
        if upload.upload_id is None:
            resources.put_blob(session, root, sealed)
            upload.upload_id = resources.put_upload(session, tenant_id, upload.name, sealed.sha256).id
            session.flush()
        made = resource_views.uploads(session, [session.get_one(Upload, upload.upload_id)])[0]
    with database.write() as session:
        multipart_uploads.forget(session, upload_id)
    multipart_uploads.remove(root, upload_id)
    return made


def _expected(database: Database, tenant_id: str, upload_id: str, number: int) -> tuple[int, bool]:
    """Bytes of the part, and whether it came before; raises where the upload has none of this number or cannot take it."""
    with database.read() as session:
        upload = _find(session, tenant_id, upload_id)
        there = session.get(UploadPart, (upload_id, number)) is not None
    _open(upload)
    count = multipart_uploads.count_of(upload)
    if number >= count:
        raise NotFound(expected=f"a part from 0 to {count - 1:,}", got=str(number))
    return multipart_uploads.size_of(upload, number), there


def _open(upload: PartUpload) -> None:
    if upload.upload_id is not None:
        raise NotReady(expected="an upload that is not complete", got=f"{upload.id}, which is")


def _find(session: Session, tenant_id: str, upload_id: str, *, lock: bool = False) -> PartUpload:
    found = session.get(PartUpload, upload_id, with_for_update=lock) if upload_id.isprintable() else None
    if found is None or found.tenant_id != tenant_id:
        raise NotFound(expected="the identifier of an upload in parts of yours", got=shown(upload_id))
    return found


def _view(session: Session, upload: PartUpload) -> responses.PartUpload:
    left = multipart_uploads.missing(session, upload) if upload.upload_id is None else []
    return responses.PartUpload(
        id=upload.id,
        name=upload.name,
        size=upload.size,
        part_size=upload.part_size,
        parts=multipart_uploads.count_of(upload),
        missing=left,
        sha256=upload.sha256,
        upload=upload.upload_id,
        created=time(upload.created),
    )
