"""Workers that are killed, frozen and interrupted inside a COMMIT: scenarios 1 to 3."""

import os
import random
import signal
import subprocess
import time
from functools import lru_cache

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.builtin import digits
from radii.rs_core.records import Certificate
from radii.worker.store import counters
from tests_support import things
from tests_support.durability.house import HOUSEKEEPING, LEASE, House, Kind, house, light
from tests_support.durability.outcome import Figures, add, clean, none
from tests_support.durability.waiting import until

START, N, SEED = 1_397, 20_000, 9
SECONDS = 900.0
QUERY_SLACK = 0.5
"""Seconds that housekeeping and our own query of the leases may take on a busy machine."""
KINDS: tuple[Kind, Kind] = ("sqlite", "postgresql")
PER_RUN = 5
"""Freezes on one database, before the next run takes the other one."""


def kills(
    *, runs: int, kills: int, inputs: int, workers: int = 4, without: str = "", seconds: float = SECONDS
) -> Figures:
    """1. kill -9 of random workers, every third time of the process that works for one: real certifications, counts bit-equal
    to those of an undisturbed run, and no input given up. All the kills fall into the work."""
    total: Figures = {"runs": runs} | none("kills")
    expected = undisturbed(inputs)
    for run in range(runs):
        with house(KINDS[run % 2]) as here:
            job_id, deadline = certification(here, inputs), time.monotonic() + seconds
            variables = {"PROOF_WITHOUT": without}
            for _ in range(workers):
                here.worker(**variables)
            killed = _killed(here, job_id, kills, random.Random(run), deadline, variables)
            here.until_ended(job_id, max(0.0, deadline - time.monotonic()))
            add(total, here.compared(job_id, inputs, lambda index: expected[index]), kills=killed)
    return total | {"passed": clean(total) and total["kills"] == runs * kills}


def _killed(
    here: House, job_id: str, kills: int, draw: random.Random, deadline: float, variables: dict[str, str]
) -> int:
    """Kills so often, each time when more is stored and a little later; how often that was before the job's end."""
    killed, before = 0, 0
    while killed < kills and time.monotonic() < deadline:
        if here.until_more(job_id, before, 20.0):
            time.sleep(draw.random())
        if here.ended(job_id):
            break
        before, struck = here.stored(job_id), draw.choice(here.processes)
        killed += 1
        if killed % 3 == 0 and here.kill_child(struck):
            continue
        here.kill(struck)
        here.worker(**variables)
    return killed


def freezes(*, freezes: int, without: str = "", seconds: float = 300.0) -> Figures:
    """2. A worker is frozen past its lease, another one takes over its part and works on it, and the first one is thawed:
    what it then writes is refused, while the part is the other one's and stays so."""
    total = none("freezes", "taken_over", "refused")
    for run in range(-(-freezes // PER_RUN)):
        count = min(PER_RUN, freezes - run * PER_RUN)
        with house(KINDS[run % 2]) as here:
            inputs = 4 + 12 * count
            job_id = here.light_job(inputs, 1, seed=run)
            variables = {"PROOF_CHILD": "light", "PROOF_PACE": "0.3", "PROOF_WITHOUT": without}
            holder = here.worker(**variables)
            assert until(lambda here=here, job_id=job_id: here.part(job_id)[1], 60.0)  # type: ignore[misc]
            spare = here.worker(**variables)
            assert until(lambda here=here: here.workers() == 2, 60.0)  # type: ignore[misc]
            for _ in range(count):
                _freeze_once(here, job_id, holder, total)
                holder, spare = spare, holder
            here.until_ended(job_id, seconds)
            add(total, here.compared(job_id, inputs, light(run)))
    kept = total["freezes"] == total["taken_over"] == total["refused"] == freezes
    return total | {"passed": clean(total) and kept}


def _freeze_once(here: House, job_id: str, holder: "subprocess.Popen[bytes]", total: Figures) -> None:
    """Counts whether the spare worker took over, and whether the thawed one was refused while that one was at work."""
    here.until_more(job_id, here.stored(job_id), 30.0)
    here.freeze(holder)
    fence, refused = here.part(job_id)[0], here.mishaps()[counters.WRITES_REFUSED]
    taken = until(lambda: here.part(job_id) == (fence + 1, True), LEASE + 2 * HOUSEKEEPING + 10.0)
    here.until_more(job_id, here.stored(job_id), 10.0)
    os.kill(holder.pid, signal.SIGCONT)
    told = here.until_counted(counters.WRITES_REFUSED, refused, 5.0)
    total["freezes"] += 1
    total["taken_over"] += taken
    total["refused"] += told and here.part(job_id) == (fence + 1, True)


def commits(*, signals: int, inputs: int = 400, without: str = "", seconds: float = 600.0) -> Figures:
    """3. Signals before, inside and after COMMIT, and answers to it that are lost: no part stays held beyond its lease and
    one housekeeping interval. ``signals`` counts processes that ended of one."""
    total = none("signals", "answers_lost", "stuck_s")
    for run in range(signals):
        if total["signals"] >= signals or total["unfinished"]:
            break
        with house(KINDS[run % 2]) as here:
            job_id = here.light_job(inputs, 20, seed=run)
            ended = _interrupted(here, job_id, signals // 4 or 1, without, time.monotonic() + seconds, total)
            told = [line.split() for line in (here.folder / "told").read_text().splitlines()]
            struck = ended & {int(pid) for act, pid in told if act != "lost"}
            lost = sum(act == "lost" for act, _ in told)
            add(total, here.compared(job_id, inputs, light(run)), signals=len(struck), answers_lost=lost)
    total["stuck_s"] = round(total["stuck_s"], 2)
    kept = total["signals"] >= signals and total["answers_lost"] > 0 and total["stuck_s"] <= HOUSEKEEPING + QUERY_SLACK
    return total | {"passed": clean(total) and kept}


def _interrupted(here: House, job_id: str, enough: int, without: str, deadline: float, total: Figures) -> set[int]:
    """Two disturbed workers, of which each that ends is replaced, by undisturbed ones in the end; which processes ended.

    A third one does the housekeeping and is not ended; but now and then the answer to its COMMIT is lost.
    """
    told = here.folder / "told"
    told.touch()
    variables = {"PROOF_CHILD": "light", "PROOF_PACE": "0.02", "PROOF_WITHOUT": without, "PROOF_TOLD": str(told)}
    disturbed = variables | {"PROOF_COMMIT": "SIGKILL,SIGTERM,SIGINT,lost", "PROOF_SHARE": "0.15"}
    for acts in (variables | {"PROOF_COMMIT": "lost", "PROOF_SHARE": "0.2"}, disturbed, disturbed):
        here.worker(**acts)
    ended = set[int]()
    while not here.ended(job_id) and time.monotonic() < deadline:
        for process in [process for process in here.processes if process.poll() is not None]:
            here.forget(process)
            ended.add(process.pid)
            here.worker(**(disturbed if len(ended) < enough else variables))
        total["stuck_s"] = max(total["stuck_s"], here.stuck())
        time.sleep(0.05)
    return ended


@lru_cache(maxsize=4)
def undisturbed(inputs: int) -> dict[int, tuple[list[int], list[int]]]:
    """The counts of a call of the library."""
    data = digits()
    chosen = [(index, data.image(index), int(data.labels[index])) for index in range(START, START + inputs)]
    records = engine.certify(Sampler(things.model(), 0.25, 10, seed=SEED), chosen, Procedure(sigma=0.25, n0=100, n=N))
    return {row.index: (list(row.counts0), list(row.counts)) for row in records if isinstance(row, Certificate)}


def certification(here: House, inputs: int) -> str:
    """A real certification of the digits; its identifier."""
    body = here.certify_body() | {"inputs": {"start": START, "count": inputs}, "n": N, "seed": SEED}
    return things.submit(here.database, things.tenant(here.database), body)
