"""What Prometheus is told: requests by route and status with their latency, and the state of the queue at each scrape.

One registry per application. Nothing here names a tenant, a job or a file.
"""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.store.clock import clock
from worker.store.jobs import QUEUED, RUNNING
from worker.store.result_tables import JobSummary
from worker.store.session import Database
from worker.store.shards import free
from worker.store.tables import Job, Shard, Worker

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
SEEN_LATELY = 120.0
"""Seconds since a worker was seen for which it counts as there."""


class QueueCollector(Collector):
    """Reads jobs, shards and workers when it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """A few counts over indexed columns."""
        with self._database.read() as session:
            jobs = list(session.execute(select(Job.state, Job.kind, func.count()).group_by(Job.state, Job.kind)))
            shards = {s: c for s, c in session.execute(select(Shard.state, func.count()).group_by(Shard.state))}
            age = session.scalar(
                select(clock() - func.min(Job.created))
                .join(Shard, Shard.job_id == Job.id)
                .where(Shard.state == "ready", Job.state.in_((QUEUED, RUNNING)), free(Job))
            )
            done = session.scalar(
                select(func.sum(JobSummary.done)).join(Job, Job.id == JobSummary.job_id).where(Job.kind == "certify")
            )
            workers = session.scalar(select(func.count()).where(Worker.seen > clock() - SEEN_LATELY))
        by_state = GaugeMetricFamily("radii_jobs", "Jobs by state and kind.", labels=("state", "kind"))
        for state, kind, count in jobs:
            by_state.add_metric((state, kind), count)
        yield by_state
        for state in ("ready", "leased"):
            yield GaugeMetricFamily(f"radii_shards_{state}", f"Shards that are {state}.", shards.get(state, 0))
        yield GaugeMetricFamily(
            "radii_oldest_ready_shard_seconds", "Age of the oldest job with a shard that could be claimed.", age or 0
        )
        yield GaugeMetricFamily("radii_certificates_stored", "Certificates of the jobs that are kept.", done or 0)
        yield GaugeMetricFamily("radii_workers", "Workers that were seen lately.", workers or 0)


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
