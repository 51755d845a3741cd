"""Memory over ten thousand shards, and a crowd that asks: scenarios 12 and 13."""

import asyncio
import os
import resource
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tests_support import system
from tests_support.durability.house import house, light
from tests_support.durability.outcome import Figures, add, clean, none

MIB = 2**20
CORES = 2
"""Those that the service may use, however many there are."""
PIECE = 0.25
"""MiB. Python and the C library take memory from the system in pieces of this size and more, whose pages are touched one
after the other for long after the warm-up."""


def memory(*, shards: int) -> Figures:
    """12. Very many shards of one small input each, on one worker: what its two processes hold does not grow.

    The first half is for warming up, to which the first round of housekeeping belongs: it takes half a MiB, once, and would else
    come after ten minutes, in the midst of what is measured. What the job's end takes is not by shard, and left out. Passed where
    the 95 % interval of the slope over the second half holds 0, or lies below it, or above it by no more than a piece of memory
    fills in all that time.
    """
    with house("sqlite") as here:
        job_id = here.tiny_job(shards)
        worker = here.worker(PROOF_HOUSEKEEPING="10")
        done, held = [], []
        while not here.ended(job_id):
            if (stored := here.stored(job_id)) < shards:
                done.append(stored)
                held.append(system.resident(worker.pid) / MIB)
            time.sleep(1.0)
        outcome = here.compared(job_id, shards)
    place, size = np.array(done, dtype=float) / 1_000, np.array(held)
    late = place >= place.max() / 2
    slope, interval = _slope(place[late], size[late])
    total = none()
    add(total, outcome)
    return {
        "shards": shards,
        "resident_mib": round(float(size[late].mean()), 1),
        "slope_mib_per_1000": round(slope, 3),
        "interval": [round(edge, 3) for edge in interval],
        **total,
        "passed": clean(total) and interval[0] * float(np.ptp(place[late])) <= PIECE,
    }


def _slope(x: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]") -> tuple[float, tuple[float, float]]:
    """Least squares, with a 95 % interval over means of ten blocks, as neighbouring measurements are much alike."""
    import statsmodels.api as sm

    blocks = [block for block in np.array_split(np.arange(len(x)), 10) if len(block)]
    means = [(x[block].mean(), y[block].mean()) for block in blocks]
    fitted = sm.OLS([m for _, m in means], sm.add_constant([p for p, _ in means])).fit()
    low, high = fitted.conf_int()[1]
    return float(fitted.params[1]), (float(low), float(high))


def crowd(*, pollers: int, streams: int, seconds: float, wait: float = 10.0) -> Figures:
    """13. Very many who wait for jobs and who read their events, at once: how long a service on two cores takes to answer, no
    error, and no stream without an event."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with house("sqlite") as here:
        with here.api(PROOF_CORES=str(CORES), **_enough(pollers, streams)) as address:
            assert here.api_pid is not None
            cores = len(os.sched_getaffinity(here.api_pid))
            job_ids = [here.light_job(4_000, 100, seed=number) for number in range(10)]
            worker = here.worker(PROOF_CHILD="light", PROOF_PACE="0.02")
            found = Crowd(address, job_ids, seconds, wait)
            asyncio.run(found.gather(pollers, streams))
        here.kill(worker)
        outcomes = [here.compared(job_id, None, light(seed)) for seed, job_id in enumerate(job_ids)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    harm = {name: sum(getattr(outcome, name) for outcome in outcomes) for name in ("lost", "doubled", "differing")}
    kept = found.errors() == 0 and len(found.events) == streams and min(found.events.values()) > 0
    return {
        "cores": os.cpu_count(),
        "cores_of_the_service": cores,
        "pollers": pollers,
        "streams": streams,
        "streams_with_events": sum(count > 0 for count in found.events.values()),
        "events": found.events.total(),
        "plain_s": _percentiles(found.plain),
        "over_the_wait_s": _percentiles(found.over),
        "requests": found.statuses.total(),
        "errors": found.errors(),
        **harm,
        "passed": kept and cores <= CORES and not any(harm.values()),
    }


def _enough(pollers: int, streams: int) -> dict[str, str]:
    """Settings for a crowd that comes from one address and is one tenant, which the defaults do not allow."""
    most = str(pollers + streams + 100)
    every = {
        "RADII_ADDRESS_CONNECTIONS": most,
        "RADII_ADDRESS_CONNECTION_RATE": most,
        "RADII_MAX_CONNECTIONS": str(2 * int(most)),
        "RADII_TENANT_REQUESTS": most,
    }
    every |= {"RADII_TENANT_STREAMS": most, "RADII_ADDRESS_STREAMS": most}
    return every | {"RADII_RUNNING_REQUESTS": "40", "RADII_TENANT_RUNNING_REQUESTS": "39"}


class Crowd:
    """Those who ask, and what they were answered."""

    def __init__(self, address: str, job_ids: list[str], seconds: float, wait: float) -> None:
        self.statuses, self.events = Counter[int](), Counter[int]()
        self.over: list[float] = []
        self.plain: list[float] = []
        self._target, self._jobs = urlsplit(address), job_ids
        self._seconds, self._wait = seconds, wait
        self._end = time.monotonic() + seconds

    def errors(self) -> int:
        """Answers that were none of 200, and those that did not come."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    async def gather(self, pollers: int, streams: int) -> None:
        """All of them at once; they arrive during the first quarter of the time."""
        polls = [self._poll(number, self._seconds / 4 * number / pollers) for number in range(pollers)]
        reads = [self._stream(number, self._seconds / 4 * number / streams) for number in range(streams)]
        await asyncio.gather(self._probe(), *polls, *reads)

    async def _poll(self, number: int, pause: float) -> None:
        await asyncio.sleep(pause)
        while time.monotonic() < self._end:
            took = await self._get(f"{self._path(number)}?wait={self._wait:g}")
            self.over.append(max(0.0, took - self._wait))

    async def _probe(self) -> None:
        while time.monotonic() < self._end:
            self.plain.append(await self._get(self._path(0)))
            await asyncio.sleep(0.2)

    async def _stream(self, number: int, pause: float) -> None:
        """Reads events to the end, and counts those of this stream."""
        self.events[number] = 0
        await asyncio.sleep(pause)
        writer = None
        try:
            reader, writer = await self._asked(f"{self._path(number)}/events")
            self.statuses[_status(await asyncio.wait_for(reader.readline(), self._left()))] += 1
            while time.monotonic() < self._end and (line := await asyncio.wait_for(reader.readline(), self._left())):
                self.events[number] += line.startswith(b"id:")
        except TimeoutError:
            pass  # no more events; where there was no status either, there is none counted
        except (OSError, IndexError, ValueError):
            self.statuses[0] += 1
        finally:
            if writer is not None:
                writer.close()

    async def _get(self, path: str) -> float:
        """Asks once; the seconds that it took."""
        began = time.monotonic()
        try:
            reader, writer = await self._asked(path, "Connection: close\r\n")
            try:
                self.statuses[_status(await reader.read())] += 1
            finally:
                writer.close()
        except (OSError, IndexError, ValueError):
            self.statuses[0] += 1
        return time.monotonic() - began

    async def _asked(self, path: str, more: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._target.netloc}\r\n{more}\r\n".encode())
        return reader, writer

    def _path(self, number: int) -> str:
        return f"/v1/jobs/{self._jobs[number % len(self._jobs)]}"

    def _left(self) -> float:
        return max(0.1, self._end - time.monotonic())


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(seconds, share)), 3) for share in (50, 95, 99)}
