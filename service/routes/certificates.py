"""The results of a job, input by input: certificates and predictions, as JSON pages and as files."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from service import exports, result_schemas, schemas, views
from service.dependencies import (
    Cursor,
    DatabaseDep,
    RowLimit,
    TenantId,
    cut_page,
    decode_index,
    encode_cursor,
    etag_of,
    matches,
)
from service.openapi import files, problems
from service.resources import of_kind
from worker.store import results
from worker.store.result_tables import JobSummary
from worker.store.session import Database

router = APIRouter(prefix="/v1/jobs", tags=["certificates"])

Format = Annotated[Literal["csv", "tsv", "ndjson"], Path()]
PlainFormat = Annotated[Literal["csv", "ndjson"], Path()]


@router.get("/{job_id}/certificates", operation_id="list_certificates", responses=problems(404))
def list_certificates(
    job_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 100, cursor: Cursor = None
) -> schemas.Page[result_schemas.Certificate]:
    """A certify job's certificates so far, by index."""
    after = decode_index(cursor)
    with database.read() as session:
        of_kind(session, tenant_id, job_id, ("certify",), "certificates")
        rows, last = cut_page(list(results.certificates(session, job_id, after=after, limit=limit + 1)), limit)
    following = None if last is None else encode_cursor(last.index)
    return schemas.Page(items=[views.certificate(row) for row in rows], next_cursor=following)


@router.get(
    "/{job_id}/certificates.{format}",
    operation_id="download_certificates",
    response_class=StreamingResponse,
    responses={**files("text/csv", "text/tab-separated-values", "application/x-ndjson"), **problems(404)},
)
def download_certificates(
    job_id: str, format: Format, request: Request, tenant_id: TenantId, database: DatabaseDep
) -> Response:
    """All certificates so far as a file; `tsv` is the field's format, radii rounded down."""
    etag = rows_etag(database, tenant_id, job_id, ("certify",), "certificates")
    return file_answer(request, etag, f"{job_id}-certificates.{format}", exports.certificates(database, job_id, format))


@router.get("/{job_id}/predictions", operation_id="list_predictions", responses=problems(404))
def list_predictions(
    job_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 100, cursor: Cursor = None
) -> schemas.Page[result_schemas.Prediction]:
    """The predictions of a predict or soft_labels job so far, by index."""
    after = decode_index(cursor)
    with database.read() as session:
        of_kind(session, tenant_id, job_id, results.PREDICTING, "predictions")
        rows, last = cut_page(list(results.predictions(session, job_id, after=after, limit=limit + 1)), limit)
    following = None if last is None else encode_cursor(last.index)
    return schemas.Page(items=[views.prediction(row) for row in rows], next_cursor=following)


@router.get(
    "/{job_id}/predictions.{format}",
    operation_id="download_predictions",
    response_class=StreamingResponse,
    responses={**files("text/csv", "application/x-ndjson"), **problems(404)},
)
def download_predictions(
    job_id: str, format: PlainFormat, request: Request, tenant_id: TenantId, database: DatabaseDep
) -> Response:
    """All predictions so far as a file."""
    etag = rows_etag(database, tenant_id, job_id, results.PREDICTING, "predictions")
    return file_answer(request, etag, f"{job_id}-predictions.{format}", exports.predictions(database, job_id, format))


def rows_etag(database: Database, tenant_id: str, job_id: str, kinds: Sequence[str], part: str) -> str:
    """The tag of a job's rows so far, which may get more samples without becoming more; raises ``NotFound`` where it has none of that kind."""
    with database.read() as session:
        job = of_kind(session, tenant_id, job_id, kinds, part)
        summary = session.get_one(JobSummary, job_id)
        return etag_of(job.id, job.revision, summary.done, summary.work_done)


def file_answer(request: Request, etag: str, name: str, pieces: Iterator[str]) -> Response:
    """A file of rows, by its name."""
    headers = {"ETag": etag, "Content-Disposition": f'attachment; filename="{name}"'}
    if matches(request, etag):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(pieces, media_type=exports.MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)
