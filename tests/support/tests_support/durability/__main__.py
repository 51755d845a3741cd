"""``python -m tests_support.durability``: a table of figures and, last, a JSON line. See ``make durability``."""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests_support.durability import limits as l
from tests_support.durability import queue as q
from tests_support.durability import servers_away as s
from tests_support.durability import workers_lost as w

Run = Callable[[], dict[str, Any]]
SCENARIOS: dict[int, tuple[str, Run, Run | None]] = {
    1: (
        "kill -9 of random workers",
        lambda: w.kills(runs=20, kills=25, inputs=400),
        lambda: w.kills(runs=1, kills=2, inputs=40, workers=2),
    ),
    2: ("frozen past the lease", lambda: w.freezes(freezes=20), lambda: w.freezes(freezes=2)),
    3: ("signals inside COMMIT", lambda: w.commits(signals=200), lambda: w.commits(signals=2)),
    4: (
        "Redis flushed, restarted, away",
        lambda: s.redis_away(times=20, long=300.0),
        lambda: s.redis_away(times=1),
    ),
    5: (
        "Postgres restarted, away",
        lambda: s.postgres_away(times=20, long=60.0),
        lambda: s.postgres_away(times=1),
    ),
    6: ("everything killed at once", lambda: w.everything(times=4), None),
    7: ("cancel", lambda: q.cancels(times=40), lambda: q.cancels(times=2, kinds=("sqlite",))),
    8: (
        "one poisonous input",
        lambda: q.poison(inputs=10_000, acts=("segfault", "memory", "endless")),
        lambda: q.poison(inputs=300, acts=("segfault",)),
    ),
    9: ("fair shares", lambda: q.fairness(shards=1_000, seconds=60.0), lambda: q.fairness(shards=200, seconds=5.0)),
    11: ("full disks", l.full_disks, lambda: l.full_disks(ways=("file size",))),
    12: ("memory over many shards", lambda: l.memory(shards=10_000), None),
    13: (
        "a crowd that asks",
        lambda: l.crowd(pollers=2_000, streams=200, seconds=90.0),
        lambda: l.crowd(pollers=100, streams=20, seconds=5.0, wait=2.0),
    ),
    10: ("one Idempotency-Key", lambda: q.submissions(count=100), lambda: q.submissions(count=20)),
}
"""By number: what is done, the whole proof, and a short one."""


MUTATIONS: dict[int, tuple[str, Run]] = {
    1: ("sweep", lambda: w.kills(runs=1, kills=2, inputs=60, workers=2, without="sweep", seconds=60.0)),
    2: ("fence", lambda: w.freezes(freezes=2, without="fence", seconds=60.0)),
    3: ("conflict", lambda: w.commits(signals=8, without="conflict", seconds=90.0)),
    4: ("bell", lambda: s.redis_away(times=1, without="bell")),
}
"""By scenario: the guard that is taken out, and a short run that must not pass without it."""


def main() -> None:
    """Runs what is asked for; exit code 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description="Proofs that jobs survive.")
    parser.add_argument("--only", type=int, choices=sorted(SCENARIOS), help="one scenario")
    parser.add_argument("--quick", action="store_true", help="short runs of those that can be short")
    parser.add_argument("--mutations", action="store_true", help="take out guards, and show that proofs 1 to 4 notice")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to which the figures are added")
    asked = parser.parse_args()
    if asked.mutations:
        _mutate(asked.only)
    found: dict[str, dict[str, Any]] = {}
    for number, (what, whole, short) in SCENARIOS.items():
        run = short if asked.quick else whole
        if run is None or asked.only not in (None, number):
            continue
        began = time.monotonic()
        figures = run()
        figures["seconds"] = round(time.monotonic() - began, 1)
        found[str(number)] = {"what": what, **figures}
        shown = ", ".join(f"{name} {value}" for name, value in figures.items() if name not in ("passed", "seconds"))
        print(
            f"{number:2}  {'passed' if figures['passed'] else 'FAILED'}  {what}: {shown} ({figures['seconds']} s)",
            flush=True,
        )
    line = {
        "lost": sum(each.get("lost", 0) for each in found.values()),
        "doubled": sum(each.get("doubled", 0) for each in found.values()),
        "passed": all(each["passed"] for each in found.values()),
        "quick": asked.quick,
        "scenarios": found,
    }
    if asked.out is not None:
        machine = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine()}
        with asked.out.open("a") as file:
            file.write(json.dumps(machine | line) + "\n")
    print(json.dumps(line))
    sys.exit(0 if line["passed"] else 1)


def _mutate(only: int | None) -> None:
    """Exit code 0 where each proof fails without its guard."""
    noticed = {}
    for number, (guard, run) in MUTATIONS.items():
        if only in (None, number):
            figures = run()
            noticed[guard] = not figures["passed"]
            print(f"{number:2}  {'noticed' if noticed[guard] else 'MISSED'}  without {guard}: {figures}", flush=True)
    print(json.dumps({"noticed": noticed}))
    sys.exit(0 if all(noticed.values()) else 1)


def _machine() -> str:
    from worker.run.environment import cpu_name

    return f"{cpu_name()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
