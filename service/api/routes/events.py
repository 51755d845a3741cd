"""A job's events as they happen: every change of its state, from any of them on, and its progress in between."""

import logging
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from radii.service.api.dependencies import DatabaseDep, TenantId
from radii.service.api.openapi import problems
from radii.service.jobs.watcher import JobSnapshot, JobWatcher
from radii.service.lookup import get
from radii.service.schemas import responses
from radii.service.views.resource_views import time
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Event, Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

log = logging.getLogger("radii.service")

SECONDS_BETWEEN_PROGRESS = 1.0
PATIENCE = 60.0
"""Seconds of one wait; nothing is sent when it ends."""
RECONNECT_MS = 2_000
LAST_EVENT_ID = 2**63 - 1
"""What a database can look for."""


def existing(job_id: str, tenant_id: TenantId, database: DatabaseDep) -> str:
    """The identifier of a job of the tenant's; raises ``NotFound`` before anything of the stream is sent."""
    with database.read() as session:
        return get(session, Job, tenant_id, job_id).id


async def counted(request: Request, tenant_id: TenantId) -> AsyncIterator[None]:
    """Holds one of the tenant's streams until this one has ended; raises ``TooManyStreams``."""
    with request.app.state.room.stream(tenant_id, request.scope["radii.address"]):
        yield


COUNTED = [Depends(counted)]


@router.get(
    "/{job_id}/events",
    operation_id="stream_events",
    response_class=EventSourceResponse,
    responses=problems(404),
    dependencies=COUNTED,
)
async def stream_events(
    job_id: Annotated[str, Depends(existing)],
    request: Request,
    database: DatabaseDep,
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=LAST_EVENT_ID, description="`id` of the last event that came; the stream goes on after it"),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: one for each change of the job's state, with an `id`, from the first one on or from the one
    after `Last-Event-ID`; none is missing and none comes twice. In between come events `progress`, without an `id`. The
    stream ends with the job.
    """
    watch: JobWatcher = request.app.state.watch
    last, shown, shown_at = -1 if last_event_id is None else last_event_id, None, 0.0
    while True:
        for event in await run_in_threadpool(_after, database, job_id, last):
            yield event
            last = int(event.id or last)
        try:
            standing = await watch.until(job_id, partial(_news, last, shown, shown_at), PATIENCE)
        except TimeoutError:
            continue
        if standing is None or (standing.over and standing.revision <= last):
            return
        if standing.progress != shown and standing.revision <= last:
            shown, shown_at = standing.progress, monotonic()
            yield ServerSentEvent(event="progress", data=shown)


def _news(last: int, shown: responses.EventProgress | None, shown_at: float, standing: JobSnapshot | None) -> bool:
    """Whether there is anything to send, or nothing any more."""
    if standing is None or standing.over or standing.revision > last:
        return True
    return standing.progress != shown and monotonic() - shown_at >= SECONDS_BETWEEN_PROGRESS


def _after(database: Database, job_id: str, last: int) -> list[ServerSentEvent]:
    """The events after ``last``; none while the database is away: who waits for them is told when it is back."""
    query = select(Event).where(Event.job_id == job_id, Event.seq > last).order_by(Event.seq)
    try:
        with database.read() as session:
            rows = list(session.scalars(query))
    except SQLAlchemyError as error:
        log.warning("cannot read events: %s", error)
        return []
    return [
        ServerSentEvent(
            id=str(row.seq),
            event=row.type,
            retry=RECONNECT_MS,
            data=responses.JobEvent(job=job_id, seq=row.seq, type=row.type, created=time(row.created), data=row.data),
        )
        for row in rows
    ]
