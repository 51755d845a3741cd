"""The wheel holds what it promises, and every test has a time limit."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_package_promises_its_types() -> None:
    assert (ROOT / "radii" / "py.typed").exists()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    assert "py.typed" in packages


@pytest.mark.parametrize("folder", ["rs_core", "worker", "service", "migrations"])
def test_no_module_can_be_imported_under_two_names(folder: str) -> None:
    """In a checkout the four folders are at the top, and below ``radii`` by links, so that Python finds them by both names. An
    sdist has them below ``radii`` alone."""
    refused = f"ImportError: import radii.{folder}: the folder {folder} is a part of the package radii"
    expected = refused if (ROOT / folder).is_dir() else f"ModuleNotFoundError: No module named '{folder}'"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import radii.{folder}; import {folder}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert expected in done.stderr


def test_every_test_has_a_time_limit(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("timeout")) == 300
    assert request.config.pluginmanager.hasplugin("timeout")


@pytest.mark.slow
def test_the_wheel_holds_types_pages_and_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    assert names >= {"radii/py.typed", "radii/service/views/templates/job.html", "radii/migrations/script.py.mako"}
    assert any(name.startswith("radii/migrations/versions/0001") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"radii"}
