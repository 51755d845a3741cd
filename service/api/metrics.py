"""What Prometheus is told: requests by route and status with their latency, and the state of the queue at each scrape.

One registry per application. Nothing here names a tenant, a job or a file.
"""

import logging
import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radii.worker.settings import Settings
from radii.worker.store import counters, queue_stats
from radii.worker.store.clock import instant
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Job, Shard, Worker

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
log = logging.getLogger("radii.service")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
WAIT = (
    "Seconds for which the job that has waited longest has had a shard that could be claimed: a queued one since it was made, "
    "or since what it needs was done; a running one since its last commit."
)


class QueueCollector(Collector):
    """Reads jobs, shards and workers when it is asked."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings

    def collect(self) -> Iterator[Metric]:
        """The queue's metrics, and whether the database answers; where it does not, nothing else of it is told."""
        try:
            found = list(self._read())
        except SQLAlchemyError as error:
            log.warning("the queue cannot be measured: %s", error)
            found = None
        yield GaugeMetricFamily("radii_database_up", "Whether the database answers.", 0 if found is None else 1)
        yield from found or ()

    def _read(self) -> Iterator[Metric]:
        """A few counts over indexed columns."""
        with self._database.read() as session:
            jobs, shards = _counts(session)
            wait = queue_stats.longest_wait(session)
            workers = [row for row, _ in queue_stats.workers(session, self._settings.seen)]
            overdue = session.scalar(select(func.count()).where(Shard.state == "leased", Shard.lease_until < instant()))
            done, mishaps = counters.done(session), counters.values(session)
        by_state = GaugeMetricFamily("radii_jobs", "Jobs by state and kind.", labels=("state", "kind"))
        for state, kind, count in jobs:
            by_state.add_metric((state, kind), count)
        yield by_state
        for state in ("ready", "leased"):
            yield GaugeMetricFamily(f"radii_shards_{state}", f"Shards that are {state}.", shards.get(state, 0))
        yield GaugeMetricFamily("radii_oldest_ready_shard_seconds", WAIT, wait)
        yield GaugeMetricFamily("radii_leases_overdue", "Leases that have run out and are not swept yet.", overdue or 0)
        yield GaugeMetricFamily("radii_workers", "Workers that were seen lately.", len(workers))
        yield from _of_work(done)
        yield _memory(workers)
        for name, count in mishaps.items():
            yield CounterMetricFamily(f"radii_{name}", counters.MEANINGS[name], count)


def _counts(session: Session) -> tuple[list[tuple[str, str, int]], dict[str, int]]:
    """Jobs by state and kind, and shards that are ready or leased."""
    jobs = session.execute(select(Job.state, Job.kind, func.count()).group_by(Job.state, Job.kind))
    open_shards = select(Shard.state, func.count()).where(Shard.state.in_(("ready", "leased"))).group_by(Shard.state)
    return [(state, kind, count) for state, kind, count in jobs], {s: c for s, c in session.execute(open_shards)}


def _of_work(rows: Sequence[counters.WorkTotals]) -> Iterator[Metric]:
    """What was done, by kind of job; it does not fall when jobs are deleted."""
    results = CounterMetricFamily("radii_results", "Inputs with a result, epochs of trainings.", labels=("kind",))
    work = CounterMetricFamily("radii_work", "Noise samples, optimiser steps or conversions.", labels=("kind",))
    seconds = CounterMetricFamily("radii_device_seconds", "Device time of workers.", labels=("kind",))
    for row in rows:
        results.add_metric((row.kind,), row.results)
        work.add_metric((row.kind,), row.work)
        seconds.add_metric((row.kind,), row.device_seconds)
    yield from (results, work, seconds)


def _memory(workers: Sequence[Worker]) -> Metric:
    """What each worker's child has of the machine's memory, and of its GPU's; nothing where a worker has none."""
    found = GaugeMetricFamily("radii_worker_memory_bytes", "Memory of a worker's child.", labels=("worker", "kind"))
    for row in workers:
        for kind, size in (row.info.get("memory") or {}).items():
            found.add_metric((f"{row.host}:{row.pid}", kind), size)
    return found


class RequestMetrics:
    """ASGI middleware that counts and times requests by the route's template, so that labels stay few."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        self.app = app
        self._count = Counter("radii_http_requests", "Requests.", ("method", "route", "status"), registry=registry)
        self._seconds = Histogram(
            "radii_http_request_seconds",
            "Seconds per request.",
            ("method", "route"),
            registry=registry,
            buckets=BUCKETS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "unknown")
            self._count.labels(method, route, str(status)).inc()
            self._seconds.labels(method, route).observe(time.perf_counter() - began)
