"""What an evaluate job has found, input by input, as JSON pages and as files."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from radii.service.api.dependencies import Cursor, DatabaseDep, RowLimit, TenantId
from radii.service.api.documents import FileRoute
from radii.service.api.openapi import files, problems
from radii.service.api.row_responses import RowKind, file_answer, rows_etag, rows_page
from radii.service.schemas import job_results, responses
from radii.service.views import resource_views, row_exports
from radii.worker.store import evaluation_rows

router = APIRouter(prefix="/v1/jobs", tags=["evaluations"], route_class=FileRoute)

KINDS = ("evaluate",)
Format = Annotated[Literal["csv", "ndjson"], Path()]


@router.get("/{job_id}/evaluations", operation_id="list_evaluations", responses=problems(404))
def list_evaluations(
    job_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 100, cursor: Cursor = None
) -> responses.Page[job_results.Evaluated]:
    """What an evaluate job has found so far, by index."""
    of = RowKind(kinds=KINDS, noun="evaluations", read=evaluation_rows.read, show=resource_views.evaluated)
    return rows_page(database, tenant_id, job_id, of, limit=limit, cursor=cursor)


@router.get(
    "/{job_id}/evaluations.{format}",
    operation_id="download_evaluations",
    response_class=StreamingResponse,
    responses={**files("text/csv", "application/x-ndjson"), **problems(404)},
)
def download_evaluations(
    job_id: str, format: Format, request: Request, tenant_id: TenantId, database: DatabaseDep
) -> Response:
    """All that was found so far as a file; `csv` has one line for each input and point."""
    etag = rows_etag(database, tenant_id, job_id, KINDS, "evaluations")
    return file_answer(
        request, etag, f"{job_id}-evaluations.{format}", row_exports.evaluations(database, job_id, format)
    )
