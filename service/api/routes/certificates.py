"""The results of a job, input by input: certificates and predictions, as JSON pages and as files."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from radii.service.api.dependencies import Cursor, DatabaseDep, RowLimit, TenantId
from radii.service.api.documents import FileRoute
from radii.service.api.openapi import files, problems
from radii.service.api.row_responses import RowKind, file_answer, rows_etag, rows_page
from radii.service.schemas import job_results, responses
from radii.service.views import resource_views, row_exports
from radii.worker.store import certificate_rows, prediction_rows

router = APIRouter(prefix="/v1/jobs", tags=["certificates"], route_class=FileRoute)

Format = Annotated[Literal["csv", "tsv", "ndjson"], Path()]
PlainFormat = Annotated[Literal["csv", "ndjson"], Path()]


@router.get("/{job_id}/certificates", operation_id="list_certificates", responses=problems(404))
def list_certificates(
    job_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 100, cursor: Cursor = None
) -> responses.Page[job_results.Certificate]:
    """A certify job's certificates so far, by index."""
    of = RowKind(kinds=("certify",), noun="certificates", read=certificate_rows.read, show=resource_views.certificate)
    return rows_page(database, tenant_id, job_id, of, limit=limit, cursor=cursor)


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
    return file_answer(
        request, etag, f"{job_id}-certificates.{format}", row_exports.certificates(database, job_id, format)
    )


@router.get("/{job_id}/predictions", operation_id="list_predictions", responses=problems(404))
def list_predictions(
    job_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 100, cursor: Cursor = None
) -> responses.Page[job_results.Prediction]:
    """The predictions of a predict or soft_labels job so far, by index."""
    of = RowKind(
        kinds=prediction_rows.PREDICTING, noun="predictions", read=prediction_rows.read, show=resource_views.prediction
    )
    return rows_page(database, tenant_id, job_id, of, limit=limit, cursor=cursor)


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
    etag = rows_etag(database, tenant_id, job_id, prediction_rows.PREDICTING, "predictions")
    return file_answer(
        request, etag, f"{job_id}-predictions.{format}", row_exports.predictions(database, job_id, format)
    )
