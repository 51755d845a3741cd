"""Which restrictions this system lacks, found by applying all of them to a process that does nothing else."""

import json
import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict

from radii.worker.isolation import system
from radii.worker.isolation.confine import Confinement, MissingRestriction, confine
from radii.worker.isolation.limits import Limits
from radii.worker.processes import launch

log = logging.getLogger("radii.isolation")

SECONDS = 30.0
TRIAL_LIMITS = Limits(memory=2**32, seconds=SECONDS, output=2**20)
AGAIN_AFTER = 60.0
"""Seconds after which a trial that has failed is repeated."""


class RestrictionTrials:
    """Results of trials by user. A trial that has worked is not repeated, and one that has failed not at once.

    Calling it returns the restrictions that converter and decoder have to do without, on this system and for this user.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[int, tuple[tuple[MissingRestriction, ...], float]] = {}

    def __call__(self, uid: int) -> tuple[MissingRestriction, ...]:
        """Args: ``uid``: user that such a process changes to where it is started as root."""
        with self._lock:
            found, until = self._found.get(uid, ((), 0.0))
            if time.monotonic() >= until:
                found, worked = _trial(uid)
                self._found[uid] = (found, math.inf if worked else time.monotonic() + AGAIN_AFTER)
            return found

    def cache_clear(self) -> None:
        """Forgets the results."""
        self._found.clear()


missing = RestrictionTrials()


def _trial(uid: int) -> tuple[tuple[MissingRestriction, ...], bool]:
    """What is missing, and whether the trial has worked."""
    try:
        done = subprocess.run(
            launch.command("radii.worker.isolation.availability", str(uid)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=True,
            env=launch.bare_environment(),
        )
        return tuple(MissingRestriction(**each) for each in json.loads(done.stdout)), True
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        why = f"the trial failed: {type(error).__name__}: {error}"[:300]
        unknown = "it is not known which restrictions apply"
        return (MissingRestriction(restriction="isolation", reason=why, consequence=unknown),), False


def log_missing(uid: int) -> None:
    """Logs a warning for each restriction that is missing. Without Landlock, which keeps other processes' memory closed,
    this process closes its own to those of its user."""
    found = missing(uid)
    for each in found:
        log.warning("%s", sentence(each))
        _logged.add(each)
    if sys.platform == "linux" and any(each.restriction == "Landlock" for each in found):
        system.prctl(system.PR_SET_DUMPABLE, 0)


_logged: set[MissingRestriction] = set()


def log_new(found: Iterable[MissingRestriction]) -> None:
    """Logs a warning for each of these restrictions for which this process has logged none."""
    for each in set(found) - _logged:
        log.warning("%s", sentence(each))
        _logged.add(each)


def log_missing_soon(uid: int) -> None:
    """The same in a thread of its own, so that nobody waits for the trial."""
    threading.Thread(target=log_missing, args=(uid,), daemon=True, name="isolation").start()


def sentence(each: MissingRestriction) -> str:
    """A missing restriction in words."""
    return f"files from outside are opened without this restriction: {each.restriction} ({each.reason}): {each.consequence}"


def main() -> None:
    """The process of the trial."""
    found = confine(Confinement(limits=TRIAL_LIMITS, uid=int(sys.argv[1])))
    print(json.dumps([asdict(each) for each in found]))


if __name__ == "__main__":
    main()
