"""How long one tenant waits for answers while another one attacks the service.

Starts a service of its own (a folder, a port, keys; SQLite or, with ``--postgres``, a database of its own) on two cores. A
tenant sends twenty requests per second: a list of jobs, a job, a job to validate, a small upload. Meanwhile a hostile tenant
sends each kind of request of ``availability_attacks.py`` in turn and, in the end, all of them together. A latency counts from
the moment at which a request is due, so that waiting requests do not hide each other. Idle figures are of the same run. Nothing
but loopback is used. The last line is one JSON object.

    .venv/bin/python benchmarks/availability.py [--quick] [--postgres URL] [--only TEXT] [--out benchmarks/results/availability.md]
"""

import argparse
import asyncio
import contextlib
import dataclasses
import multiprocessing
import os
import queue
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import availability_attacks as attacks
import httpx
import numpy as np
import shown
from sqlalchemy import create_engine, make_url, text

from rs_core.certify.decision import Certificate, decide
from rs_core.spec import parse_spec
from service.client import Client
from worker.run.environment import cpu_name
from worker.settings import Settings
from worker.store import blobs, jobs, planning, registry, results, schema, tenants
from worker.store.session import Database
from worker.store.tables import Checkpoint, Dataset

CORES, RATE = 2, 20.0
P99, MEMORY = 0.250, 400
"""The target: seconds, and MiB of the service's process."""
STARTED = "radii is listening on "
SIGMA, N = 0.25, 1_000
DATA = {"count": 100_000, "shape": [1, 8, 8], "num_classes": 10, "class_names": [str(label) for label in range(10)]}
MODEL = {"architecture": "digits_cnn", "input_shape": [1, 8, 8], "num_classes": 10, "sigma": SIGMA}
ALL, IDLE = "all of them together", "idle"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Victim:
    """The other tenant's key and things."""

    key: str
    job: str
    dataset: str
    checkpoint: str


def main() -> None:
    """Fills, starts, attacks and prints."""
    options = _options()
    kinds = [name for name in (*attacks.KINDS, ALL) if options.only in name]
    with tempfile.TemporaryDirectory(prefix="radii-availability-") as scratch, _database(options.postgres) as url:
        settings = Settings(data=Path(scratch), database_url=url, min_free=0)
        victim, target = _filled(settings, options.rows)
        with _service(settings) as (port, pid):
            target = dataclasses.replace(target, port=port)
            _upload_radii(target)
            _measured(victim, port, pid, 2.0)
            rows = [_row(IDLE, _measured(victim, port, pid, options.seconds), {})]
            for name in kinds:
                rows.append(_attacked(name, victim, target, pid, options.seconds))
                print(f"{name}: p99 {rows[-1]['p99_ms']:.0f} ms", file=sys.stderr, flush=True)
    figures = {
        "machine": cpu_name(),
        "cores": CORES,
        "database": "SQLite" if options.postgres is None else "PostgreSQL",
        "seconds": options.seconds,
        "rows": rows,
        "passed": all(row["p99_ms"] < 1000 * P99 and row["api_mib"] < MEMORY and not row["errors"] for row in rows),
    }
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _attacked(name: str, victim: Victim, target: attacks.Target, pid: int, seconds: float) -> dict[str, Any]:
    """What the victim sees while one kind of request, or every kind, is sent."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    names = list(attacks.KINDS) if name == ALL else [name]
    warm = 1.0 if name != ALL else 4.0
    senders = [
        context.Process(target=attacks.run, args=(one, target, seconds + warm + 0.2, answers), daemon=True)
        for one in names
    ]
    for sender in senders:
        sender.start()
    time.sleep(warm)  # they import, and make what they send
    measured = _measured(victim, target.port, pid, seconds)
    statuses: Counter[int] = Counter()
    for _ in senders:
        with contextlib.suppress(queue.Empty):
            statuses.update(answers.get(timeout=60)[1])
    for sender in senders:
        sender.join(5)
        sender.kill()
    _settled(victim, target.port)
    return _row(name, measured, statuses)


def _settled(victim: Victim, port: int, seconds: float = 10.0) -> None:
    """Waits until the service has done what the attack has left, so that it does not count for the next one."""
    quick, end = 0, time.monotonic() + seconds
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as http:
        while quick < 5 and time.monotonic() < end:
            began = time.monotonic()
            http.get("/v1/jobs?limit=1", headers={"Authorization": f"Bearer {victim.key}"})
            quick = quick + 1 if time.monotonic() - began < 0.05 else 0
            time.sleep(0.05)


@dataclasses.dataclass
class Measured:
    """Latencies of the victim, answers that were errors, and the largest resident memory of the service."""

    seconds: list[float]
    errors: Counter[str]
    memory: float


def _measured(victim: Victim, port: int, pid: int, seconds: float) -> Measured:
    stop, seen = threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.1):
            seen[0] = max(seen[0], _resident(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        latencies, errors = asyncio.run(_polled(victim, port, seconds))
    finally:
        stop.set()
        watcher.join()
    return Measured(latencies, errors, seen[0])


async def _polled(victim: Victim, port: int, seconds: float) -> tuple[list[float], Counter[str]]:
    """Twenty requests per second, each when it is due, whether the one before is answered or not."""
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    body = {"kind": "certify", "dataset": victim.dataset, "checkpoint": victim.checkpoint, "validate_only": True}
    asked = cycle(
        [
            ("GET", "/v1/jobs", {}),
            ("GET", f"/v1/jobs/{victim.job}", {}),
            ("POST", "/v1/jobs", {"json": body | {"n": N, "inputs": {"count": 10}}}),
            ("PUT", "/v1/uploads/small.bin", {"content": bytes(1_000)}),
        ]
    )
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    headers = {"Authorization": f"Bearer {victim.key}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60.0, limits=limits
    ) as http:

        async def ask(due: float, method: str, path: str, content: dict[str, Any]) -> None:
            try:
                answer = await http.request(method, path, **content)
                if answer.status_code >= 300:
                    errors[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                errors[type(error).__name__] += 1
            latencies.append(asyncio.get_running_loop().time() - due)

        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(round(seconds * RATE)):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - loop.time()))
                group.create_task(ask(due, *next(asked)))
    return latencies, errors


def _row(name: str, measured: Measured, statuses: dict[int, int]) -> dict[str, Any]:
    milliseconds = 1000 * np.asarray(measured.seconds)
    return {
        "name": name,
        "requests": len(milliseconds),
        "p50_ms": round(float(np.percentile(milliseconds, 50)), 1),
        "p99_ms": round(float(np.percentile(milliseconds, 99)), 1),
        "max_ms": round(float(milliseconds.max()), 1),
        "errors": dict(measured.errors),
        "api_mib": round(measured.memory),
        "hostile": {str(status): count for status, count in sorted(statuses.items())},
    }


def _filled(settings: Settings, rows: int) -> tuple[Victim, attacks.Target]:
    """A database in which both tenants have keys, data, a model and jobs; the hostile one also very long names of classes."""
    database = Database(settings.url)
    schema.migrate(database.engine)
    found: dict[str, dict[str, Any]] = {}
    for name in ("hostile", "other"):
        with database.write() as session:
            tenant_id = tenants.tenant(session, name).id
            made = {"key": tenants.create_key(session, name, "benchmark")[1]}
            for kind, columns in ((Dataset, DATA), (Checkpoint, MODEL)):
                made[kind.__name__] = _ready(session, settings, tenant_id, kind, columns)
            made["waiting"] = _job(session, tenant_id, made, 10)
        found[name] = made
    with database.write() as session:
        hostile = tenants.tenant(session, "hostile").id
        names = [f"{number:0200d}" for number in range(80_000)]
        for _ in range(6):
            _ready(session, settings, hostile, Dataset, DATA | {"num_classes": 80_000, "class_names": names})
        certified = [_job(session, hostile, found["hostile"], rows) for _ in range(4)]
    for job_id in certified:
        for first in range(0, rows, 5_000):
            with database.write() as session:
                results.store_certificates(session, job_id, list(_certificates(first, min(first + 5_000, rows))))
    database.close()
    other, mine = found["other"], found["hostile"]
    victim = Victim(key=other["key"], job=other["waiting"], dataset=other["Dataset"], checkpoint=other["Checkpoint"])
    return victim, attacks.Target(
        port=0,
        key=mine["key"],
        certified=tuple(certified),
        waiting=mine["waiting"],
        dataset=mine["Dataset"],
        checkpoint=mine["Checkpoint"],
        bomb="bomb.npz",
        radii="radii.tsv",
    )


def _ready(session: Any, settings: Settings, tenant_id: str, kind: Any, columns: dict[str, Any]) -> str:
    with blobs.writing(settings.blobs) as writer:
        writer.write(secrets.token_bytes(16))
        sealed = writer.seal()
    row, conversion = registry.create(session, kind, tenant_id, kind.__name__.lower(), {"files": []})
    registry.put_blob(session, settings.blobs, sealed)
    hashes = {"sha256": sealed.sha256} | ({"content_hash": sealed.sha256} if kind is Dataset else {})
    registry.make_ready(session, row, columns | hashes)
    jobs.cancel(session, conversion.id)
    return str(row.id)


def _job(session: Any, tenant_id: str, made: dict[str, Any], inputs: int) -> str:
    spec = parse_spec(
        {
            "kind": "certify",
            "checkpoint": made["Checkpoint"],
            "dataset": made["Dataset"],
            "n": N,
            "inputs": {"count": inputs},
        }
    )
    rows = session.get_one(Dataset, made["Dataset"]), session.get_one(Checkpoint, made["Checkpoint"])
    new, _ = planning.plan(spec, tenant_id=tenant_id, dataset=rows[0], checkpoint=rows[1])
    return str(jobs.submit(session, new).id)


def _certificates(first: int, stop: int) -> Iterator[Certificate]:
    """Made-up votes."""
    known = {}
    for index in range(first, stop):
        label, top = index % 10, N - index * 7 % (N // 2)
        voted = (label + 1) % 10 if index % 7 == 6 else label
        counts = [0] * 10
        counts[voted], counts[(voted + 1) % 10] = top, N - top
        if top not in known:
            known[top] = decide([1, 0], [top, N - top], sigma=SIGMA, alpha=0.001)
        yield Certificate(
            index=index,
            label=label,
            prediction=voted if known[top].prediction == 0 else -1,
            radius=known[top].radius,
            p_lower=known[top].p_lower,
            counts0=tuple(100 if place == voted else 0 for place in range(10)),
            counts=tuple(counts),
            n0=100,
            n=N,
            sigma=SIGMA,
            alpha=0.001,
            seed=0,
            seconds=0.1,
        )


def _upload_radii(target: attacks.Target) -> None:
    """The results file with the long radius, among good rows."""
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime", *(f"{i}\t0\t0\t0.5\t1\t0:00:01" for i in range(10))]
    lines += [f"{i}\t0\t0\t{'1' * 20_000}x\t1\t0:00:01" for i in range(10, 20)]
    with (
        Client(f"http://127.0.0.1:{target.port}", api_key=target.key) as client,
        tempfile.TemporaryDirectory() as scratch,
    ):
        file = Path(scratch) / target.radii
        file.write_text("\n".join(lines) + "\n")
        client.upload(file)


@contextmanager
def _service(settings: Settings) -> Iterator[tuple[int, int]]:
    """The service without workers, on two cores; its port and process."""
    environment = {**os.environ, "RADII_DATA": str(settings.data), "RADII_MIN_FREE": "0"}
    environment |= {} if settings.database_url is None else {"RADII_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "service.cli", "up", "--port", "0", "--workers", "0", "--require-key"]
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(STARTED):
            raise SystemExit(f"The service did not start: it said {line!r}.")
        yield int(line.rsplit(":", 1)[1]), process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _database(server: str | None) -> Iterator[str | None]:
    """A fresh database on a Postgres server, dropped in the end; None for SQLite in the folder."""
    if server is None:
        yield None
        return
    name = f"radii_availability_{secrets.token_hex(4)}"
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(database=name).render_as_string(hide_password=False).replace("+psycopg", "")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()


def _resident(pid: int) -> float:
    """Resident memory of a process in MiB; 0 where it has ended."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def _text(figures: dict[str, Any], command: str) -> str:
    rows = [
        [
            row["name"],
            f"{row['p50_ms']:.0f}",
            f"{row['p99_ms']:.0f}",
            f"{row['max_ms']:.0f}",
            row["api_mib"],
            ", ".join(f"{count:,} x {status}" for status, count in row["errors"].items()) or "none",
            ", ".join(f"{count:,} x {status}" for status, count in row["hostile"].items()) or "-",
        ]
        for row in figures["rows"]
    ]
    idle, worst = figures["rows"][0], max(figures["rows"][1:], key=lambda row: row["p99_ms"], default=None)
    columns = [
        "while the hostile tenant sends",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "API, MiB",
        "errors",
        "hostile answers",
    ]
    median = statistics.median(row["p99_ms"] for row in figures["rows"])
    summary = "" if worst is None else f"Worst p99: {worst['p99_ms']:.0f} ms ({worst['name']}); median {median:.0f} ms."
    return f"""# How long a tenant waits while another one attacks

```
{command}
```

{figures["machine"]}; the service on {figures["cores"]} cores with {figures["database"]}; {RATE:g} requests per second of the other
tenant for {figures["seconds"]:g} s each. A request ended without an answer counts as 0.

{shown.table(columns, rows)}

Idle p99: {idle["p99_ms"]:.0f} ms. {summary} The target is a p99 below {1000 * P99:.0f} ms, no errors, and less than
{MEMORY} MiB: {"met" if figures["passed"] else "NOT met"}.
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind of request")
    parser.add_argument("--rows", type=int, default=20_000, help="inputs of the hostile tenant's jobs")
    parser.add_argument("--postgres", metavar="URL", help="a server on which a database is made and dropped")
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rows = 1.5, 2_000
    return options


if __name__ == "__main__":
    main()
