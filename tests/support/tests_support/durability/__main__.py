"""``python -m tests_support.durability``: a table of figures and, last, a JSON line. See ``make durability``."""

import argparse
import json
import os
import platform
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from tests_support.durability.outcome import Figures
from tests_support.durability.proofs import MUTATIONS, PROOFS, Form, mutate, prove


def main() -> None:
    """Runs what is asked for; exit code 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description="Proofs that jobs survive.")
    parser.add_argument("--only", type=int, choices=sorted(PROOFS), help="one scenario")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", dest="form", action="store_const", const="short", help="short runs, two at a time")
    form.add_argument(
        "--shipped",
        dest="form",
        action="store_const",
        const="shipped",
        help="1 to 7 with the intervals radii comes with",
    )
    form.add_argument("--mutations", action="store_true", help="take out guards, and show that proofs 1 to 4 notice")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to which the figures are added")
    asked = parser.parse_args()
    line = _mutated(asked.only) if asked.mutations else _proved(asked.form or "whole", asked.only)
    if asked.out is not None:
        machine = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine()}
        with asked.out.open("a") as file:
            file.write(json.dumps(machine | line) + "\n")
    print(json.dumps(line))
    sys.exit(0 if line["passed"] else 1)


def _proved(form: Form, only: int | None) -> Figures:
    """Runs the scenarios, in processes of their own, and shows each as it ends."""
    if form == "shipped":
        os.environ["PROOF_TIMES"] = "shipped"
    numbers = [number for number in PROOFS if only in (None, number) and getattr(PROOFS[number], form) is not None]
    found: dict[str, Figures] = {}
    workers = 2 if form == "short" else 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        runs = {number: pool.submit(prove, number, form) for number in numbers}
        for number, run in runs.items():
            what, figures = PROOFS[number].what, _figures(run)
            found[str(number)] = {"what": what, **figures}
            shown = ", ".join(f"{name} {value}" for name, value in figures.items() if name not in ("passed", "seconds"))
            state = "passed" if figures["passed"] else "FAILED"
            print(f"{number:2}  {state}  {what}: {shown} ({figures.get('seconds', 0)} s)", flush=True)
    return {
        "lost": sum(each.get("lost", 0) for each in found.values()),
        "doubled": sum(each.get("doubled", 0) for each in found.values()),
        "passed": all(each["passed"] for each in found.values()),
        "form": form,
        "scenarios": found,
    }


def _figures(run: "Future[Figures]") -> Figures:
    """Also of a scenario whose process has ended, and with it those of all that wait for one."""
    try:
        return run.result()
    except Exception as error:
        return {"passed": False, "error": f"{type(error).__name__}: {error}"}


def _mutated(only: int | None) -> Figures:
    """Runs proofs without their guards; passed where each fails."""
    noticed = {}
    for number, (guard, _) in MUTATIONS.items():
        if only in (None, number):
            noticed[guard] = figures = mutate(number)
            state = "noticed" if figures["noticed"] else "MISSED"
            print(f"{number:2}  {state}  without {guard}: {figures}", flush=True)
    return {"passed": all(each["noticed"] for each in noticed.values()), "form": "mutations", "without": noticed}


def _machine() -> str:
    from radii.worker.tasks.environment import cpu_name

    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
    return f"{cpu_name()}, {cores}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
