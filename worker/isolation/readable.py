"""What a confined process must be able to read: the interpreter, its libraries and its packages, and no data.

A folder of packages (the standard library, ``site-packages``) is readable as a whole. Of any other folder on ``sys.path``,
which may hold a user's files, only modules and packages are. A zip file is readable where it is itself an entry of
``sys.path``. What this process cannot read is left out.
"""

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/dev/urandom", "/dev/random", "/proc/cpuinfo", "/sys/devices/system/cpu"),
)
"""Shared libraries, random numbers, and what libraries look up of the processor."""
PACKAGES = ("site-packages", "dist-packages")
MODULES = (".py", ".pyc", ".so")


def interpreter() -> set[Path]:
    """Files and folders that imports need, from where this process has imported and may still import."""
    found = {Path(path) for path in SYSTEM}
    found |= {Path(path) for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib")}
    found |= {Path(sys.base_prefix, "lib"), Path(sys.base_exec_prefix, "lib")} if sys.base_prefix != "/usr" else set()
    whole = set(found)
    for entry in map(Path, sys.path):
        found |= {entry} if entry.name in PACKAGES or _is_below(entry, whole) else set(modules(entry))
    found |= set(_imported(found))
    return found | set(_linked(found - whole))


def modules(folder: Path) -> Iterator[Path]:
    """The modules and packages of a folder, or the path itself where it is a file."""
    if os.path.isfile(folder):
        yield folder
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if (path.suffix in MODULES and os.path.isfile(path)) or os.path.isfile(path / "__init__.py"):
                yield path


def _imported(found: Iterable[Path]) -> Iterator[Path]:
    """Packages that this process has imported from elsewhere, as those that are linked to (editable installations)."""
    for name, module in list(sys.modules.items()):
        if "." not in name:
            folders = [Path(path) for path in getattr(module, "__path__", ())]
            yield from (path for path in folders if path.is_absolute() and not _is_below(path, found))


def _linked(folders: Iterable[Path]) -> Iterator[Path]:
    """Where the links in packages lead: the packages of a checkout are links to folders next to ``radii``."""
    for folder in folders:
        if not os.path.isfile(folder / "__init__.py"):
            continue
        with contextlib.suppress(OSError):
            yield from (path.resolve() for path in folder.iterdir() if path.is_symlink() and path.is_dir())


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder == path or folder in path.parents for folder in folders)
