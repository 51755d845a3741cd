"""Pages for people: the list of jobs, and one job with its progress. They show what the API says, no more."""

import json
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.sse import EventSourceResponse
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from radii.rs_core.literature import published_results
from radii.rs_core.reports.evaluation import CertificateCheck
from radii.service.api.auth import PageTenantId
from radii.service.api.dependencies import Cursor, DatabaseDep, SettingsDep
from radii.service.api.documents import DocumentProcess
from radii.service.api.resource_routes import page
from radii.service.api.routes.events import COUNTED, stream_events
from radii.service.api.routes.jobs import cancel
from radii.service.limits.request_turns import waiting
from radii.service.lookup import get
from radii.service.schemas import responses
from radii.service.views import certification_report, evaluation_report, job_views
from radii.service.views.rendering import PAGE_HEADERS, render
from radii.worker.settings import Settings
from radii.worker.store import queue_stats
from radii.worker.store.database import Database
from radii.worker.store.jobs import ACTIVE, LISTED, URGENT
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.resources import DELETED

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

JOBS_PER_PAGE = 50


@router.get("/")
def jobs_page(tenant_id: PageTenantId, database: DatabaseDep, cursor: Cursor = None) -> Response:
    """The tenant's jobs, newest first."""
    with database.read() as session:
        rows, following = page(session, Job, tenant_id, cursor, JOBS_PER_PAGE, LISTED)
        jobs = job_views.views(session, rows, brief=True)
        named = _names(session, rows)
    html = render("jobs.html", jobs=jobs, following=following, named=named, unlabelled=_unlabelled)
    return HTMLResponse(html, headers=PAGE_HEADERS)


@router.get("/jobs")
def jobs_elsewhere() -> Response:
    """Where somebody looks for the list who knows a job's page."""
    return RedirectResponse("/", status_code=308)


@router.get("/jobs/{job_id}")
async def job_page(
    job_id: str, request: Request, tenant_id: PageTenantId, database: DatabaseDep, settings: SettingsDep
) -> Response:
    """One job; of one that has not ended, also whether there is a worker."""
    documents: DocumentProcess | None = request.app.state.documents
    if documents is not None and await run_in_threadpool(_shows_an_evaluation, database, tenant_id, job_id):
        async with waiting():
            return await documents.answer(request)
    return await run_in_threadpool(_job_page, job_id, tenant_id, database, settings)


def _shows_an_evaluation(database: Database, tenant_id: str, job_id: str) -> bool:
    with database.read() as session:
        return _has_held(get(session, Job, tenant_id, job_id))


def _job_page(job_id: str, tenant_id: str, database: Database, settings: Settings) -> Response:
    with database.read() as session:
        row = get(session, Job, tenant_id, job_id)
        job, named = job_views.view(session, row), _names(session, [row])
        held = _held(session, row)
        waits = job.state in ACTIVE and not queue_stats.workers(session, settings.seen)
    spec = json.dumps(job.spec, indent=2, sort_keys=True)
    comparable = [one for one in published_results.beginning(None) if one.sigma in (None, job.spec.get("sigma"))]
    html = render(
        "job.html",
        job=job,
        unlabelled=_unlabelled(job),
        held=held,
        named=named,
        spec=spec,
        waits=waits,
        seen=settings.seen,
        published=comparable,
    )
    return HTMLResponse(html, headers=PAGE_HEADERS)


def _names(session: Session, jobs: Sequence[Job]) -> dict[str, str]:
    """What the models and data sets of jobs are called, by their identifiers."""
    found: dict[str, str] = {}
    for table, ids in (
        (Checkpoint, {job.checkpoint_id for job in jobs}),
        (Dataset, {job.dataset_id for job in jobs} | {job.test_dataset_id for job in jobs}),
    ):
        rows = session.execute(select(table.id, table.name, table.state).where(table.id.in_(ids - {None})))
        found |= {row_id: f"{name} (deleted)" if state == DELETED else name for row_id, name, state in rows}
    return found


def _unlabelled(job: responses.Job) -> bool:
    """Whether its images came with a request for predictions, without labels: nothing is right or wrong there."""
    return job.priority >= URGENT


def _has_held(job: Job) -> bool:
    return job.state not in ACTIVE and job.spec.compared_with is not None


def _held(session: Session, job: Job) -> CertificateCheck | None:
    """Of an attack that has ended, its answers held against certificates."""
    if not _has_held(job):
        return None
    return evaluation_report.evaluation(session, certification_report.sources(session, job)).report.held


# Below the page's own address, where a browser sends the password that it was asked for.
router.add_api_route(
    "/jobs/{job_id}/events",
    stream_events,
    methods=["GET"],
    response_class=EventSourceResponse,
    dependencies=COUNTED,
)


@router.post("/jobs/{job_id}/cancel")
def cancel_from_page(job_id: str, tenant_id: PageTenantId, database: DatabaseDep) -> Response:
    """The button: cancels, and shows the job again."""
    cancel(database, tenant_id, job_id)
    return RedirectResponse(f"/jobs/{job_id}", status_code=303)
