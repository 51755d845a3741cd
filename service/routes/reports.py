"""Reports of certify and evaluate jobs: JSON, HTML, CSV. While a job is not finished they are partial and say so."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response

from rs_core import evaluation_text
from rs_core.report_text import to_csv
from service import evaluation_reports, reports, result_schemas
from service.dependencies import DatabaseDep, TenantId, matches
from service.documents import DocumentRoute
from service.lookup import of_kind
from service.openapi import NOT_MODIFIED, files, problems
from service.rendering import PAGE_HEADERS
from service.resources import json_answer

router = APIRouter(prefix="/v1/jobs", tags=["reports"], route_class=DocumentRoute)

Format = Annotated[Literal["json", "html", "csv"], Path()]


@router.get(
    "/{job_id}/report",
    operation_id="get_report",
    response_model=result_schemas.Report,
    responses={**NOT_MODIFIED, **problems(404)},
)
def get_report(job_id: str, request: Request, tenant_id: TenantId, database: DatabaseDep) -> Response:
    """The report with its evidence: hashes, procedure, machine, and how to compute it again."""
    return _report(job_id, "json", request, tenant_id, database)


@router.get(
    "/{job_id}/report.{format}",
    operation_id="download_report",
    response_model=result_schemas.Report,
    responses={**files("text/html", "text/csv"), **problems(404)},
)
def download_report(
    job_id: str, format: Format, request: Request, tenant_id: TenantId, database: DatabaseDep
) -> Response:
    """The same as a file: `html` stands alone and prints well, `csv` has one number per line."""
    return _report(job_id, format, request, tenant_id, database)


def _report(job_id: str, form: str, request: Request, tenant_id: str, database: DatabaseDep) -> Response:
    with database.read() as session:
        found = reports.sources(session, of_kind(session, tenant_id, job_id, ("certify", "evaluate"), "a report"))
        headers = {"ETag": reports.etag(found, form)}
        if matches(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if found.job.kind == "evaluate":
            made = evaluation_reports.evaluation(session, found)
            return _of_evaluation(made, form, headers)
        rows = reports.digest(session, found)
        votes = reports.votes_of_mix(session, found)
    found = reports.with_weights(found, votes)
    report = reports.numbers(found, rows)
    if form == "json":
        return json_answer(reports.body(found, report), 200, headers)
    if form == "csv":
        return _csv(job_id, to_csv(report), headers)
    from service.report_page import page  # with matplotlib, which takes a while to import

    return Response(page(found, report, rows), media_type="text/html", headers=headers | PAGE_HEADERS)


def _of_evaluation(made: evaluation_reports.Evaluation, form: str, headers: dict[str, str]) -> Response:
    if form == "json":
        return json_answer(evaluation_reports.body(made), 200, headers)
    if form == "csv":
        return _csv(made.found.job.id, evaluation_text.to_csv(made.report), headers)
    return Response(evaluation_reports.page(made), media_type="text/html", headers=headers | PAGE_HEADERS)


def _csv(job_id: str, text: str, headers: dict[str, str]) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{job_id}-report.csv"'}
    return Response(text, media_type="text/csv", headers=headers | disposition)
