"""A copy of the source on ``PYTHONPATH`` runs without being installed, and calls its version unknown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import radii
from radii.version import installed_version

SOURCE = Path(radii.__file__).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package next to what it needs, by links, without the metadata of its installation."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in (Path(entry) for entry in sys.path if entry.endswith("-packages")):
        for entry in folder.iterdir():
            if not entry.name.startswith("radii") and not (tree / entry.name).exists():
                (tree / entry.name).symlink_to(entry)
    (tree / "radii").symlink_to(SOURCE)
    return tree


def run(tree: Path, *arguments: str) -> str:
    """An interpreter that sees no other ``site-packages``."""
    variables = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-S", "-P", *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "expression",
    [
        "radii.__version__",
        "importlib.import_module('radii.service.views.certification_report').VERSION",
        "importlib.import_module('radii.worker.tasks.environment').provenance(torch.device('cpu'))['versions']['radii']",
    ],
    ids=["package", "report", "provenance"],
)
def test_the_version_of_a_tree_that_is_not_installed_is_unknown(tree: Path, expression: str) -> None:
    assert run(tree, "-c", f"import importlib, torch, radii; print({expression})") == "unknown"


def test_the_command_line_of_such_a_tree_shows_its_version(tree: Path) -> None:
    assert run(tree, "-m", "radii", "--version") == "radii unknown"


def test_extras_of_such_a_tree_are_installed_from_its_folder(tree: Path) -> None:
    code = "from radii.extras import how_to_install; print(how_to_install('torch'))"
    assert run(tree, "-c", code) == f"pip install '{tree}[torch]'"


def test_an_installed_tree_has_the_version_of_its_metadata() -> None:
    assert radii.__version__ == installed_version() != "unknown"
