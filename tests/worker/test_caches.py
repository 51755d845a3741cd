"""Caches of libraries lie in the data folder, and no noise of theirs reaches the log."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker import caches, logs
from worker.settings import Settings


def test_matplotlib_makes_its_cache_once_where_there_is_no_home(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from worker.settings import Settings; from worker import caches\n"
    code += "caches.keep_in(Settings(data=Path(sys.argv[1])))\nimport matplotlib.font_manager"
    bare = {"PATH": os.defpath, "HOME": str(tmp_path / "absent" / "home"), "PYTHONPATH": os.getcwd()}
    caches_made = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "data")], env=bare, capture_output=True, text=True, check=True
        )
        caches_made.append({path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "cache").rglob("font*")})
    assert done.stderr == "" and caches_made[0] and caches_made[0] == caches_made[1]


def test_what_the_operator_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/elsewhere")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    caches.keep_in(Settings(data=tmp_path))
    assert os.environ["MPLCONFIGDIR"] == "/elsewhere"
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "cache" / "numba")


def test_that_there_is_no_gpu_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    try:
        logs.configure(Settings())
        logging.getLogger("torch.utils.cpp_extension").warning("No CUDA runtime is found, using CUDA_HOME='/usr'")
        logging.getLogger("somebody.else").warning("a warning")
        said = capsys.readouterr().err
    finally:
        logging.getLogger().handlers[:] = before
    assert "CUDA" not in said and "a warning" in said
