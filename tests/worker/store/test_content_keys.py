"""Content keys: equal for equal work, whatever it is called; other where a registered network is another."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from radii.rs_core.models import registry
from radii.rs_core.specs.jobs import CatRs, TrainSpec
from radii.worker.store.content_keys import content_key

SPEC = TrainSpec(dataset="a", architecture="lenet", sigma=0.5, epochs=3, method=CatRs(soft_labels="job"))
ROW = '[mine]\nbuilder = "unimported_nets:net"\ninput_shape = [1, 8, 8]\ndescription = "one layer"\n'


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    registry.use(None)


def test_names_and_what_changes_no_result_are_no_part_of_a_key_and_contents_are() -> None:
    same = replace(SPEC, dataset="b", loader_processes=3, method=CatRs(soft_labels="other"))
    assert content_key(same, {"dataset": "x"}) == content_key(SPEC, {"dataset": "x", "start_from": None})
    assert len({content_key(SPEC, {"dataset": "x"}), content_key(SPEC, {"dataset": "y"})}) == 2
    assert content_key(replace(SPEC, seed=1), {}) != content_key(SPEC, {})


def test_a_registered_network_is_part_of_the_key(tmp_path: Path) -> None:
    code = tmp_path / "unimported_nets.py"
    code.write_text("VERSION = 1")
    (tmp_path / "rows.toml").write_text(ROW)
    registry.use(tmp_path / "rows.toml")
    first = content_key(replace(SPEC, architecture="mine"), {})
    assert content_key(replace(SPEC, architecture="mine"), {}) == first
    code.write_text("VERSION = 2")
    assert content_key(replace(SPEC, architecture="mine"), {}) != first
