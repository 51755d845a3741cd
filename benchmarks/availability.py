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
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

import availability_attacks as attacks
import availability_site as site
import httpx
import numpy as np
import shown

from radii.worker.settings import Settings
from radii.worker.tasks.environment import cpu_name

RATE = 20.0
P99, MEMORY = 0.250, 400
"""The target: seconds, and MiB of the service's process."""
WARM = 2.0
ALL, IDLE = "all of them together", "idle"


def main() -> None:
    """Fills, starts, attacks and prints."""
    options = _options()
    kinds = [name for name in (*attacks.KINDS, ALL) if options.only in name]
    with tempfile.TemporaryDirectory(prefix="radii-availability-") as scratch, site.database(options.postgres) as url:
        settings = Settings(data=Path(scratch), database_url=url, min_free=0)
        victim, target = site.filled(settings, options.rows)
        with site.service(settings) as (port, pid):
            target = dataclasses.replace(target, port=port)
            site.upload_radii(target)
            _measured(victim, port, pid, 2.0)
            rows = [_row(IDLE, _measured(victim, port, pid, options.seconds), {})]
            for number, name in enumerate(kinds):
                # Each from an address of its own: what the one before has used up of an address's limits is not to help.
                fresh = dataclasses.replace(target, source=f"127.0.1.{number + 1}")
                rows.append(_attacked(name, victim, fresh, pid, options.seconds, nice=options.nice))
                print(f"{name}: p99 {rows[-1]['p99_ms']:.0f} ms", file=sys.stderr, flush=True)
    figures = {
        "machine": cpu_name(),
        "cores": site.CORES,
        "database": "SQLite" if options.postgres is None else "PostgreSQL",
        "seconds": options.seconds,
        "nice": options.nice,
        "rows": rows,
        "passed": all(row["p99_ms"] < 1000 * P99 and row["api_mib"] < MEMORY and not row["errors"] for row in rows),
    }
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _attacked(
    name: str, victim: site.Victim, target: attacks.Target, pid: int, seconds: float, *, nice: bool
) -> dict[str, Any]:
    """What the victim sees while one kind of request, or every kind, is sent."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    names = list(attacks.KINDS) if name == ALL else [name]
    imported, begin = context.Semaphore(0), context.Event()
    senders = [
        context.Process(
            target=attacks.run, args=(one, target, seconds + WARM + 0.2, nice, imported, begin, answers), daemon=True
        )
        for one in names
    ]
    for sender in senders:
        sender.start()
    for _ in senders:
        imported.acquire()
    _settled(victim, target.port)
    begin.set()
    time.sleep(WARM)  # they make what they send
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


def _settled(victim: site.Victim, port: int, seconds: float = 10.0) -> None:
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
    """Latencies of the victim, answers that were errors, and the most memory: resident memory of the process that answers, and
    that of all processes of the service together, where what they share counts once."""

    seconds: list[float]
    errors: Counter[str]
    memory: float
    together: float


def _measured(victim: site.Victim, port: int, pid: int, seconds: float) -> Measured:
    stop, seen = threading.Event(), [0.0, 0.0]

    def watch() -> None:
        while not stop.wait(0.2):
            seen[:] = max(seen[0], _resident(pid)), max(seen[1], _together(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        latencies, errors = asyncio.run(_polled(victim, port, seconds))
    finally:
        stop.set()
        watcher.join()
    return Measured(latencies, errors, *seen)


async def _polled(victim: site.Victim, port: int, seconds: float) -> tuple[list[float], Counter[str]]:
    """Twenty requests per second, each when it is due, whether the one before is answered or not."""
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    body = {"kind": "certify", "dataset": victim.dataset, "checkpoint": victim.checkpoint, "validate_only": True}
    asked = cycle(
        [
            ("GET", "/v1/jobs", {}),
            ("GET", f"/v1/jobs/{victim.job}", {}),
            ("POST", "/v1/jobs", {"json": body | {"n": site.N, "inputs": {"count": 10}}}),
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
        "together_mib": round(measured.together),
        "hostile": {str(status): count for status, count in sorted(statuses.items())},
    }


def _resident(pid: int) -> float:
    """Resident memory of a process in MiB; 0 where it has ended."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def _together(pid: int) -> float:
    """Memory of a process and its descendants in MiB; what several have counts once."""
    kilobytes, left = 0, [pid]
    while left:
        one = left.pop()
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            kilobytes += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                left += map(int, children.read_text().split())
    return kilobytes / 1024


def _text(figures: dict[str, Any], command: str) -> str:
    rows = [
        [
            row["name"],
            f"{row['p50_ms']:.0f}",
            f"{row['p99_ms']:.0f}",
            f"{row['max_ms']:.0f}",
            row["api_mib"],
            row["together_mib"],
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
        "all, MiB",
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
tenant for {figures["seconds"]:g} s each. A request ended without an answer counts as 0. "API" is the resident memory of the process
that answers requests, "all" that of all processes of the service together (decoders, readers of files, the one that makes documents).
The attackers run on the same cores {"at nice 19" if figures["nice"] else "under SCHED_IDLE"}: {"they compete with the service for processor time" if figures["nice"] else "they get the processor time that the service leaves, and send less while it is busy"}.

{shown.table(columns, rows)}

Idle p99: {idle["p99_ms"]:.0f} ms. {summary} The target is a p99 below {1000 * P99:.0f} ms, no errors, and less than
{MEMORY} MiB: {"met" if figures["passed"] else "NOT met"}.
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind of request")
    parser.add_argument("--rows", type=int, default=20_000, help="inputs of the hostile tenant's jobs")
    parser.add_argument("--postgres", metavar="URL", help="a server on which a database is made and dropped")
    parser.add_argument("--nice", action="store_true", help="let the attackers compete for processor time (nice 19)")
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rows = 1.5, 2_000
    return options


if __name__ == "__main__":
    main()
