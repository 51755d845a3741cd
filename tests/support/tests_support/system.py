"""What the system says of processes: children, whether one is stopped, and the memory that it holds."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that this one has started and that run."""
    return [number for number, parent in _parents() if parent == pid]


def stopped(pid: int) -> bool:
    """Whether a signal has stopped it."""
    with suppress(OSError):
        return _fields(Path(f"/proc/{pid}/stat"))[0] == "T"
    return False


def freeze(pid: int) -> None:
    """Stops a process, and waits until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    while not stopped(pid):
        time.sleep(0.01)


def resident(pid: int) -> int:
    """Bytes of a process and of its children."""
    total = 0
    for number in [pid, *children(pid)]:
        with suppress(OSError, IndexError, ValueError):
            total += int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _parents() -> Iterator[tuple[int, int]]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            yield int(status.parent.name), int(_fields(status)[1])


def _fields(status: Path) -> list[str]:
    """State, parent and so on: what follows the name, which may hold anything."""
    return status.read_text().rpartition(")")[2].split()
