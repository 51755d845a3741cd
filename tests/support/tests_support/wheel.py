"""The wheel, built from a copy of the source: a build leaves a folder of modules, which the next one would put into its wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCE = ("radii", "rs_core", "worker", "service", "migrations")
"""In an sdist, the last four are only below the first."""


def build(folder: Path) -> Path:
    """Builds the wheel in an empty folder, without an index: what builds it is one of the packages for development."""
    source = folder / "source"
    source.mkdir()
    for file in (path for path in ROOT.iterdir() if path.is_file()):
        shutil.copy(file, source)
    for name in filter(lambda name: (ROOT / name).is_dir(), SOURCE):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True)
    return next(folder.glob("*.whl"))
