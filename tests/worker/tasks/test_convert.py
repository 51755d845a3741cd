"""What a conversion finds in the labels: photographs that are shown several times, as declared or as likely."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests_support import things

from radii.rs_core.data.dataset_file import write
from radii.rs_core.errors import InvalidDataset
from radii.worker.tasks import convert
from radii.worker.tasks.convert import with_photographs

LABELS = np.tile(np.random.default_rng(0).integers(0, 3, 40), 5)
SKIPPED: dict[str, Any] = {"skipped": {"count": 1, "names": [".DS_Store"]}}
CORRUPTED: dict[str, Any] = {"corrupted": {"groups": [{}, {}]}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    _write(path, LABELS)
    return path


def _write(path: Path, labels: Any) -> None:
    pixels = [bytes(len(labels))]
    write(path, shape=(1, 1, 1), dtype="uint8", labels=labels, class_names=("a", "b", "c"), source="npz", pixels=pixels)


def test_labels_that_repeat_are_noted(file: Path) -> None:
    assert with_photographs({"columns": {}}, file, None)["source"] == {"label_period": 40}
    found = with_photographs({"columns": {}, "source": SKIPPED}, file, None)
    assert found["source"] == SKIPPED | {"label_period": 40}


def test_other_labels_leave_the_answer_as_it_is(tmp_path: Path) -> None:
    _write(tmp_path / "out", np.random.default_rng(1).integers(0, 3, 200))
    assert with_photographs({"columns": {}}, tmp_path / "out", None) == {"columns": {}}


def test_a_declared_number_is_checked_and_ends_the_doubt(file: Path) -> None:
    assert with_photographs({"columns": {}}, file, 40) == {"columns": {}}
    with pytest.raises(InvalidDataset, match="labels that come again every 39 images"):
        with_photographs({"columns": {}}, file, 39)


def test_files_that_say_it_themselves_are_believed(file: Path) -> None:
    answer = {"columns": {}, "source": CORRUPTED}
    assert with_photographs(answer, file, None) == answer
    with pytest.raises(InvalidDataset, match=r"the files say which images are corrupted \(2 groups\), got 40"):
        with_photographs(answer, file, 40)


def test_an_answer_that_breaks_the_rules_of_the_readers_ends_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile file may have written it."""
    columns = {"class_names": ["\u202e\x07", "b"], "num_classes": 2, "count": 4}
    monkeypatch.setattr(convert.converter, "steps", lambda *_, **__: iter([0, {"columns": columns}]))
    limits = {"max_dataset": 1, "convert": 1.0, "convert_memory": 1, "sandbox_uid": 1}
    task = SimpleNamespace(spec=things.spec("convert", dataset="d"), class_names=None, blobs=tmp_path, limits=limits)
    with pytest.raises(InvalidDataset, match="printable characters"):
        list(convert.run(cast(Any, task)))
