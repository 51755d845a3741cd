"""Cancelled jobs: scenario 7."""

import random
import subprocess
import time
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import httpx

from radii.worker.settings import Settings
from radii.worker.store import jobs
from radii.worker.store.models.tables import Job
from tests_support import system
from tests_support.durability.house import House, Kind, house, light
from tests_support.durability.outcome import Figures, Outcome
from tests_support.durability.queue import poisoned
from tests_support.durability.waiting import until
from tests_support.durability.workers_lost import KINDS, certification

SHIPPED: dict[str, Any] = {
    name: Settings.model_fields[name].default for name in ("commit", "lease", "housekeeping_seconds", "cancel_grace")
}
"""A cancel is heard with a commit; its bounds are in seconds, and so are the intervals: those that radii comes with."""
GRACE: float = SHIPPED["cancel_grace"]
DEAF = GRACE + 5.0
"""Seconds after which the process that does not hear is gone, at most."""
START = 5.0
"""Seconds more until another process has started and begun with the next job."""


def cancels(*, times: int, kinds: tuple[Kind, ...] = KINDS, real: bool = True) -> Figures:
    """7. Cancelled jobs, every other one over HTTP: seconds until the state is final, and until a worker is at the next job;
    nothing is stored after the end. ``real``: as many real certifications beside, and one on each database whose child does
    not hear, so that its worker ends it when the time for an answer is over."""
    ends = Ends()
    for kind in kinds:
        with house(kind, **SHIPPED) as here, here.api() as address:
            here.worker(PROOF_CHILD="light", PROOF_PACE="0.1")
            for number in range(times // len(kinds)):
                first, following = here.light_job(500, 20, seed=number), here.light_job(1, 1, seed=number)
                ends.add(here, first, following, number, address)
                ends.compare(here.compared(first, None, light(number)), here.compared(following, 1, light(number)))
        if not real:
            continue
        with house(kind, **SHIPPED) as here, here.api() as address:
            here.worker()
            for number in range(times // len(kinds)):
                first, following = certification(here, 400), certification(here, 1)
                ends.add(here, first, following, number, address)
                ends.compare(here.compared(first, None), here.compared(following, 1))
        ends.add_deaf(kind)
    return ends.figures()


@dataclass
class Ends:
    """What came of cancelled jobs, in seconds: until the state was final, and until the next job was begun; for those whose
    child does not hear, until it was gone, and until the next job was begun."""

    final: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    deaf: list[float] = field(default_factory=list)
    deaf_next: list[float] = field(default_factory=list)
    late: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0

    def add(self, here: House, job_id: str, following: str, number: int, address: str) -> None:
        """Cancels the first of two jobs in the middle of its work."""
        here.until_more(job_id, 2, 60.0)
        time.sleep(random.Random(number).random() * 2)
        began = time.monotonic()
        _cancel(here, job_id, address if number % 2 == 0 else None)
        here.until_ended(job_id, 60.0)
        self.final.append(time.monotonic() - began)
        stored = here.stored(job_id)
        until(lambda: here.state(following) != jobs.QUEUED, 60.0)
        self.free.append(time.monotonic() - began)
        here.until_ended(following, 60.0)
        self.late += here.stored(job_id) - stored

    def compare(self, *outcomes: Outcome) -> None:
        """Of the cancelled job, the results that it has; of the next one, all."""
        for name in ("lost", "doubled", "differing"):
            setattr(self, name, getattr(self, name) + sum(getattr(outcome, name) for outcome in outcomes))

    def add_deaf(self, kind: Kind) -> None:
        """A job whose network never returns, cancelled over HTTP."""
        with house(kind, child_silence=10 * GRACE, **SHIPPED) as here:
            following = certification(here, 1)
            with here.database.write() as session:
                session.get_one(Job, following).priority = -1
            job_id = poisoned(here, 1, 0, "endless")
            with here.api() as address:
                worker = here.worker()
                until(lambda: here.leased(job_id) == 1, 60.0)
                time.sleep(8.0)  # the child has begun with it
                began, children = time.monotonic(), system.children(worker.pid)
                _cancel(here, job_id, address)
                until(lambda: _gone(worker, children), 2 * DEAF)
                self.deaf.append(time.monotonic() - began)
                until(lambda: here.state(following) != jobs.QUEUED, 60.0)
                self.deaf_next.append(time.monotonic() - began)
                assert here.state(job_id) == jobs.CANCELLED

    def figures(self) -> Figures:
        """Percentiles, and whether they are within the bounds."""
        shown: Figures = {"times": len(self.final), "results_after_the_end": self.late}
        shown |= {"lost": self.lost, "doubled": self.doubled, "differing": self.differing}
        kept = not any(shown[name] for name in ("results_after_the_end", "lost", "doubled", "differing"))
        shown |= {"final_p95_s": _p95(self.final), "free_p95_s": _p95(self.free)}
        if self.deaf:
            shown |= {"deaf_free_s": round(max(self.deaf), 2), "deaf_next_s": round(max(self.deaf_next), 2)}
            kept = kept and min(self.deaf) > GRACE - 1.0
        kept = (
            kept
            and shown["final_p95_s"] < 5
            and all(each < DEAF for each in [*self.free, *self.deaf])
            and all(each < DEAF + START for each in self.deaf_next)
        )
        return shown | {"passed": kept}


def _cancel(here: House, job_id: str, address: str | None) -> None:
    """Over HTTP, or in the database."""
    if address is not None:
        assert httpx.post(f"{address}/v1/jobs/{job_id}/cancel", timeout=30).status_code == 202
        return
    with here.database.write() as session:
        jobs.cancel(session, job_id)


def _gone(worker: "subprocess.Popen[bytes]", children: list[int]) -> bool:
    """Whether none of these is a child of the worker any more."""
    return not set(children) & set(system.children(worker.pid))


def _p95(seconds: list[float]) -> float:
    return round(quantiles(seconds, n=20)[-1], 2) if len(seconds) > 1 else round(max(seconds), 2)
