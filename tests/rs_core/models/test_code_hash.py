"""A registered network is another where its row or its code is, and nothing of it is imported to tell."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from radii.rs_core.models import registry
from radii.rs_core.models.code_hash import network_of

ROW = '[mine]\nbuilder = "{module}:net"\ninput_shape = [1, 8, 8]\nhead = "{head}"\ndescription = "{text}"\n'


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    registry.use(None)


def _network(folder: Path, module: str = "unimported_nets", head: str = "2", text: str = "one layer") -> str | None:
    """The network that the folder's file registers, as a word."""
    (folder / "rows.toml").write_text(ROW.format(module=module, head=head, text=text))
    registry.use(folder / "rows.toml")
    return network_of("mine")


def test_the_code_of_a_registered_network_counts_and_is_not_imported(tmp_path: Path) -> None:
    code = tmp_path / "unimported_nets.py"
    code.write_text("raise AssertionError('imported')")
    first = _network(tmp_path)
    assert _network(tmp_path) == first
    code.write_text("raise AssertionError('imported, and another')")
    assert _network(tmp_path) != first
    assert "unimported_nets" not in sys.modules


def test_its_row_counts_but_for_its_words_and_its_folder(tmp_path: Path) -> None:
    first = _network(tmp_path)
    assert _network(tmp_path, head="3") != first
    assert _network(tmp_path, module="other_nets") != first
    (tmp_path / "moved").mkdir()
    assert _network(tmp_path / "moved", text="a layer") == first


def test_the_code_is_found_in_packages_with_and_without_an_init_file(tmp_path: Path) -> None:
    for package in ("unimported_plain/inner", "unimported_whole/inner"):
        (tmp_path / package).mkdir(parents=True)
    for package in ("unimported_whole", "unimported_whole/inner"):
        (tmp_path / package / "__init__.py").write_text("raise AssertionError('imported')")
    for name in ("unimported_plain.inner.nets", "unimported_whole.inner.nets", "unimported_whole.inner"):
        path = tmp_path / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        before = _network(tmp_path, module=name)
        path.write_text("VERSION = 2")
        assert _network(tmp_path, module=name) != before, name


@pytest.mark.parametrize("module", ["nowhere_at_all", "unimported_nets.inner", "sys"])
def test_code_that_is_not_found_leaves_the_row(tmp_path: Path, module: str) -> None:
    (tmp_path / "unimported_nets.py").write_text("")
    assert _network(tmp_path, module=module) == _network(tmp_path, module=module) != _network(tmp_path, module="other")


@pytest.mark.parametrize("name", ["lenet", "torchvision/resnet18", "of nobody", None])
def test_every_other_architecture_is_its_name(name: str | None) -> None:
    assert network_of(name) is None
