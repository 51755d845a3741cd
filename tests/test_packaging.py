"""The wheel holds what it promises, and every test has a time limit."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "radii"


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


def test_the_wheel_holds_every_module_and_nothing_outside_the_package(wheel: Path) -> None:
    names = {name for name in _names(wheel) if ".dist-info/" not in name}
    modules = {f"radii/{path.relative_to(PACKAGE)}" for path in _files() if path.suffix == ".py"}
    assert modules == {name for name in names if name.endswith(".py")}
    assert {name.split("/")[0] for name in names} == {"radii"}


def test_the_wheel_holds_types_pages_migrations_and_data(wheel: Path) -> None:
    assert _names(wheel) >= {
        "radii/py.typed",
        "radii/migrations/script.py.mako",
        "radii/rs_core/data/digits.bin",
        "radii/service/views/templates/job.html",
        "radii/service/views/templates/radii.css",
    }


def test_every_file_of_others_has_its_license_and_origin_in_the_wheel(wheel: Path) -> None:
    third_party = "radii/rs_core/evaluate/third_party/autoattack/"
    assert {third_party + "LICENSE", third_party + "README.md"} <= _names(wheel)
    for named in re.findall(r"`(radii/[^`]+)`", (ROOT / "THIRD_PARTY_NOTICES.md").read_text()):
        assert any(name.startswith(named) for name in _names(wheel)), named
        assert (ROOT / named).exists()


def test_the_notices_name_places_that_a_wheel_has_too() -> None:
    assert "`rs_core/" not in (ROOT / "THIRD_PARTY_NOTICES.md").read_text()


def _names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def _files() -> Iterator[Path]:
    """The files below ``radii``, through the links of a checkout."""
    for folder in (PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_symlink())):
        yield from (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
