"""Caches of libraries lie in the data folder, and no noise of theirs reaches the log."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from radii.rs_core.errors import RadiiError
from radii.worker import library_caches, logs
from radii.worker.processes import launch
from radii.worker.sandbox import converter
from radii.worker.settings import Settings


def test_matplotlib_makes_its_cache_once_where_there_is_no_home(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from radii.worker.settings import Settings; from radii.worker import library_caches\n"
    code += "library_caches.keep_in(Settings(data=Path(sys.argv[1])))\nimport matplotlib.font_manager"
    bare = {"PATH": os.defpath, "HOME": str(tmp_path / "absent" / "home"), "PYTHONPATH": os.getcwd()}
    caches_made = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "data")], env=bare, capture_output=True, text=True, check=True
        )
        caches_made.append({path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "cache").rglob("font*")})
    assert done.stderr == "" and caches_made[0] and caches_made[0] == caches_made[1]


PLOTTING = """
from torch import nn
import matplotlib.font_manager


def net(num_classes, input_shape):
    return nn.Linear(4, num_classes)
"""


def test_a_converter_uses_the_cache_of_the_process_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registered architecture may import what it likes. The converter has no home directory at all."""
    for name in library_caches.FOLDERS:
        monkeypatch.delenv(name, raising=False)
    library_caches.keep_in(Settings(data=tmp_path / "data"))
    (tmp_path / "plotting.py").write_text(PLOTTING)
    (tmp_path / "mine.toml").write_text(
        '[mine]\nbuilder = "plotting:net"\ninput_shape = [1, 2, 2]\nhead = "1"\ndescription = "one layer"\n'
    )
    caches_made = []
    for _ in range(2):
        request = {"what": "checkpoint", "files": {"w": os.devnull}, "out": str(tmp_path / "out")}
        with pytest.raises(RadiiError):
            converter.convert(request | {"architectures": str(tmp_path / "mine.toml")}, seconds=60, memory=16 * 2**30)
        caches_made.append({path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "cache").rglob("font*")})
    assert caches_made[0] and caches_made[0] == caches_made[1]


@pytest.mark.parametrize("name", library_caches.FOLDERS)
def test_processes_that_open_files_from_outside_get_the_caches_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADII_DATABASE_URL", "secret")
    monkeypatch.setenv(name, "/data/cache")
    found = launch.bare_environment()
    assert found[name] == "/data/cache" and "secret" not in found.values()
    monkeypatch.delenv(name)
    assert name not in launch.bare_environment()


@pytest.mark.skipif(shutil.which("g++") is None, reason="networks are compiled with g++")
def test_compiling_a_network_does_not_say_that_there_is_no_gpu() -> None:
    """Neither in a service, whose logs are configured, nor in a command."""
    code = (
        "import torch; from radii.rs_core.certify.inference_model import compiled\n"
        "compiled(torch.nn.Linear(4, 2), torch.zeros(3, 4), 1.0)"
    )
    variables = {**os.environ, "CUDA_HOME": "/usr", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert "CUDA" not in done.stderr


def test_what_the_operator_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/elsewhere")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    library_caches.keep_in(Settings(data=tmp_path))
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
