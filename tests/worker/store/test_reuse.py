"""Content keys: equal for equal work, whatever it is called; other where a registered network is another."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rs_core.models import table
from rs_core.spec import CatRs, TrainSpec
from worker.store.reuse import content_key, network_of

SPEC = TrainSpec(dataset="a", architecture="lenet", sigma=0.5, epochs=3, method=CatRs(soft_labels="job"))
ROW = '[mine]\nbuilder = "{module}:net"\ninput_shape = [1, 8, 8]\nhead = "{head}"\ndescription = "{text}"\n'


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    table.use(None)


def _key(folder: Path, module: str = "unimported_nets", head: str = "2", text: str = "one layer") -> str:
    """The key of a training of the network that the folder's file registers."""
    (folder / "rows.toml").write_text(ROW.format(module=module, head=head, text=text))
    table.use(folder / "rows.toml")
    return content_key(replace(SPEC, architecture="mine"), {})


def test_names_and_what_changes_no_result_are_no_part_of_a_key_and_contents_are() -> None:
    same = replace(SPEC, dataset="b", loader_processes=3, method=CatRs(soft_labels="other"))
    assert content_key(same, {"dataset": "x"}) == content_key(SPEC, {"dataset": "x", "start_from": None})
    assert len({content_key(SPEC, {"dataset": "x"}), content_key(SPEC, {"dataset": "y"})}) == 2
    assert content_key(replace(SPEC, seed=1), {}) != content_key(SPEC, {})


def test_the_code_of_a_registered_network_is_part_of_the_key_and_is_not_imported(tmp_path: Path) -> None:
    code = tmp_path / "unimported_nets.py"
    code.write_text("raise AssertionError('imported')")
    first = _key(tmp_path)
    assert _key(tmp_path) == first
    code.write_text("raise AssertionError('imported, and another')")
    assert _key(tmp_path) != first
    assert "unimported_nets" not in sys.modules


def test_its_row_is_part_of_the_key_but_for_its_words_and_its_folder(tmp_path: Path) -> None:
    first = _key(tmp_path)
    assert _key(tmp_path, head="3") != first
    assert _key(tmp_path, module="other_nets") != first
    (tmp_path / "moved").mkdir()
    assert _key(tmp_path / "moved", text="a layer") == first


def test_the_code_is_found_in_packages_with_and_without_an_init_file(tmp_path: Path) -> None:
    for package in ("unimported_plain/inner", "unimported_whole/inner"):
        (tmp_path / package).mkdir(parents=True)
    for package in ("unimported_whole", "unimported_whole/inner"):
        (tmp_path / package / "__init__.py").write_text("raise AssertionError('imported')")
    for name in ("unimported_plain.inner.nets", "unimported_whole.inner.nets", "unimported_whole.inner"):
        path = tmp_path / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        before = _key(tmp_path, module=name)
        path.write_text("VERSION = 2")
        assert _key(tmp_path, module=name) != before, name


@pytest.mark.parametrize("module", ["nowhere_at_all", "unimported_nets.inner", "sys"])
def test_code_that_is_not_found_leaves_the_row(tmp_path: Path, module: str) -> None:
    (tmp_path / "unimported_nets.py").write_text("")
    assert _key(tmp_path, module=module) == _key(tmp_path, module=module) != _key(tmp_path, module="other")


@pytest.mark.parametrize("name", ["lenet", "torchvision/resnet18", "of nobody", None])
def test_every_other_architecture_is_its_name(name: str | None) -> None:
    assert network_of(name) is None
