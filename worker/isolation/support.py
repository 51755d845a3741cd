"""Which restrictions this system lacks, found by applying all of them to a process that does nothing else."""

import json
import logging
import subprocess
import sys
import threading
from dataclasses import asdict
from functools import lru_cache

from worker import launch
from worker.isolation import system
from worker.isolation.confine import Confinement, Missing, confine
from worker.isolation.limits import Limits

log = logging.getLogger("radii.isolation")

SECONDS = 30.0
TRIAL_LIMITS = Limits(memory=2**32, seconds=SECONDS, output=2**20)


@lru_cache(maxsize=4)
def missing(uid: int) -> tuple[Missing, ...]:
    """The restrictions that the processes which open files from outside have to do without, on this system and for this user.

    Args:
        uid: User that such a process changes to where it is started as root.
    """
    try:
        done = subprocess.run(
            launch.command("worker.isolation.support", str(uid)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=True,
            env=launch.bare_environment(),
        )
        return tuple(Missing(**each) for each in json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        why = f"the trial failed: {type(error).__name__}: {error}"[:300]
        return (Missing(restriction="isolation", reason=why, consequence="it is not known which restrictions apply"),)


def log_missing(uid: int) -> None:
    """Logs a warning for each restriction that is missing. Without Landlock, which keeps other processes' memory closed,
    this process closes its own to those of its user."""
    found = missing(uid)
    for each in found:
        log.warning("%s", sentence(each))
    if sys.platform == "linux" and any(each.restriction == "Landlock" for each in found):
        system.prctl(system.PR_SET_DUMPABLE, 0)


def log_missing_soon(uid: int) -> None:
    """The same in a thread of its own, so that nobody waits for the trial."""
    threading.Thread(target=log_missing, args=(uid,), daemon=True, name="isolation").start()


def sentence(each: Missing) -> str:
    """A missing restriction in words."""
    return f"files from outside are opened without this restriction: {each.restriction} ({each.reason}): {each.consequence}"


def main() -> None:
    """The process of the trial."""
    found = confine(Confinement(limits=TRIAL_LIMITS, uid=int(sys.argv[1])))
    print(json.dumps([asdict(each) for each in found]))


if __name__ == "__main__":
    main()
