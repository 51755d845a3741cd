"""How long the service and a worker wait for the database with many jobs in it: lists, pages, metrics, claims, submissions,
housekeeping, at several numbers of jobs on SQLite and on Postgres.

The database is filled with jobs of 20 tenants, of every kind and state: half of them are the default tenant's, two fifths
are in the queue. Each request goes through the whole application, without a network; each act of a worker is one
transaction, rolled back. Figures are the median and the maximum of the rounds in milliseconds; the ratio is that of the
medians at the most and at the fewest jobs. SQLite has no statistics, as in a service of which nobody has asked for any.

    .venv/bin/python benchmarks/queries.py [--quick] [--postgres-url URL] [--out benchmarks/results/queries.md]

Without ``--postgres-url`` (of an empty database, which is emptied afterwards) SQLite alone is measured.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shown
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from tests_support import crowded

from radii.service.api.app import create_app
from radii.service.jobs import quotas
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, schema_version, shards, tenants, urgent_jobs
from radii.worker.store.blobs import multipart_uploads
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset
from radii.worker.tasks.environment import cpu_name

SIZES = (500, 2_000, 10_000)
LIMIT = 50.0
"""Milliseconds below which lists, metrics and claims are to stay at 10,000 jobs."""
MACHINE: dict[str, Any] = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}

Times = dict[str, tuple[float, float]]


class _Undone(Exception):
    """Ends a transaction that is not to be kept."""


def main() -> None:
    """Fills, measures and prints."""
    options = _options()
    figures: dict[str, Any] = {"machine": cpu_name(), "rounds": options.rounds, "sizes": list(options.sizes)}
    with tempfile.TemporaryDirectory(prefix="radii-queries-") as scratch:
        urls = {"sqlite": None} | ({"postgresql": options.postgres_url} if options.postgres_url else {})
        for kind, url in urls.items():
            measured = [_measured(Path(scratch), url, size, options.rounds) for size in options.sizes]
            figures[kind] = {name: [times[name] for times in measured] for name in measured[0]}
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _measured(scratch: Path, url: str | None, size: int, rounds: int) -> Times:
    """Median and maximum of everything at one number of jobs."""
    folder = scratch / str(size)
    folder.mkdir(exist_ok=True)
    roomy: dict[str, Any] = {"tenant_jobs": 10 * size, "tenant_predictions": 10 * size, "tenant_seconds": 1e12}
    settings = Settings(data=folder, database_url=url, min_free=0, **roomy)
    database = Database(settings.url)
    try:
        schema_version.migrate(database.engine)
        crowd = crowded.fill(database, size)
        with TestClient(create_app(settings, database), base_url="http://127.0.0.1") as client:
            acts = _requests(client, crowd) | _acts(database, settings, crowd)
            return {name: _timed(act, rounds) for name, act in acts.items()}
    finally:
        if url is not None:
            crowded.forget(database)
        database.close()


def _requests(client: TestClient, crowd: crowded.Crowd) -> dict[str, Callable[[], None]]:
    def ask(path: str) -> Callable[[], None]:
        def once() -> None:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text[:500]

        return once

    cursor: str | None = None
    while (page := client.get("/v1/jobs?limit=200" + (f"&cursor={cursor}" if cursor else "")).json())["next_cursor"]:
        cursor = page["next_cursor"]
    listed = {
        "job list, 50 newest": "/v1/jobs",
        "job list, 200 newest": "/v1/jobs?limit=200",
        "job list, the last page": f"/v1/jobs?cursor={cursor}" if cursor else "/v1/jobs",
        "job list, one kind": "/v1/jobs?kind=train",
        "job list, one state": "/v1/jobs?state=expired",
        "job list, a kind in a state without such": "/v1/jobs?kind=train&state=expired",
        "conversions": "/v1/jobs?kind=convert",
        "web page of jobs": "/",
        "web page of a job": f"/jobs/{crowd.job('certify', 'succeeded')}",
        "job": f"/v1/jobs/{crowd.job('train', 'queued')}",
        "data sets": "/v1/datasets",
        "checkpoints": "/v1/checkpoints",
        "uploads": "/v1/uploads",
        "metrics": "/metrics",
        "readiness": "/readyz",
    }
    made = {name: ask(path) for name, path in listed.items()}
    body = {"kind": "certify", "dataset": crowd.datasets[0], "checkpoint": crowd.checkpoints[0], "n": 1000}

    def submit() -> None:
        assert client.post("/v1/jobs", json=body).status_code == 202

    return made | {"submission": submit}


def _acts(database: Database, settings: Settings, crowd: crowded.Crowd) -> dict[str, Callable[[], None]]:
    """What a worker does, and what a submission counts."""
    work: dict[str, Callable[[Session], object]] = {
        "claim": lambda session: shards.claim(session, lease=60, **MACHINE),
        "claim, urgent jobs last": lambda session: shards.claim(session, lease=60, others_first=True, **MACHINE),
        "look for something to claim": lambda session: shards.waiting(session, "cpu"),
        "expired leases": shards.expire_leases,
        "expired deadlines": jobs.expire,
        "shards without wake-up": lambda session: shards.without_wakeup(session, 5.0, 64),
        "quota of a submission": lambda session: quotas.require(session, crowd.tenant, settings),
        "a tenant's outstanding work": lambda session: tenants.outstanding(session, crowd.tenant),
        "kept predictions": lambda session: urgent_jobs.kept(session, crowd.tenant),
        "old predictions": lambda session: urgent_jobs.forget(session, 86_400.0),
        "old uploads": lambda session: resources.expire_uploads(session, 7 * 86_400.0),
        "old uploads in parts": lambda session: multipart_uploads.expire(session, 7 * 86_400.0),
        "old requests": lambda session: tenants.forget_requests(session),
        "unused blobs": lambda session: resources.collect(session, settings.blobs),
        "users of a data set": lambda s: resources.users_of(s, s.get_one(Dataset, crowd.datasets[0])),
        "users of a checkpoint": lambda s: resources.users_of(s, s.get_one(Checkpoint, crowd.checkpoints[0])),
    }

    def undone(act: Callable[[Session], object]) -> Callable[[], None]:
        def once() -> None:
            with contextlib.suppress(_Undone), database.write() as session:
                act(session)
                raise _Undone

        return once

    return {name: undone(act) for name, act in work.items()}


def _timed(act: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Milliseconds: median and maximum, after one round that does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(taken[1:]), 2), round(max(taken[1:]), 2)


def _text(figures: dict[str, Any], command: str) -> str:
    parts = [f"# Queries at many jobs\n\n```\n{command}\n```\n\n{figures['machine']}, {figures['rounds']} rounds.\n"]
    sizes = figures["sizes"]
    for kind in ("sqlite", "postgresql"):
        if kind not in figures:
            continue
        rows = [
            [name, *(f"{median:.1f} ({most:.1f})" for median, most in times), f"{times[-1][0] / times[0][0]:.1f}"]
            for name, times in figures[kind].items()
        ]
        columns = ["ms: median (maximum)", *(f"{size:,} jobs" for size in sizes), f"{sizes[-1]:,} / {sizes[0]:,}"]
        above = [name for name, times in figures[kind].items() if times[-1][0] >= LIMIT]
        told = f"At {sizes[-1]:,} jobs, medians of {LIMIT:.0f} ms or more: {', '.join(above) or 'none'}."
        parts.append(f"## {kind}\n\n{shown.table(columns, rows)}\n\n{told}\n")
    return "\n".join(parts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--postgres-url", help="an empty Postgres database, measured too")
    parser.add_argument("--quick", action="store_true", help="500 and 2,000 jobs, 5 rounds")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.sizes = SIZES[:2] if options.quick else SIZES
    options.rounds = 5 if options.quick else options.rounds
    return options


if __name__ == "__main__":
    main()
