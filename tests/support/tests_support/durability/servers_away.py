"""Redis and Postgres that are flushed, restarted and away in the middle of jobs: scenarios 4 and 5."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests_support.durability.house import SWEEP, House, house, light
from worker import broker

Figures = dict[str, Any]
LOOK = 5.0
"""Seconds between two looks of a worker without a bell: long enough to tell that the bell was heard."""


class Poller:
    """Asks the API all the time how a job stands, and keeps what it answered."""

    def __init__(self, address: str, job_id: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.without_retry = 0
        self._url, self._stop = f"{address}/v1/jobs/{job_id}", threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    @contextmanager
    def asking(self) -> Iterator["Poller"]:
        """Inside, it asks."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(timeout=30)

    def _ask(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stop.wait(0.1):
                try:
                    answer = client.get(self._url)
                except httpx.TransportError:
                    self.statuses[0] += 1
                    continue
                self.statuses[answer.status_code] += 1
                self.without_retry += answer.status_code == 503 and "Retry-After" not in answer.headers


def redis_away(*, times: int, long: float = 0.0, without: str = "") -> Figures:
    """4. FLUSHALL, a restart and 10 s away, in turn: jobs complete, and the API answers throughout."""
    total: Figures = {"times": 0, "heard_s": 0.0, "after_flush_s": 0.0, "other_statuses": 0, "lost": 0, "doubled": 0}
    total |= {"differing": 0, "unfinished": 0}
    # Without the bell, the sweep of the service would ring in its place.
    with house("postgresql", look=LOOK, sweep=60.0 if without else SWEEP) as here, here.api() as address:
        assert here.redis is not None
        variables = {"PROOF_CHILD": "light", "PROOF_PACE": "0.02", "PROOF_WITHOUT": without}
        for _ in range(2):
            here.worker(**variables)
        _one(here, address, 99, lambda: None, total, without)  # until both are up
        total["heard_s"] = 0.0
        disturbances = [here.redis.flush, lambda: _away(here, 0.0), lambda: _away(here, 10.0)]
        for number in range(times):
            _one(here, address, number, disturbances[number % 3], total, without)
        if long:
            _one(here, address, 98, lambda: _away(here, long), total, without)
    clean = not any(total[name] for name in ("lost", "doubled", "differing", "unfinished", "other_statuses"))
    return total | {"passed": clean and total["heard_s"] < LOOK / 2 and total["after_flush_s"] <= 2 * SWEEP + LOOK}


def _one(here: House, address: str, number: int, disturb: Any, total: Figures, without: str) -> None:
    """One job, disturbed after its first results; how long it took to be begun, and to go on."""
    inputs = 300
    job_id = here.light_job(inputs, 30, seed=number)
    began = time.monotonic()
    if without != "bell":
        broker.ring(here.settings, 30)
    with Poller(address, job_id).asking() as poller:
        here.until_more(job_id, 0, 60.0)
        total["heard_s"] = max(total["heard_s"], round(time.monotonic() - began, 2))
        before = here.stored(job_id)
        began = time.monotonic()
        disturb()
        here.until_more(job_id, before + 2, 60.0)
        if getattr(disturb, "__name__", "") == "flush":
            total["after_flush_s"] = max(total["after_flush_s"], round(time.monotonic() - began, 2))
        finished = here.until_ended(job_id, 180.0)
    outcome = here.compared(job_id, inputs, light(number))
    total["times"] += 1
    total["unfinished"] += not finished
    total["other_statuses"] += sum(count for status, count in poller.statuses.items() if status != 200)
    for name in ("lost", "doubled", "differing"):
        total[name] += getattr(outcome, name)


def _away(here: House, seconds: float) -> None:
    assert here.redis is not None
    here.redis.end()
    time.sleep(seconds)
    here.redis.start()


def postgres_away(*, times: int, long: float = 0.0) -> Figures:
    """5. An immediate restart, as after a crash, and 10 s away: nothing is lost, and the API says 503 with Retry-After."""
    total: Figures = {"times": 0, "answers": 0, "unavailable": 0, "server_errors": 0, "without_retry": 0}
    total |= {"lost": 0, "doubled": 0, "differing": 0, "unfinished": 0}
    with house("postgresql", lease=10.0) as here, here.api() as address:
        assert here.postgres is not None
        variables = {"PROOF_CHILD": "light", "PROOF_PACE": "0.05"}
        for _ in range(2):
            here.worker(**variables)
        outages = [0.0, 10.0] * (times // 2) + [0.0] * (times % 2) + ([long] if long else [])
        for number, seconds in enumerate(outages):
            inputs = 200
            job_id = here.light_job(inputs, 10, seed=number)
            broker.ring(here.settings, 10)
            with Poller(address, job_id).asking() as poller:
                here.until_more(job_id, 5, 60.0)
                here.postgres.end(signal.SIGQUIT)
                time.sleep(seconds)
                here.postgres.start()
                finished = here.until_ended(job_id, 120.0)
            outcome = here.compared(job_id, inputs, light(number))
            total["times"] += 1
            total["unfinished"] += not finished
            total["answers"] += poller.statuses.total()
            total["unavailable"] += poller.statuses[503]
            others = sum(count for status, count in poller.statuses.items() if status not in (200, 503))
            total["server_errors"] += others
            total["without_retry"] += poller.without_retry
            for name in ("lost", "doubled", "differing"):
                total[name] += getattr(outcome, name)
    bad = ("lost", "doubled", "differing", "unfinished", "server_errors", "without_retry")
    return total | {"passed": not any(total[name] for name in bad)}
