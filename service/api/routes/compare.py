"""Comparisons of certify jobs and of results files, on the inputs they share and beside published figures."""

from contextlib import ExitStack
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from radii.rs_core.comparisons.text import comparison_csv
from radii.rs_core.literature import published_results as results
from radii.service.api.dependencies import DatabaseDep, FileSettingsDep, TenantId, matches
from radii.service.api.documents import DocumentRoute
from radii.service.api.openapi import NOT_MODIFIED, files, problems
from radii.service.api.resource_routes import json_answer
from radii.service.limits.concurrency import TenantLimit
from radii.service.schemas import comparisons
from radii.service.views import comparison
from radii.service.views.comparison import MOST_RUNS, ComparisonRequest, ComparisonView
from radii.service.views.rendering import FIGURE_HEADERS, FIGURE_TYPES, PAGE_HEADERS
from radii.worker.settings import Settings
from radii.worker.store.database import Database

router = APIRouter(prefix="/v1/compare", tags=["compare"], route_class=DocumentRoute)

Name = Annotated[str, Query(max_length=255)]
Radius = Annotated[float, Query(ge=0, allow_inf_nan=False)]
Format = Annotated[Literal["json", "html", "csv"], Path()]
Picture = Annotated[Literal["png", "svg"], Path()]


def _comparison_request(
    job: Annotated[list[Name], Query(max_length=MOST_RUNS, description="certify jobs of yours")] = [],  # noqa: B006
    file: Annotated[
        list[Name], Query(max_length=MOST_RUNS, description="uploads: the field's TSV, or `.ndjson` with votes")
    ] = [],  # noqa: B006
    published: Annotated[
        list[Name], Query(max_length=MOST_RUNS, description="published results to show alongside, see `/v1/published`")
    ] = [],  # noqa: B006
    baseline: Annotated[
        str | None,
        Query(max_length=255, description="the job or file that the others are tested against; the first by default"),
    ] = None,
    radius: Annotated[
        list[Radius], Query(max_length=100, description="radii of tables and tests; a round grid by default")
    ] = [],  # noqa: B006
    pairs: Annotated[
        Literal["baseline", "all"], Query(description="test each run against the baseline, or every two")
    ] = "baseline",
    photographs: Annotated[
        int | None,
        Query(
            ge=1,
            le=10_000_000,
            description="of files of corrupted images: index i shows photograph i modulo this, 10000 in CIFAR-10-C; tests and "
            "intervals then resample photographs. Of jobs it is known",
        ),
    ] = None,
) -> ComparisonRequest:
    """The query; what is empty, as a form sends it, is not asked for, and what comes twice is asked for once."""
    return ComparisonRequest(
        jobs=tuple(dict.fromkeys(filter(None, job))),
        files=tuple(dict.fromkeys(filter(None, file))),
        published=tuple(results.published(name) for name in dict.fromkeys(filter(None, published))),
        baseline=baseline or None,
        radii=tuple(radius) or None,
        all_pairs=pairs == "all",
        photographs=photographs,
    )


ComparisonRequestDep = Annotated[ComparisonRequest, Depends(_comparison_request)]


@router.get(
    "",
    operation_id="compare",
    response_model=comparisons.Comparison,
    responses={**NOT_MODIFIED, **problems(404, 410, 429)},
)
def compare(
    query: ComparisonRequestDep, request: Request, tenant_id: TenantId, database: DatabaseDep, settings: FileSettingsDep
) -> Response:
    """Certified accuracy and ACR of each run on the inputs that all share, with paired tests against a baseline."""
    return _comparison(query, "json", request, tenant_id, database, settings)


@router.get(
    ".{format}",
    operation_id="download_comparison",
    response_model=comparisons.Comparison,
    responses={**files("text/html", "text/csv"), **problems(404, 410, 429)},
)
def download_comparison(
    format: Format,
    query: ComparisonRequestDep,
    request: Request,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: FileSettingsDep,
) -> Response:
    """The same as a file: `html` stands alone and prints well, `csv` has one number per line."""
    return _comparison(query, format, request, tenant_id, database, settings)


@router.get(
    "/plots/certified-accuracy.{format}",
    operation_id="get_comparison_plot",
    response_class=Response,
    responses={**files("image/png", "image/svg+xml"), **problems(404, 410, 429)},
)
def get_comparison_plot(
    format: Picture,
    query: ComparisonRequestDep,
    request: Request,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: FileSettingsDep,
) -> Response:
    """All curves on one plot, and published figures as points."""
    headers, found = _made(query, f"plot.{format}", request, tenant_id, database, settings)
    if found is None:
        return Response(status_code=304, headers=headers)
    from radii.service.views.comparison_page import plot  # with matplotlib, which takes a while to import

    return Response(plot(found, format), media_type=FIGURE_TYPES[format], headers=headers | FIGURE_HEADERS)


def _comparison(
    query: ComparisonRequest, form: str, request: Request, tenant_id: str, database: Database, settings: Settings
) -> Response:
    headers, found = _made(query, form, request, tenant_id, database, settings)
    if found is None:
        return Response(status_code=304, headers=headers)
    if form == "json":
        return json_answer(comparison.body(found), 200, headers)
    if form == "csv":
        disposition = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
        return Response(comparison_csv(found.results), media_type="text/csv", headers=headers | disposition)
    from radii.service.views.comparison_page import page  # with matplotlib, which takes a while to import

    return Response(page(found), media_type="text/html", headers=headers | PAGE_HEADERS)


def _made(
    query: ComparisonRequest, form: str, request: Request, tenant_id: str, database: Database, settings: Settings
) -> tuple[dict[str, str], ComparisonView | None]:
    """The headers and the comparison; None where the client has it already. Files are read, and it is computed, when the session is
    closed."""
    places: TenantLimit = request.app.state.comparing
    with ExitStack() as held:
        with database.read() as session:
            named = comparison.find(session, tenant_id, query)
            headers = {"ETag": comparison.etag(named, query, form)}
            if matches(request, headers["ETag"]):
                return headers, None
            if query.files:
                held.enter_context(places.taken(tenant_id))
            jobs = comparison.read_jobs(session, named)
        runs = comparison.read_files(named, jobs, settings, query.photographs)
        return headers, comparison.compared(query, named, runs)
