"""The wheel holds what it promises, and every test has a time limit."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_package_promises_its_types() -> None:
    assert all((ROOT / name / "py.typed").exists() for name in ("rs_core", "worker", "service", "migrations"))
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    assert "py.typed" in packages


def test_every_test_has_a_time_limit(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("timeout")) == 300
    assert request.config.pluginmanager.hasplugin("timeout")


@pytest.mark.slow
def test_the_wheel_holds_types_pages_and_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    assert names >= {"rs_core/py.typed", "worker/py.typed", "service/py.typed", "service/web/job.html"}
    assert any(name.startswith("migrations/versions/0001") for name in names)
