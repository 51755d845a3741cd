"""The benchmarks can be imported: what they measure has the names that it has in the product."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_can_be_imported() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert len(names) > 15
    code = (
        f"import importlib, sys; sys.path.insert(0, {str(FOLDER)!r}); [importlib.import_module(n) for n in {names!r}]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
