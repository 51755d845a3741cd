"""Health, readiness, metrics, version: for whoever runs the service. They need no key and name no tenant."""

import logging
import platform
import secrets
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from sqlalchemy import text

from radii.rs_core.errors import OperationError
from radii.service.api.resource_routes import json_answer
from radii.service.api.shared_answers import SharedAnswer, SharedMetrics
from radii.service.errors import Unavailable
from radii.service.schemas.responses import Answer
from radii.service.views.certification_report import VERSION
from radii.worker.isolation import availability
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import queue_stats, schema_version, start_failures
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.start_failures import StartFailure

router = APIRouter(tags=["health"])
log = logging.getLogger("radii.service")

head = schema_version.head


class Version(Answer):
    """What runs here."""

    version: str
    schema_revision: str
    python: str


class Check(Answer):
    """One thing that the service needs, and whether it has it."""

    ok: bool
    detail: str
    needed: Annotated[bool, Field(description="whether requests cannot be served without it")] = True


class SeenWorker(Answer):
    """A worker process that was seen lately."""

    id: str
    host: str
    pid: int
    seen_seconds_ago: float
    device_type: str | None = None
    schema_revision: Annotated[str | None, Field(description="the schema that it works with")] = None
    paused: Annotated[str | None, Field(description="why it takes no shards for now")] = None


class Readiness(Answer):
    """Whether requests can be served, which needs neither workers nor a broker: without them, jobs wait. Without room on
    the disk, uploads are refused."""

    ready: bool
    checks: dict[str, Check]
    workers: list[SeenWorker]


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", operation_id="get_health")
async def get_health() -> Health:
    """The process answers."""
    return Health()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Something that is needed is missing"}},
)
async def get_readiness(request: Request) -> Response:
    """Database, schema and blob folder, without which nothing is served (503); room for uploads; workers and broker, without
    which jobs wait; the restrictions under which files from outside are opened."""
    shared: SharedAnswer[Readiness] = request.app.state.readiness
    answer = await shared.answer()
    return json_answer(answer) if answer.ready else json_answer(answer, 503, Unavailable.headers)


def readiness(database: Database, settings: Settings) -> Readiness:
    """What ``/readyz`` answers."""
    checks = {
        "database": _check(lambda: _reach(database)),
        "schema": _check(lambda: _schema(database)),
        "folder": _check(lambda: _folder(database, settings)),
        "blobs": _check(lambda: _writable(settings)),
    }
    ready = all(check.ok for check in checks.values())
    checks["isolation"] = _check(lambda: _isolated(settings), needed=False)
    checks["room"] = _check(lambda: _room(settings), needed=False)
    workers = _workers(database, settings) if checks["database"].ok and checks["schema"].ok else None
    failures = _start_failures(database) if workers is not None else []
    workers = workers or []
    checks["workers"] = _check(lambda: _told(workers, failures, settings), needed=False)
    if settings.broker_url is not None:
        checks["broker"] = _check(lambda: _hear(settings), needed=False)
    return Readiness(ready=ready, checks=checks, workers=workers)


@router.get(
    "/metrics", operation_id="get_metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def get_metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus."""
    scrapes: SharedMetrics = request.app.state.scrapes
    return Response(await scrapes.answer(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version", operation_id="get_version")
def get_version() -> Version:
    """What runs here."""
    return Version(version=VERSION, schema_revision=head(), python=platform.python_version())


def _check(look: Callable[[], str], *, needed: bool = True) -> Check:
    try:
        return Check(ok=True, detail=look(), needed=needed)
    except OperationError as error:
        return Check(ok=False, detail=str(error), needed=needed)
    except Exception as error:
        log.warning("not ready: %s", error)
        return Check(ok=False, detail=f"{type(error).__name__}; the service's log tells more", needed=needed)


class DependencyMissing(OperationError):
    """Something is not there; what that means for jobs is the message."""

    title = "Something is not there."


def _folder(database: Database, settings: Settings) -> str:
    found = folder_identity.check(settings, database)
    return f"the data folder is that of the database, {found.id}" if found is not None else "no identity yet"


def _start_failures(database: Database) -> list[StartFailure]:
    with database.read() as session:
        return start_failures.recent(session)


def _told(workers: list[SeenWorker], failures: list[StartFailure], settings: Settings) -> str:
    ours = [worker for worker in workers if worker.schema_revision in (None, head())]
    if not workers and failures:
        raise DependencyMissing(
            f"no worker can start (the last one on {failures[0].host}), and jobs wait: {failures[0].why}"
        )
    if not workers:
        raise DependencyMissing(f"no worker was seen in the last {settings.seen:.0f} s: jobs wait until there is one")
    if len(ours) < len(workers):
        others = sorted({str(worker.schema_revision) for worker in workers} - {head(), "None"})
        raise DependencyMissing(
            f"{len(workers) - len(ours)} of {len(workers)} seen in the last {settings.seen:.0f} s work with another schema "
            f"({', '.join(others)}) than {head()}: they stop, and jobs wait for those of this version"
        )
    paused = [worker for worker in workers if worker.paused]
    if paused:
        raise DependencyMissing(f"{len(paused)} of {len(workers)} take no shards: {paused[0].paused}")
    return f"{len(workers)} seen in the last {settings.seen:.0f} s"


def _isolated(settings: Settings) -> str:
    lacking = availability.missing(settings.sandbox_uid)
    if lacking:
        raise DependencyMissing(
            f"files from outside are opened without: {', '.join(each.restriction for each in lacking)}"
        )
    return "files from outside are opened under every restriction"


def _hear(settings: Settings) -> str:
    if not broker.is_reachable(settings):
        raise DependencyMissing("the broker cannot be reached: workers find new jobs a few seconds later, by looking")
    return "redis answers"


def _reach(database: Database) -> str:
    with database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return f"{database.engine.dialect.name} answers"


def _schema(database: Database) -> str:
    found = schema_version.current(database.engine)
    if found != head():
        raise schema_version.WrongSchema(found)
    return f"revision {found}"


def _writable(settings: Settings) -> str:
    folder = settings.blobs / "new"
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f"probe-{secrets.token_hex(8)}"
    try:
        probe.write_bytes(b"radii")
    finally:
        probe.unlink(missing_ok=True)
    return "the blob folder can be written"


def _room(settings: Settings) -> str:
    free = blob_files.free_bytes(settings.blobs)
    if free < settings.min_free:
        raise DependencyMissing(
            f"the blob folder takes no files: {free} bytes are free, and {settings.min_free} (RADII_MIN_FREE) are to stay so; "
            "every upload is refused (507)"
        )
    return f"{free} bytes are free"


def _workers(database: Database, settings: Settings) -> list[SeenWorker]:
    with database.read() as session:
        return [
            SeenWorker(
                id=row.id,
                host=row.host,
                pid=row.pid,
                seen_seconds_ago=ago,
                device_type=row.info.get("device_type"),
                schema_revision=row.info.get("schema"),
                paused=row.info.get("paused"),
            )
            for row, ago in queue_stats.workers(session, settings.seen)
        ]
