"""Plots of certify and evaluate jobs, drawn from the rows."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response

from radii.service.api.dependencies import DatabaseDep, TenantId, matches
from radii.service.api.documents import DocumentRoute
from radii.service.api.openapi import files, problems
from radii.service.errors import NotFound
from radii.service.lookup import of_kind
from radii.service.views import certification_report, evaluation_report
from radii.service.views.rendering import FIGURE_HEADERS, FIGURE_TYPES
from radii.worker.store import corruption_groups

router = APIRouter(prefix="/v1/jobs", tags=["plots"], route_class=DocumentRoute)

Name = Annotated[Literal["certified-accuracy", "radius-histogram", "corruptions", "weights", "evaluation"], Path()]
Format = Annotated[Literal["png", "svg"], Path()]


@router.get(
    "/{job_id}/plots/{name}.{format}",
    operation_id="get_plot",
    response_class=Response,
    responses={**files("image/png", "image/svg+xml"), **problems(404)},
)
def get_plot(
    job_id: str, name: Name, format: Format, request: Request, tenant_id: TenantId, database: DatabaseDep
) -> Response:
    """Of a certify job certified accuracy over the radius, the histogram of radii or, on corrupted images, accuracy and ACR by
    corruption, or of a mix certified accuracy by the weight of its robust classifier; of an evaluate job what it found at each point; of what is done so far."""
    with database.read() as session:
        kind = "evaluate" if name == "evaluation" else "certify"
        found = certification_report.sources(session, of_kind(session, tenant_id, job_id, (kind,), "this plot"))
        headers = {"ETag": certification_report.etag(found, f"{name}.{format}"), **FIGURE_HEADERS}
        if matches(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if name == "evaluation":
            made = evaluation_report.evaluation(session, found)
            return Response(evaluation_report.plot(made, format), media_type=FIGURE_TYPES[format], headers=headers)
        if name == "corruptions" and corruption_groups.corrupted(found.dataset) is None:
            raise NotFound(expected="a job on corrupted images, since only these have this plot", got="one on others")
        votes = certification_report.votes_of_mix(session, found) if name == "weights" else None
        if name == "weights" and votes is None:
            raise NotFound(
                expected="a job with bound = mixed, since only these have this plot", got="one of another bound"
            )
        rows = certification_report.row_statistics_of(session, found)
    found = certification_report.with_weights(found, votes)
    from radii.service.views.report_page import plot  # with matplotlib, which takes a while to import

    return Response(plot(found, rows, name, format), media_type=FIGURE_TYPES[format], headers=headers)
