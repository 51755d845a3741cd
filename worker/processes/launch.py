"""Starts Python processes of radii so that nothing is imported from the working directory.

``python -P`` keeps the working directory off the path of the child, ``PYTHONSAFEPATH`` off that of the processes that the
child starts in turn (loader processes, the compiler's workers). An empty entry in ``PYTHONPATH`` names the working
directory, too: it is dropped. What the parent itself imports from stays importable, so a tree that is only on
``PYTHONPATH`` works.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from radii.worker.processes import bootstrap

CACHES = ("MPLCONFIGDIR", "NUMBA_CACHE_DIR")
"""Variables that say where libraries keep what they have computed once; see ``library_caches``."""


def command(module: str, *arguments: str, starts_python: bool = False) -> list[str]:
    """The command line that runs a module of radii.

    Args:
        module: Full name of the module, such as ``radii.worker.child``.
        arguments: Its arguments.
        starts_python: Whether the process starts Python processes that import radii: then its folder is on the path.
    """
    paths = import_path()
    if starts_python and bootstrap.ROOT not in paths:
        paths.append(bootstrap.ROOT)
    return [sys.executable, "-P", bootstrap.__file__, os.pathsep.join(paths), module, *arguments]


def import_path() -> list[str]:
    """The entries of ``sys.path`` but for the working directory, which an operator can still add by a ``.pth`` file."""
    here = working_directory()
    return [entry for entry in sys.path if os.path.isabs(entry) and entry != here and os.path.exists(entry)]


def working_directory() -> str | None:
    """The working directory; ``None`` where it has been deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """``variables`` for a Python process that imports nothing from its working directory."""
    safe = {**variables, "PYTHONSAFEPATH": "1"}
    entries = [entry for entry in safe.pop("PYTHONPATH", "").split(os.pathsep) if _is_elsewhere(entry)]
    if entries:
        safe["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in entries)
    return safe


def bare_environment() -> dict[str, str]:
    """The environment of a process that opens files from outside: no credentials, one thread, and the caches of this process.
    Without those, and without a home directory, libraries would make new ones in each such process."""
    caches = {name: os.environ[name] for name in CACHES if name in os.environ}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | caches


def protect(variables: MutableMapping[str, str] = os.environ) -> None:
    """Changes the environment of this process so that all Python processes that it starts, its libraries' included, are safe,
    and drops the working directory from its own path."""
    safe = environment(variables)
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
        variables.pop(name, None)
        if name in safe:
            variables[name] = safe[name]
    sys.path[:] = [entry for entry in sys.path if entry not in ("", working_directory())]
    if bootstrap.ROOT not in sys.path:
        sys.path.append(bootstrap.ROOT)


def _is_elsewhere(entry: str) -> bool:
    """Whether an entry of ``PYTHONPATH`` is more than a relative name of the working directory."""
    if not entry or os.path.isabs(entry):
        return bool(entry)
    here = working_directory()
    return here is not None and Path(entry).resolve() != Path(here).resolve()
