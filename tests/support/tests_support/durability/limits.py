"""Memory over ten thousand shards, and a crowd that asks: scenarios 12 and 13."""

import asyncio
import os
import resource
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tests_support.durability.house import house

Figures = dict[str, Any]
MIB = 2**20


def memory(*, shards: int) -> Figures:
    """12. Very many shards of one small input each, on one worker: what its two processes hold does not grow."""
    with house("sqlite") as here:
        job_id = here.tiny_job(shards)
        worker = here.worker()
        done, held = [], []
        while not here.ended(job_id):
            done.append(here.stored(job_id))
            held.append(_resident(worker.pid) / MIB)
            time.sleep(1.0)
        outcome = here.stored(job_id)
    place, size = np.array(done, dtype=float) / 1_000, np.array(held)
    late = place >= place.max() / 2
    slope, interval = _slope(place[late], size[late])
    return {
        "shards": shards,
        "resident_mib": round(float(size[late].mean()), 1),
        "slope_mib_per_1000": round(slope, 3),
        "interval": [round(edge, 3) for edge in interval],
        "lost": shards - outcome,
        "doubled": 0,
        "passed": outcome == shards and interval[0] <= 0.05,
    }


def _resident(pid: int) -> int:
    """Bytes of a process and of its children."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            number, parent = int(status.parent.name), int(status.read_text().rpartition(")")[2].split()[1])
            if pid in (number, parent):
                total += int((status.parent / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _slope(x: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]") -> tuple[float, tuple[float, float]]:
    """Least squares, with a 95 % interval over means of ten blocks, as neighbouring measurements are much alike."""
    import statsmodels.api as sm

    blocks = [block for block in np.array_split(np.arange(len(x)), 10) if len(block)]
    means = [(x[block].mean(), y[block].mean()) for block in blocks]
    fitted = sm.OLS([m for _, m in means], sm.add_constant([p for p, _ in means])).fit()
    low, high = fitted.conf_int()[1]
    return float(fitted.params[1]), (float(low), float(high))


def crowd(*, pollers: int, streams: int, seconds: float, wait: float = 10.0) -> Figures:
    """13. Very many who wait for jobs and who read their events, at once: how long answers take, and no server error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with house("sqlite") as here, here.api() as address:
        job_ids = [here.light_job(4_000, 100, seed=number) for number in range(10)]
        here.worker(PROOF_CHILD="light", PROOF_PACE="0.02")
        found = asyncio.run(_crowd(address, job_ids, pollers, streams, seconds, wait))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    statuses = found.pop("statuses")
    errors = sum(count for status, count in statuses.items() if status == 0 or status >= 500)
    return {**found, "requests": statuses.total(), "errors": errors, "lost": 0, "doubled": 0} | {
        "passed": errors == 0 and found["events"] >= streams
    }


async def _crowd(address: str, job_ids: list[str], pollers: int, streams: int, seconds: float, wait: float) -> Figures:
    target, statuses, over, plain = urlsplit(address), Counter[int](), [], []
    events = [0]
    end = time.monotonic() + seconds

    async def get(path: str) -> int:
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            return int(answer.split(b" ", 2)[1])
        finally:
            writer.close()

    async def poll(number: int) -> None:
        await asyncio.sleep(seconds / 4 * number / pollers)
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                statuses[await get(f"/v1/jobs/{job_ids[number % len(job_ids)]}?wait={wait:g}")] += 1
            except (OSError, IndexError, ValueError):
                statuses[0] += 1
            over.append(max(0.0, time.monotonic() - began - wait))

    async def probe() -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                statuses[await get(f"/v1/jobs/{job_ids[0]}")] += 1
            except (OSError, IndexError, ValueError):
                statuses[0] += 1
            plain.append(time.monotonic() - began)
            await asyncio.sleep(0.2)

    async def stream(number: int) -> None:
        await asyncio.sleep(seconds / 4 * number / streams)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        path = f"/v1/jobs/{job_ids[number % len(job_ids)]}/events"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {target.netloc}\r\n\r\n".encode())
        with suppress(TimeoutError, OSError):
            while time.monotonic() < end:
                line = await asyncio.wait_for(reader.readline(), max(0.1, end - time.monotonic()))
                events[0] += line.startswith(b"id:")
        writer.close()

    await asyncio.gather(probe(), *(poll(number) for number in range(pollers)), *(stream(n) for n in range(streams)))
    return {
        "pollers": pollers,
        "streams": streams,
        "events": events[0],
        "plain_s": _percentiles(plain),
        "over_the_wait_s": _percentiles(over),
        "statuses": statuses,
    }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(seconds, share)), 3) for share in (50, 95, 99)}
