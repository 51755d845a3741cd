"""Jobs: submit, list, poll, wait, cancel, delete; and a training job's epochs."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import TypeAdapter
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from radii.service.api.dependencies import Cursor, DatabaseDep, Limit, SettingsDep, TenantId, Wait, matches
from radii.service.api.job_cache import JobAnswers
from radii.service.api.openapi import ACCEPTED, NOT_MODIFIED, Responses, problems
from radii.service.api.resource_routes import json_answer, page
from radii.service.errors import RETRY_SECONDS, InUse
from radii.service.jobs.idempotency import REPLAYED, IdempotencyKey, forget, once
from radii.service.jobs.submission import claimable_shards, plan, plan_view, spec_of, submit
from radii.service.limits.json_bodies import JsonRoute
from radii.service.lookup import get, of_kind
from radii.service.schemas import job_results, plans, requests, responses
from radii.service.views import job_views, resource_views
from radii.worker.queue import broker
from radii.worker.store import jobs, results
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JsonRoute)

_REQUEST: TypeAdapter[Any] = TypeAdapter(requests.JobRequest)
_PLANNED: Responses = {200: {"model": plans.Plan, "description": "Valid; no job was made"}}
_ENDED: Responses = {200: {"model": responses.Job, "description": "It had ended already"}}


@router.post(
    "",
    operation_id="create_job",
    status_code=202,
    response_model=responses.Job,
    responses={**ACCEPTED, **_PLANNED, **problems(400, 409, 413, 429, 507)},
)
def create_job(
    body: Annotated[requests.JobRequest, Body()],
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submits a job, or with `validate_only` says what it would be. The specification stands at the top level."""
    spec = spec_of(body)
    if body.validate_only:
        with database.read() as session:
            return json_answer(
                plan_view(plan(session, tenant_id, spec, settings, look_ahead=True, budget=body.budget_seconds))
            )
    claimable = 0

    def make(session: Session) -> str:
        nonlocal claimable
        planned = plan(session, tenant_id, spec, settings)
        claimable = claimable_shards(planned)
        return submit(session, planned, body, settings).id

    request = {"make": "job", **_REQUEST.dump_python(body, mode="json")}
    identifier, replayed = once(database, tenant_id, idempotency_key, request, make)
    broker.wake_workers(settings, claimable)
    headers = {"Location": f"/v1/jobs/{identifier}", "Retry-After": str(RETRY_SECONDS)}
    return json_answer(_read(database, tenant_id, identifier), 202, headers | (REPLAYED if replayed else {}))


@router.get("", operation_id="list_jobs")
def list_jobs(
    tenant_id: TenantId,
    database: DatabaseDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[responses.JobState | None, Query()] = None,
    kind: Annotated[responses.JobKind | None, Query(description="conversions are listed only when asked for")] = None,
) -> responses.Page[responses.Job]:
    """Your jobs, newest first."""
    conditions = [Job.kind == kind if kind else jobs.LISTED] + ([Job.state == state] if state else [])
    with database.read() as session:
        rows, following = page(session, Job, tenant_id, cursor, limit, *conditions)
        return responses.Page(items=job_views.views(session, rows, brief=True), next_cursor=following)


@router.get(
    "/{job_id}", operation_id="get_job", response_model=responses.Job, responses={**NOT_MODIFIED, **problems(404)}
)
async def get_job(job_id: str, request: Request, tenant_id: TenantId, wait: Wait = 0.0) -> Response:
    """State, progress and running sums; with `wait`, as soon as the job has ended or the time is up."""
    answers: JobAnswers = request.app.state.job_answers
    found = await run_in_threadpool(answers.read, tenant_id, job_id)
    if wait > 0 and found.active:
        await request.app.state.watch.ended(job_id, min(wait, responses.MAX_WAIT))
        found = await run_in_threadpool(answers.read, tenant_id, job_id)
    headers = {"ETag": found.etag}
    if matches(request, found.etag):
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type="application/json", headers=headers)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    status_code=202,
    response_model=responses.Job,
    responses={**ACCEPTED, **_ENDED, **problems(404)},
)
def cancel_job(job_id: str, tenant_id: TenantId, database: DatabaseDep) -> Response:
    """Asks a job to stop; what it has found so far stays. A job that has ended is answered unchanged (200)."""
    asked = cancel(database, tenant_id, job_id)
    headers = {"Location": f"/v1/jobs/{job_id}", "Retry-After": str(RETRY_SECONDS)} if asked else {}
    return json_answer(_read(database, tenant_id, job_id), 202 if asked else 200, headers)


@router.delete("/{job_id}", operation_id="delete_job", status_code=204, responses=problems(404, 409))
def delete_job(job_id: str, tenant_id: TenantId, database: DatabaseDep) -> None:
    """Deletes a job that has ended, with all its results. A checkpoint that it made stays."""
    with database.write() as session:
        job = get(session, Job, tenant_id, job_id)
        if not jobs.delete(session, job_id):
            users = jobs.active_dependents(session, job_id)
            session.refresh(job)
            got = f"one that {', '.join(users[:5])} needs" if users else f"one that is {job.state}"
            wanted = "a job that has ended, and that no active job needs; cancel it first"
            raise InUse(expected=wanted, got=got, jobs=users or [job_id])
        forget(session, job_id)


@router.get("/{job_id}/epochs", operation_id="list_epochs", responses=problems(404))
def list_epochs(job_id: str, tenant_id: TenantId, database: DatabaseDep) -> job_results.Epochs:
    """A training job's epochs so far, in order."""
    with database.read() as session:
        of_kind(session, tenant_id, job_id, ("train",), "epochs")
        return job_results.Epochs(items=[resource_views.epoch(row) for row in results.epochs(session, job_id)])


def cancel(database: Database, tenant_id: str, job_id: str) -> bool:
    """Cancels the tenant's job; False where it has ended already."""
    with database.write() as session:
        if get(session, Job, tenant_id, job_id).state in jobs.TERMINAL:
            return False
        jobs.cancel(session, job_id)
        return True


def _read(database: Database, tenant_id: str, job_id: str) -> responses.Job:
    with database.read() as session:
        return job_views.view(session, get(session, Job, tenant_id, job_id))
