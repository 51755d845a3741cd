"""Reports of certify and evaluate jobs: JSON, HTML, CSV. While a job is not finished they are partial and say so."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session

from radii.rs_core.records import Certificate
from radii.rs_core.reports import evaluation_text
from radii.rs_core.reports.certification_text import to_csv
from radii.rs_core.results.row_statistics import RowStatistics
from radii.service.api.dependencies import DatabaseDep, TenantId, matches
from radii.service.api.documents import DocumentRoute
from radii.service.api.openapi import NOT_MODIFIED, files, problems
from radii.service.api.resource_routes import json_answer
from radii.service.lookup import of_kind
from radii.service.schemas import job_results
from radii.service.views import certification_report, evaluation_report
from radii.service.views.certification_report import Sources
from radii.service.views.rendering import PAGE_HEADERS

router = APIRouter(prefix="/v1/jobs", tags=["reports"], route_class=DocumentRoute)

Answer = Callable[[str, dict[str, str]], Response]
"""From the format and the headers to the answer."""
Format = Annotated[Literal["json", "html", "csv"], Path()]


@router.get(
    "/{job_id}/report",
    operation_id="get_report",
    response_model=job_results.Report,
    responses={**NOT_MODIFIED, **problems(404)},
)
def get_report(job_id: str, request: Request, tenant_id: TenantId, database: DatabaseDep) -> Response:
    """The report with its evidence: hashes, procedure, machine, and how to compute it again."""
    return _report(job_id, "json", request, tenant_id, database)


@router.get(
    "/{job_id}/report.{format}",
    operation_id="download_report",
    response_model=job_results.Report,
    responses={**files("text/html", "text/csv"), **problems(404)},
)
def download_report(
    job_id: str, format: Format, request: Request, tenant_id: TenantId, database: DatabaseDep
) -> Response:
    """The same as a file: `html` stands alone and prints well, `csv` has one number per line."""
    return _report(job_id, format, request, tenant_id, database)


def _report(job_id: str, form: str, request: Request, tenant_id: str, database: DatabaseDep) -> Response:
    with database.read() as session:
        job = of_kind(session, tenant_id, job_id, tuple(REPORTS), "a report")
        found = certification_report.sources(session, job)
        headers = {"ETag": certification_report.etag(found, form)}
        if matches(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        answer = REPORTS[job.kind](session, found)
    return answer(form, headers)


def _certification(session: Session, found: Sources) -> Answer:
    rows = certification_report.row_statistics_of(session, found)
    votes = certification_report.votes_of_mix(session, found)
    return partial(_of_certification, found, rows, votes)


def _of_certification(
    found: Sources, rows: RowStatistics, votes: Sequence[Certificate] | None, form: str, headers: dict[str, str]
) -> Response:
    found = certification_report.with_weights(found, votes)
    report = certification_report.numbers(found, rows)
    if form == "json":
        return json_answer(certification_report.body(found, report), 200, headers)
    if form == "csv":
        return _csv(found.job.id, to_csv(report), headers)
    from radii.service.views.report_page import page  # with matplotlib, which takes a while to import

    return Response(page(found, report, rows), media_type="text/html", headers=headers | PAGE_HEADERS)


def _evaluation(session: Session, found: Sources) -> Answer:
    return partial(_of_evaluation, evaluation_report.evaluation(session, found))


def _of_evaluation(made: evaluation_report.Evaluation, form: str, headers: dict[str, str]) -> Response:
    if form == "json":
        return json_answer(evaluation_report.body(made), 200, headers)
    if form == "csv":
        return _csv(made.found.job.id, evaluation_text.to_csv(made.report), headers)
    return Response(evaluation_report.page(made), media_type="text/html", headers=headers | PAGE_HEADERS)


def _csv(job_id: str, text: str, headers: dict[str, str]) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{job_id}-report.csv"'}
    return Response(text, media_type="text/csv", headers=headers | disposition)


REPORTS: dict[str, Callable[[Session, Sources], Answer]] = {"certify": _certification, "evaluate": _evaluation}
"""By kind of job: what reads all that a report needs, and gives what makes it, without a session."""
