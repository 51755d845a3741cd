"""How a confined process reports to its parent which restrictions it lacks, before it opens the first file.

The report is one line of JSON: the missing restrictions, or the problem because of which the process has ended.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import BinaryIO

from radii.rs_core.errors import RadiiError
from radii.worker.isolation import availability
from radii.worker.isolation.confine import Confinement, MissingRestriction, NotConfined

LONGEST = 2**16
"""Bytes of a report."""


def confine_and_report(
    confine: Callable[[Confinement], Iterable[MissingRestriction]], wanted: Confinement, to: BinaryIO
) -> None:
    """Confines this process by ``confine`` and writes the report; ends the process where it cannot be confined."""
    problem: NotConfined
    try:
        missing = [asdict(each) for each in confine(wanted)]
        to.write(json.dumps(missing).encode() + b"\n")
        to.flush()
        return
    except NotConfined as error:
        problem = error
    except RuntimeError as error:
        expected = (
            "modules that start no threads when they are imported (those of RADII_ARCHITECTURES are imported, too)"
        )
        problem = NotConfined(expected=expected, got=str(error))
    to.write(json.dumps({"problem": problem.problem()}).encode() + b"\n")
    to.flush()
    sys.exit(1)


def check(report: bytes) -> None:
    """Logs the restrictions that a process has reported as missing and that this process has not logged yet.

    Raises:
        RadiiError: The process could not be confined and has ended.
        ValueError: It is no report.
    """
    body = json.loads(report)
    if isinstance(body, dict) and isinstance(body.get("problem"), dict):
        raise RadiiError.from_problem(body["problem"])
    try:
        missing = [MissingRestriction(**each) for each in body]
    except TypeError:
        raise ValueError("no report of restrictions") from None
    availability.log_new(missing)
