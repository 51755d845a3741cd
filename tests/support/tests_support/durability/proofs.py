"""Every scenario by its number, in its forms, and the runs without a guard."""

import time
import traceback
from collections.abc import Callable
from typing import Literal, NamedTuple

from tests_support.durability import cancels as c
from tests_support.durability import everything as e
from tests_support.durability import full_disks as f
from tests_support.durability import hanging as h
from tests_support.durability import limits as l
from tests_support.durability import queue as q
from tests_support.durability import servers_away as s
from tests_support.durability import workers_lost as w
from tests_support.durability.outcome import Figures

Run = Callable[[], Figures]
Form = Literal["whole", "short", "shipped"]


class Proof(NamedTuple):
    """One scenario: as it is shown, in a few seconds, and with the intervals that radii comes with."""

    what: str
    held: str
    whole: Run
    short: Run | None = None
    shipped: Run | None = None


PROOFS: dict[int, Proof] = {
    1: Proof(
        "kill -9 of random workers",
        "no result lost or doubled, counts those of an undisturbed run",
        whole=lambda: w.kills(runs=20, kills=25, inputs=250),
        short=lambda: w.kills(runs=1, kills=2, inputs=24, workers=2),
        shipped=lambda: w.kills(runs=2, kills=8, inputs=400),
    ),
    2: Proof(
        "frozen past the lease",
        "every write of a worker that was thawed is refused while another is at its part; counts equal",
        whole=lambda: w.freezes(freezes=20),
        short=lambda: w.freezes(freezes=1),
        shipped=lambda: w.freezes(freezes=4),
    ),
    3: Proof(
        "signals inside COMMIT",
        "no part is held longer than its lease, a housekeeping interval and 0.5 s",
        whole=lambda: w.commits(signals=200),
        short=lambda: w.commits(signals=2, inputs=160),
        shipped=lambda: w.commits(signals=20),
    ),
    4: Proof(
        "Redis flushed, restarted, away",
        "begun 2 s after a submission, after a flush within a housekeeping interval, while Redis is away at the next poll (5 housekeeping intervals); always answered",
        whole=lambda: s.redis_away(times=20, long=300.0),
        short=lambda: s.redis_away(times=1),
        shipped=lambda: s.redis_away(times=3),
    ),
    5: Proof(
        "Postgres restarted, away",
        "no answer but 200, 202 and 503 with Retry-After; work goes on within a lease, a housekeeping interval and 3 s",
        whole=lambda: s.postgres_away(times=20, long=60.0),
        short=lambda: s.postgres_away(times=1, restart=1.5),
        shipped=lambda: s.postgres_away(times=2),
    ),
    6: Proof(
        "everything killed at once",
        "goes on within 60 s; at most 10 s of certification and a snapshot (60 s) of training are done again",
        whole=lambda: e.everything(times=4, training_times=2),
        shipped=lambda: e.certifications(times=2),
    ),
    7: Proof(
        "cancel",
        "final within 5 s (95th percentile), the device free within 35 s, though the process does not hear; nothing stored after the end",
        whole=lambda: c.cancels(times=20),
        short=lambda: c.cancels(times=2, kinds=("sqlite",), real=False),
        shipped=lambda: c.cancels(times=6),
    ),
    8: Proof(
        "one poisonous input",
        "the one input is given up, all others are certified, and the job says so",
        whole=lambda: q.poison(inputs=10_000, acts=("segfault", "memory", "endless")),
        short=lambda: q.poison(inputs=300, acts=("segfault",)),
    ),
    9: Proof(
        "fair shares",
        "the newcomer is begun within one part of each worker; two busy tenants get 50 +- 5 %",
        whole=lambda: q.fairness(shards=1_000, seconds=60.0),
        short=lambda: q.fairness(shards=200, seconds=5.0),
    ),
    10: Proof(
        "one Idempotency-Key",
        "one job for all; 422 for another body",
        whole=lambda: q.submissions(count=100),
        short=lambda: q.submissions(count=20),
    ),
    11: Proof(
        "full disks",
        "507 for an upload, else a pause; nothing corrupt; goes on when there is room, a training with the weights of an unbroken run",
        whole=f.full_disks,
        short=lambda: f.full_disks(ways=("file size",), training=False),
    ),
    12: Proof(
        "memory over many shards",
        "the second half's slope is compatible with 0 (95 % interval), but for the pages of one piece of 256 KiB",
        whole=lambda: l.memory(shards=20_000),
    ),
    13: Proof(
        "a crowd that asks",
        "every answer 200, every stream with events, two cores for the service",
        whole=lambda: l.crowd(pollers=2_000, streams=200, seconds=90.0),
        short=lambda: l.crowd(pollers=100, streams=20, seconds=5.0, wait=2.0),
    ),
    14: Proof(
        "hanging",
        "parts of others are taken back within a lease, three housekeeping intervals and 2 s; no worker ends; goes on when the lock is free",
        whole=h.hanging,
        short=lambda: h.hanging(sqlite=False, server=False),
    ),
}
"""By number."""

MUTATIONS: dict[int, tuple[str, Run]] = {
    1: ("housekeeping", lambda: w.kills(runs=1, kills=2, inputs=60, workers=2, without="housekeeping", seconds=60.0)),
    2: ("fence", lambda: w.freezes(freezes=2, without="fence", seconds=60.0)),
    3: ("conflict", lambda: w.commits(signals=8, without="conflict", seconds=90.0)),
    4: ("wakeup", lambda: s.redis_away(times=1, without="wakeup")),
}
"""By scenario: the guard that is taken out, and a short run that must not pass without it."""


def prove(number: int, form: Form) -> Figures:
    """The figures of one scenario, and the seconds that it took."""
    return _timed(getattr(PROOFS[number], form))


def mutate(number: int) -> Figures:
    """The figures of one scenario without its guard. It is noticed where they do not pass, but not where there are none."""
    figures = _timed(MUTATIONS[number][1])
    return {"noticed": not figures["passed"] and "error" not in figures, **figures}


def _timed(run: Run) -> Figures:
    """What goes wrong on the way ends one scenario, not those after it."""
    began = time.monotonic()
    try:
        figures = run()
    except Exception as error:
        traceback.print_exc()
        figures = {"passed": False, "error": f"{type(error).__name__}: {error}"[:500]}
    return figures | {"seconds": round(time.monotonic() - began, 1)}
