"""Script that runs one of radii's modules in a new interpreter: ``python -P bootstrap.py PATHS MODULE [ARGUMENT ...]``.

``launch`` writes that command. The package ``radii`` is the one that holds this file, whatever else has its name; ``PATHS`` are
further entries for the end of ``sys.path``. Nothing is imported from the working directory.
"""

import os
import runpy
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

PACKAGE = "radii"
ROOT = os.path.abspath(__file__)
for _ in range(4):  # bootstrap.py, processes, worker, radii
    ROOT = os.path.dirname(ROOT)


def main() -> None:
    """Runs the module as ``__main__``."""
    paths, module, *arguments = sys.argv[1:]
    sys.path[:] = [entry for entry in sys.path if entry]
    sys.path += [entry for entry in paths.split(os.pathsep) if entry and entry not in sys.path]
    _load(PACKAGE)
    sys.argv[:] = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _load(name: str) -> None:
    spec = PathFinder.find_spec(name, [ROOT])
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main()
