"""The HTTP service as one application: routes, errors, access, metrics. Imports no torch, reads no environment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from anyio import CapacityLimiter
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from radii.rs_core.models import registry as architectures_table
from radii.service.api import openapi, problems
from radii.service.api.auth import Credentials, RequestGuard
from radii.service.api.heartbeat import SameSchema, ServiceHeartbeat
from radii.service.api.job_cache import JobAnswers
from radii.service.api.metrics import QueueCollector, RequestMetrics
from radii.service.api.request_limits import RequestCapacity, RequestLimits
from radii.service.api.routes import (
    architectures,
    blobs,
    checkpoints,
    compare,
    datasets,
    events,
    health,
    jobs,
    methods,
    multipart_uploads,
    pages,
    plots,
    predictions,
    presets,
    published,
    reports,
    rows,
    uploads,
    usage,
)
from radii.service.api.shared_answers import SharedAnswer, SharedMetrics
from radii.service.api.uploads_in_progress import ActiveUploads
from radii.service.jobs.watcher import JobWatcher
from radii.service.limits.concurrency import DECODED_AT_ONCE, JOINED_AT_ONCE, SEALED_AT_ONCE, FairThreads, TenantLimit
from radii.service.views.certification_report import VERSION
from radii.service.views.comparison import MOST_WITH_FILES
from radii.worker.sandbox import decoder
from radii.worker.sandbox.decoder_client import Decoder
from radii.worker.settings import Settings
from radii.worker.store.database import Database

NOUNS = (  # in the order in which a request's path is compared with them
    jobs,
    multipart_uploads,
    uploads,
    blobs,
    datasets,
    checkpoints,
    architectures,
    methods,
    presets,
    published,
    events,
    rows,
    reports,
    plots,
    compare,
    predictions,
    usage,
)
MOST_ARRIVING = 32
"""Requests of one tenant for predictions whose images are read and held in memory at a time; none while it waits."""
DESCRIPTION = """Trains and certifies randomized-smoothing classifiers.

Upload a data set and a checkpoint (or train one), submit a job, poll it, download a report in which every number can be
computed again from stored counts. Errors are RFC 9457 problems that say what was expected and what came."""


def create_app(
    settings: Settings, database: Database | None = None, *, require_key: bool = False, shown: bool = True
) -> FastAPI:
    """The application over a migrated database.

    Args:
        settings: Of the service.
        database: Its database; one of the settings' URL by default, closed with the application.
        require_key: Whether requests need an API key. Without it everybody is the default tenant, and only requests to a
            loopback host name are served.
        shown: Whether the database lists it as a running service.
    """
    architectures_table.use(settings.architectures)
    app = FastAPI(title="radii", version=VERSION, description=DESCRIPTION, lifespan=_lifespan, openapi_url=None)
    app.state.settings = settings
    app.state.database = database or Database(settings.url, patience=settings.patience)
    app.state.owns_database = database is None
    app.state.shown = shown
    app.state.documents = None
    app.state.watch = JobWatcher(app.state.database)
    app.state.urgent_watch = JobWatcher(app.state.database, eager=True)
    app.state.decoder = Decoder(decoder.share(settings.decode_memory, DECODED_AT_ONCE), settings.sandbox_uid)
    app.state.decoding = TenantLimit(MOST_ARRIVING, "requests for predictions whose images are read"), FairThreads()
    app.state.sealing = CapacityLimiter(SEALED_AT_ONCE)
    app.state.joining = TenantLimit(1, "completion of an upload"), CapacityLimiter(JOINED_AT_ONCE)
    app.state.comparing = TenantLimit(MOST_WITH_FILES, "comparisons with files")
    app.state.job_answers = JobAnswers(app.state.database)
    app.state.active_uploads = ActiveUploads(app.state.database, settings)
    app.state.registry = CollectorRegistry()
    app.state.registry.register(QueueCollector(app.state.database, settings))
    app.state.scrapes = SharedMetrics(app.state.registry)
    app.state.readiness = SharedAnswer(partial(health.readiness, app.state.database, settings))
    app.state.heartbeat = ServiceHeartbeat(app.state.database, settings)
    app.state.room = RequestCapacity(settings, app.state.registry)
    credentials = Credentials(app.state.database, require_key=require_key)
    app.state.room.refusals.gauge(
        "http_key_lookups_waiting", "Requests whose keys wait to be looked up.", lambda: credentials.waiting
    )
    # The last one added is the first to see a request.
    app.add_middleware(RequestLimits, room=app.state.room, credentials=credentials)
    app.add_middleware(SameSchema, heartbeat=app.state.heartbeat)
    app.add_middleware(RequestGuard, require_key=require_key)
    app.add_middleware(RequestMetrics, registry=app.state.registry)
    problems.install(app)
    openapi.install(app, require_key=require_key)
    for noun in NOUNS:
        app.include_router(noun.router, responses=openapi.problems())
    app.include_router(health.router)
    app.include_router(pages.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with app.state.heartbeat.seen(shown=app.state.shown):
        yield
        if app.state.documents is not None:
            await app.state.documents.close()
        app.state.watch.close()
        app.state.urgent_watch.close()
        app.state.decoder.close()
    if app.state.owns_database:
        app.state.database.close()
