"""Predictions while one waits: images in, class, abstention and certified radius out, refined as long as one waits."""

import contextlib
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from radii.rs_core.specs.jobs import CertifySpec
from radii.service.api.dependencies import DatabaseDep, FileSettingsDep, TenantId, Wait, matches
from radii.service.api.openapi import ACCEPTED, NOT_MODIFIED, problems
from radii.service.errors import RETRY_SECONDS
from radii.service.jobs import predict_images, request_images
from radii.service.jobs.idempotency import REPLAYED, IdempotencyKey
from radii.service.jobs.watcher import JobWatcher, WakeCondition
from radii.service.lookup import etag_of
from radii.service.schemas.prediction_query import PredictionQuery
from radii.service.schemas.predictions import Predictions
from radii.service.schemas.responses import MAX_WAIT
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store.database import Database
from radii.worker.store.jobs import ACTIVE

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])

BINARY = {"schema": {"type": "string", "format": "binary"}}
PIXELS: dict[str, Any] = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {}}}}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **{kind: BINARY for kind in ("image/png", "image/jpeg", "application/zip", "application/octet-stream")},
            "application/json": {"schema": PIXELS},
        },
    }
}
N0 = CertifySpec.__dataclass_fields__["n0"].default


@router.post(
    "",
    operation_id="create_predictions",
    response_model=Predictions,
    openapi_extra=BODY,
    responses={**ACCEPTED, 202: ACCEPTED[202] | {"model": Predictions}, **problems(400, 404, 409, 413, 415, 429, 507)},
)
async def create_predictions(
    request: Request,
    query: Annotated[PredictionQuery, Query()],
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: FileSettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Classifies the images in the body: a PNG or JPEG file, a zip of such files (in the order of their names), an .npz with
    an array of images, or JSON with lists of pixels in [0, 1]. Answers when all is known, or after `wait` seconds with what
    is certified so far, each valid as it stands; 202 where there is nothing yet. What comes later is at `Location`.

    A checkpoint that is a mix is one base classifier here: all of its networks run on every noise sample, and the radius is
    about the whole mix under noise. The certificate of Adaptive Smoothing is another one: see `bound` `mixed` of a certify job.
    """
    with request.app.state.decoding[0].taken(tenant_id):
        begun = await _begin(request, query, tenant_id, database, settings, idempotency_key)
    job_id, replayed, count = begun
    first = partial(predict_images.has_first, images=count, query=query, n0=N0)
    await _wait(request, job_id, query.wait, first if query.until == "first" else predict_images.is_over)
    found = await run_in_threadpool(predict_images.answer, database, tenant_id, job_id)
    return _answer(found, REPLAYED if replayed else {})


async def _begin(
    request: Request, query: PredictionQuery, tenant_id: str, database: Database, settings: Settings, key: str | None
) -> tuple[str, bool, int]:
    """The job, whether it was there before, and its number of images, of which nothing stays in memory while one waits."""
    content_type = request.headers.get("content-type", "")
    request_images.check_media(content_type)
    model = await run_in_threadpool(predict_images.admitted, database, settings, tenant_id, query.checkpoint, key)
    body = b"".join([piece async for piece in request.stream()])  # request.body() would keep it
    read = partial(request_images.read, body, content_type, request.app.state.decoder, shape=model.shape)
    framing = {"resize": query.resize, "center_crop": query.center_crop}
    turns = request.app.state.decoding[1]
    pixels = await turns.run(tenant_id, partial(read, most=settings.prediction_images, **framing))
    given = predict_images.Images(pixels=pixels, query=query)
    job_id, replayed = await run_in_threadpool(_submit, database, settings, tenant_id, given, key)
    return job_id, replayed, len(pixels)


def _submit(
    database: Database, settings: Settings, tenant_id: str, given: predict_images.Images, key: str | None
) -> tuple[str, bool]:
    job_id, replayed = predict_images.submit(database, settings, tenant_id, given, key)
    broker.wake_workers(settings)
    if not replayed:  # what a request finds again is not to make room for itself
        predict_images.make_room(database, settings, tenant_id)
    return job_id, replayed


@router.get(
    "/{job_id}",
    operation_id="get_predictions",
    response_model=Predictions,
    responses={202: ACCEPTED[202] | {"model": Predictions}, **NOT_MODIFIED, **problems(404)},
)
async def get_predictions(
    job_id: str, request: Request, tenant_id: TenantId, database: DatabaseDep, wait: Wait = 0.0
) -> Response:
    """What is certified of a request's images by now; with `wait`, as soon as nothing more will come or the time is up."""
    read = partial(predict_images.answer, database, tenant_id, job_id)
    found = await run_in_threadpool(read)
    if wait > 0 and found.state in ACTIVE:
        await _wait(request, job_id, wait, predict_images.is_over)
        found = await run_in_threadpool(read)
    answer = _answer(found, {})
    if matches(request, answer.headers["ETag"]):
        return Response(status_code=304, headers={"ETag": answer.headers["ETag"]})
    return answer


async def _wait(request: Request, job_id: str, seconds: float, wakes: WakeCondition) -> None:
    watch: JobWatcher = request.app.state.urgent_watch
    with contextlib.suppress(TimeoutError):
        if seconds > 0:
            await watch.until(job_id, wakes, min(seconds, MAX_WAIT))


def _answer(found: Predictions, headers: dict[str, str]) -> Response:
    """200, or 202 where there is nothing yet but may be later."""
    nothing_yet = not found.predictions and found.state in ACTIVE
    retry = {"Retry-After": str(RETRY_SECONDS)} if nothing_yet else {}
    body = found.model_dump_json()
    where = {"Location": f"/v1/predictions/{found.job}", "ETag": etag_of(body)}
    status = 202 if nothing_yet else 200
    return Response(body, status, where | retry | headers, media_type="application/json")
