"""Workers that are killed, frozen and interrupted inside a COMMIT: scenarios 1 to 3."""

import os
import random
import signal
import time
from functools import lru_cache
from typing import Any

from rs_core.certify import engine
from rs_core.certify.decision import Certificate
from rs_core.certify.procedure import Procedure
from rs_core.certify.sampling import Sampler
from rs_core.data.builtin import digits
from tests_support import things
from tests_support.durability.house import LEASE, SWEEP, House, Kind, Outcome, house, light
from worker.store import counters

Figures = dict[str, Any]
START, N, SEED = 1_397, 20_000, 9
SECONDS = 900.0
LOOK = 0.5
"""Seconds that a sweep and our own look at the leases may take on a busy machine."""
KINDS: tuple[Kind, Kind] = ("sqlite", "postgresql")


def kills(
    *, runs: int, kills: int, inputs: int, workers: int = 4, without: str = "", seconds: float = SECONDS
) -> Figures:
    """1. kill -9 of random workers, every third time of the process that works for one: real certifications, counts bit-equal
    to those of an undisturbed run, and no input given up."""
    total: Figures = {"runs": runs, "kills": 0, "lost": 0, "doubled": 0, "differing": 0, "unfinished": 0}
    expected = undisturbed(inputs)
    for run in range(runs):
        draw = random.Random(run)
        with house(KINDS[run % 2]) as here:
            job_id = certification(here, inputs)
            variables = {"PROOF_WITHOUT": without}
            for _ in range(workers):
                here.worker(**variables)
            killed, before = 0, 0
            deadline = time.monotonic() + seconds
            while killed < kills and not here.ended(job_id) and time.monotonic() < deadline:
                if here.until_more(job_id, before, 20.0):
                    time.sleep(draw.random())
                before, struck = here.stored(job_id), draw.choice(here.processes)
                killed += 1
                if killed % 3 == 0 and here.kill_child(struck):
                    continue
                here.kill(struck)
                here.worker(**variables)
            here.until_ended(job_id, max(0.0, deadline - time.monotonic()))
            outcome = here.compared(job_id, inputs, lambda index: expected[index])
            add(total, outcome, kills=killed)
    return total | {"passed": clean(total) and total["kills"] >= runs}


def freezes(*, freezes: int, without: str = "", seconds: float = 300.0) -> Figures:
    """2. A worker is frozen past its lease and thawed, again and again: what it then writes is refused."""
    total: Figures = {"freezes": 0, "refused": 0, "lost": 0, "doubled": 0, "differing": 0, "unfinished": 0}
    per_run = 5
    for run in range(max(1, freezes // per_run)):
        with house(KINDS[run % 2]) as here:
            inputs = 40 * min(per_run, freezes)
            job_id = here.light_job(inputs, 2, seed=run)
            variables = {"PROOF_CHILD": "light", "PROOF_PACE": "0.3", "PROOF_WITHOUT": without}
            frozen, other = here.worker(**variables), here.worker(**variables)
            for _ in range(min(per_run, freezes)):
                before = here.stored(job_id)
                if not here.until_more(job_id, before + 1, 30.0) or here.ended(job_id):
                    break
                os.kill(frozen.pid, signal.SIGSTOP)
                refused = here.mishaps()[counters.WRITES_REFUSED]
                time.sleep(LEASE + 2 * SWEEP + 0.5)
                os.kill(frozen.pid, signal.SIGCONT)
                here.until_counted(counters.WRITES_REFUSED, refused, 2.0)
                frozen, other = other, frozen
                total["freezes"] += 1
            finished = here.until_ended(job_id, seconds)
            total["refused"] += here.mishaps()[counters.WRITES_REFUSED]
            add(total, here.compared(job_id, inputs, light(run)))
            assert finished or without
    return total | {"passed": clean(total) and total["refused"] > 0}


def commits(*, signals: int, inputs: int = 400, without: str = "", seconds: float = 600.0) -> Figures:
    """3. Signals before, inside and after COMMIT, and answers to it that are lost: no part stays held beyond its lease and
    one sweep."""
    total: Figures = {"signals": 0, "stuck_s": 0.0, "lost": 0, "doubled": 0, "differing": 0, "unfinished": 0}
    run = 0
    while total["signals"] < signals:
        with house(KINDS[run % 2]) as here:
            job_id = here.light_job(inputs, 20, seed=run)
            variables = {"PROOF_CHILD": "light", "PROOF_PACE": "0.02", "PROOF_WITHOUT": without}
            disturbed = variables | {"PROOF_COMMIT": "SIGKILL,SIGTERM,SIGINT,lost", "PROOF_SHARE": "0.15"}
            # One that sweeps and is not ended; but now and then the answer to its COMMIT is lost.
            here.worker(**variables, PROOF_COMMIT="lost", PROOF_SHARE="0.2")
            quarter = signals // 4 or 1
            here.worker(**disturbed)
            here.worker(**disturbed)
            deadline, struck = time.monotonic() + seconds, 0
            while not here.ended(job_id) and time.monotonic() < deadline:
                for process in list(here.processes):
                    if process.poll() is not None:
                        here.forget(process)
                        struck += 1
                        here.worker(**(disturbed if struck < quarter else variables))
                total["stuck_s"] = max(total["stuck_s"], here.stuck())
                time.sleep(0.05)
            total["signals"] += max(struck, 1)
            add(total, here.compared(job_id, inputs, light(run)))
        run += 1
        if total["unfinished"]:
            break
    total["stuck_s"] = round(total["stuck_s"], 2)
    return total | {"passed": clean(total) and total["stuck_s"] <= SWEEP + LOOK}


@lru_cache(maxsize=4)
def undisturbed(inputs: int) -> dict[int, tuple[list[int], list[int]]]:
    """The counts of a call of the library."""
    data = digits()
    chosen = [(index, data.image(index), int(data.labels[index])) for index in range(START, START + inputs)]
    records = engine.certify(Sampler(things.model(), 0.25, 10, seed=SEED), chosen, Procedure(sigma=0.25, n0=100, n=N))
    return {row.index: (list(row.counts0), list(row.counts)) for row in records if isinstance(row, Certificate)}


def certification(here: House, inputs: int) -> str:
    """A real certification of the digits; its identifier."""
    tenant_id = things.tenant(here.database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(here.database, here.settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(here.database, here.settings.blobs, tenant_id),
        "inputs": {"start": START, "count": inputs},
        "n": N,
        "seed": SEED,
    }
    return things.submit(here.database, tenant_id, body)


def add(total: Figures, outcome: Outcome, **more: int) -> None:
    for name in ("lost", "doubled", "differing"):
        total[name] += getattr(outcome, name)
    total["unfinished"] += outcome.state != "succeeded"
    total["lost"] += outcome.failed
    for name, count in more.items():
        total[name] += count


def clean(total: Figures) -> bool:
    return not any(total[name] for name in ("lost", "doubled", "differing", "unfinished"))
