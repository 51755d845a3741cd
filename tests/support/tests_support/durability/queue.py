"""What a queue promises: cancels that take effect, inputs that are isolated, fair shares, and submissions that are made
once. Scenarios 7 to 10."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import httpx
import numpy as np
from sqlalchemy import func, select

from tests_support.durability.house import House, Kind, house, until
from tests_support.durability.poisons import BUILDERS, NETWORK, POISON_ROWS
from tests_support.durability.workers_lost import certification
from worker.store import jobs, results
from worker.store.tables import DeviceTime, Event, Job

Figures = dict[str, Any]
KINDS: tuple[Kind, Kind] = ("sqlite", "postgresql")
ADDRESS_SPACE = 12 * 2**30
"""Bytes that a worker's processes may have in the proof of poisonous inputs; a child with torch begins at 3.4 GiB."""


def cancels(*, times: int, kinds: tuple[Kind, ...] = KINDS, real: bool = True) -> Figures:
    """7. Cancelled jobs: seconds until the state is final, and until a worker is at the next job; nothing is stored after the
    end. ``real``: as many real certifications beside, and one on each database whose child does not hear."""
    ends = Ends()
    for kind in kinds:
        with house(kind, commit=2.0) as here:
            here.worker(PROOF_CHILD="light", PROOF_PACE="0.1")
            for number in range(times // len(kinds)):
                ends.add(here, here.light_job(500, 20, seed=number), here.light_job(1, 1, seed=number), number)
        if not real:
            continue
        with house(kind, commit=2.0) as here:
            here.worker()
            for number in range(times // len(kinds)):
                ends.add(here, certification(here, 400), certification(here, 1), number)
        ends.deaf.append(_cancelled_without_an_answer(kind))
    return ends.figures()


@dataclass
class Ends:
    """What came of cancelled jobs, in seconds: until the state was final, and until the next job was begun."""

    final: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    deaf: list[float] = field(default_factory=list)
    late: int = 0

    def add(self, here: House, job_id: str, following: str, number: int) -> None:
        """Cancels the first of two jobs in the middle of its work."""
        here.until_more(job_id, 2, 60.0)
        time.sleep(random.Random(number).random() * 2)
        began = time.monotonic()
        with here.database.write() as session:
            jobs.cancel(session, job_id)
        here.until_ended(job_id, 60.0)
        self.final.append(time.monotonic() - began)
        stored = here.stored(job_id)
        until(lambda: here.state(following) != jobs.QUEUED, 60.0)
        self.free.append(time.monotonic() - began)
        here.until_ended(following, 60.0)
        self.late += here.stored(job_id) - stored

    def figures(self) -> Figures:
        """Percentiles, and whether they are within the bounds."""
        worst = {"final_p95_s": _p95(self.final), "free_p95_s": _p95(self.free)}
        deaf = {"deaf_free_s": round(max(self.deaf), 2)} if self.deaf else {}
        kept = self.late == 0 and worst["final_p95_s"] < 5 and all(seconds < 35 for seconds in [*self.free, *self.deaf])
        counted = {"times": len(self.final), "results_after_the_end": self.late, "lost": 0, "doubled": 0}
        return {**counted, **worst, **deaf, "passed": kept}


def _cancelled_without_an_answer(kind: Kind) -> float:
    """A job whose network never returns, cancelled: seconds until its worker has ended the child, and is at the next job."""
    with house(kind) as here:
        following = certification(here, 1)
        with here.database.write() as session:
            session.get_one(Job, following).priority = -1
        job_id = _poisoned(here, 1, 0, "endless")
        here.worker()
        until(lambda: here.leased(job_id) == 1, 60.0)
        time.sleep(8.0)  # the child has begun with it
        began = time.monotonic()
        with here.database.write() as session:
            jobs.cancel(session, job_id)
        until(lambda: here.state(following) != jobs.QUEUED, 60.0)
        assert here.ended(job_id)
        return time.monotonic() - began


def poison(*, inputs: int, acts: tuple[str, ...]) -> Figures:
    """8. One input that ends the process that works on it, takes all memory, or never returns: the others are certified, and
    the job says which one was not."""
    total: Figures = {"inputs": inputs, "acts": len(acts), "certified": 0, "isolated": 0, "good_given_up": 0}
    for number, act in enumerate(acts):
        with house(KINDS[number % 2], child_silence=6.0, keep_warm=60.0) as here:
            bad = inputs // 3
            job_id = _poisoned(here, inputs, bad, act)
            here.worker(PROOF_MEMORY=str(ADDRESS_SPACE))
            here.until_ended(job_id, 600.0)
            with here.database.read() as session:
                rows = list(results.certificates(session, job_id))
                told = list(
                    session.scalars(select(Event.data).where(Event.job_id == job_id, Event.type == "input_failed"))
                )
            given_up = [row.index for row in rows if row.error is not None]
            total["certified"] += len(rows) - len(given_up)
            total["isolated"] += given_up == [bad] and [data["index"] for data in told] == [bad]
            total["good_given_up"] += len(set(given_up) - {bad})
    passed = total["isolated"] == len(acts) and total["certified"] == len(acts) * (inputs - 1)
    return total | {"lost": len(acts) * (inputs - 1) - total["certified"], "doubled": 0, "passed": passed}


def fairness(*, shards: int, seconds: float) -> Figures:
    """9. A fills the queue, B asks for one thing and is begun within one part; two who are busy get half each."""
    with house("postgresql") as here:
        for job in range(20):
            here.light_job(shards // 20 * 4, shards // 20, seed=job, tenant="A")
        for _ in range(2):
            here.worker(PROOF_CHILD="light", PROOF_PACE="0.02")
        until(lambda: here.claims("A") > 10, 60.0)
        before = here.claims("A")
        job_id = here.light_job(4, 1, tenant="B")
        until(lambda: here.state(job_id) != jobs.QUEUED, 60.0, pause=0.005)
        ahead = here.claims("A") - before
        for job in range(5):
            here.light_job(shards * 4, shards, seed=job, tenant="B")
            here.light_job(shards * 4, shards, seed=job, tenant="A")
        # Both begin from nothing, as the hour before would else be made good first.
        with here.database.write() as session:
            session.query(DeviceTime).delete()
        time.sleep(seconds)
        with here.database.read() as session:
            times = {row.tenant_id: row.seconds for row in session.scalars(select(DeviceTime))}
    share = max(times.values()) / sum(times.values())
    # Two workers take one part each at the same moment, and the look itself is not at that moment.
    passed = ahead <= 4 and abs(share - 0.5) <= 0.05
    return {"ahead_of_b": ahead, "larger_share": round(share, 3), "lost": 0, "doubled": 0, "passed": passed}


def submissions(*, count: int) -> Figures:
    """10. Parallel submissions with one Idempotency-Key make one job; another body under the key is refused."""
    total: Figures = {"submissions": 0, "jobs": 0, "other_body_422": 0, "other_statuses": 0}
    for kind in KINDS:
        with house(kind) as here, here.api() as address:
            body = here.certify_body()
            headers = {"Idempotency-Key": "one"}

            def send(number: int, body: dict[str, Any] = body, address: str = address) -> int:
                other = {**body, "n": 777} if number % 10 == 9 else body
                return httpx.post(
                    f"{address}/v1/jobs", json=other, headers={"Idempotency-Key": "one"}, timeout=60
                ).status_code

            assert httpx.post(f"{address}/v1/jobs", json=body, headers=headers, timeout=60).status_code == 202
            with ThreadPoolExecutor(50) as pool:
                statuses = list(pool.map(send, range(count)))
            with here.database.read() as session:
                total["jobs"] += session.scalar(select(func.count()).where(Job.kind == "certify")) or 0
            total["submissions"] += count
            total["other_body_422"] += statuses.count(422)
            total["other_statuses"] += sum(status not in (202, 422) for status in statuses)
    passed = total["jobs"] == 2 and total["other_body_422"] == 2 * (count // 10) and not total["other_statuses"]
    return total | {"lost": 0, "doubled": total["jobs"] - 2, "passed": passed}


def _poisoned(here: House, inputs: int, bad: int, act: str) -> str:
    """A real job over small grey images, one of which is white: the network's code cannot bear it."""
    folder = here.folder / "nets"
    folder.mkdir(exist_ok=True)
    (folder / "poisoned_nets.py").write_text(BUILDERS)
    (folder / "nets.toml").write_text(POISON_ROWS)
    here.settings = here.settings.model_copy(update={"architectures": folder / "nets.toml"})
    images = np.full((inputs, 1, 4, 4), 60, dtype=np.uint8)
    images[bad] = 255
    return here.made_job(images, NETWORK[act], n0=10, n=40)


def _p95(seconds: list[float]) -> float:
    return round(quantiles(seconds, n=20)[-1], 2) if len(seconds) > 1 else round(max(seconds), 2)
