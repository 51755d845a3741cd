"""Limits on what a process takes, kept by the kernel."""

import resource
from dataclasses import dataclass

OPEN_FILES = 256
PROCESSES = 64
"""Of the user, threads included; the filter of system calls refuses processes by itself."""


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
        ("processes", resource.RLIMIT_NPROC, PROCESSES),
    ):
        try:
            _lower(limit, value)
        except (OSError, ValueError) as error:
            refused.append((name, str(error)))
    return refused


def _lower(limit: int, value: int) -> None:
    """Sets a limit, unless the one that is there is lower."""
    _, hard = resource.getrlimit(limit)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (least, least))
