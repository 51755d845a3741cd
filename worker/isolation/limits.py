"""Limits on what a process takes, kept by the kernel."""

import resource
from dataclasses import dataclass

OPEN_FILES = 256


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bytes of address space, seconds of processor time, and bytes of a file that is written."""

    memory: int
    seconds: float
    output: int


def apply(limits: Limits) -> list[tuple[str, str]]:
    """Sets the limits permanently; returns the name of each that the system refused, and why."""
    refused = []
    for name, limit, value in (
        ("memory", resource.RLIMIT_AS, limits.memory),
        ("processor time", resource.RLIMIT_CPU, int(limits.seconds) + 1),
        ("size of files", resource.RLIMIT_FSIZE, limits.output),
        ("open files", resource.RLIMIT_NOFILE, OPEN_FILES),
        ("core dumps", resource.RLIMIT_CORE, 0),
    ):
        try:
            lower(limit, value)
        except (OSError, ValueError) as error:
            refused.append((name, str(error)))
    return refused


def refuse_processes() -> None:
    """Lets this process start neither processes nor threads, and its user has no right to change that.

    The kernel compares the limit with all processes and threads of the user. Any other value than 0 would make the
    confined process fail where the user runs other programs.
    """
    lower(resource.RLIMIT_NPROC, 0)


def lower(limit: int, value: int) -> None:
    """Sets the soft and the hard limit to ``value``, or to the lowest limit in force where that is lower."""
    least = min([value, *(each for each in resource.getrlimit(limit) if each != resource.RLIM_INFINITY)])
    resource.setrlimit(limit, (least, least))
