"""Pages for people: the list of jobs, and one job with its progress. They show what the API says, no more."""

import json

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.sse import EventSourceResponse

from rs_core import published
from service import job_views
from service.auth import PageTenantId
from service.dependencies import Cursor, DatabaseDep, SettingsDep, get
from service.rendering import PAGE_HEADERS, render
from service.resources import page
from service.routes.events import stream_events
from service.routes.jobs import cancel
from worker.store import backlog
from worker.store.jobs import ACTIVE
from worker.store.tables import Job

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

JOBS_PER_PAGE = 50


@router.get("/")
def jobs_page(tenant_id: PageTenantId, database: DatabaseDep, cursor: Cursor = None) -> Response:
    """The tenant's jobs, newest first."""
    with database.read() as session:
        rows, following = page(session, Job, tenant_id, cursor, JOBS_PER_PAGE, Job.kind != "convert")
        jobs = job_views.views(session, rows)
    return HTMLResponse(render("jobs.html", jobs=jobs, following=following), headers=PAGE_HEADERS)


@router.get("/jobs/{job_id}")
def job_page(job_id: str, tenant_id: PageTenantId, database: DatabaseDep, settings: SettingsDep) -> Response:
    """One job; of one that has not ended, also whether there is a worker."""
    with database.read() as session:
        job = job_views.view(session, get(session, Job, tenant_id, job_id))
        waits = job.state in ACTIVE and not backlog.workers(session, settings.seen)
    spec = json.dumps(job.spec, indent=2, sort_keys=True)
    beside = [one for one in published.beginning(None) if one.sigma in (None, job.spec.get("sigma"))]
    html = render("job.html", job=job, spec=spec, waits=waits, seen=settings.seen, published=beside)
    return HTMLResponse(html, headers=PAGE_HEADERS)


# Below the page's own address, where a browser sends the password that it was asked for.
router.add_api_route("/jobs/{job_id}/events", stream_events, methods=["GET"], response_class=EventSourceResponse)


@router.post("/jobs/{job_id}/cancel")
def cancel_from_page(job_id: str, tenant_id: PageTenantId, database: DatabaseDep) -> Response:
    """The button: cancels, and shows the job again."""
    cancel(database, tenant_id, job_id)
    return RedirectResponse(f"/jobs/{job_id}", status_code=303)
