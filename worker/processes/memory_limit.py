"""How much memory this process may use: the machine's, or less where a control group (a container) limits it."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
MOUNTED = Path("/sys/fs/cgroup")


@lru_cache(maxsize=1)
def total() -> int:
    """Bytes of memory that there are for this process and its children."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits()])


def limits(groups: Path = GROUPS, mounted: Path = MOUNTED) -> list[int]:
    """The limits of the control groups that this process is in, of version 1 and 2, and of all groups above them."""
    found = []
    for path in _files(groups, mounted):
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
    return found


def _files(groups: Path, mounted: Path) -> Iterator[Path]:
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        group = Path(name.lstrip("/"))
        for each in (group, *group.parents):
            if not controllers:
                yield mounted / each / "memory.max"
            elif "memory" in controllers.split(","):
                yield mounted / "memory" / each / "memory.limit_in_bytes"
