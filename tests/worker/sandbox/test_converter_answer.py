"""What a converter answers is believed as far as it is what a converter answers."""

import json
from typing import Any

import pytest

from radii.rs_core.errors import InvalidDataset, RadiiError
from radii.worker.sandbox import converter_answer

DATASET: dict[str, Any] = {
    "content_hash": "0" * 64,
    "count": 4,
    "shape": [1, 8, 8],
    "num_classes": 2,
    "class_names": ["a", "b"],
    "eight_bit": True,
}
CHECKPOINT: dict[str, Any] = {
    "architecture": "lenet",
    "num_classes": None,
    "input_shape": [1, 28, 28],
    "sigma": 0.5,
    "method": None,
    "info": {},
}


def _read(answer: Any, what: str = "dataset") -> dict[str, Any]:
    return converter_answer.read(json.dumps(answer).encode(), what, "out")


def test_what_was_made_comes_back_as_it_was_said() -> None:
    assert _read({"columns": DATASET}) == {"columns": DATASET}
    assert _read({"columns": CHECKPOINT}, "checkpoint") == {"columns": CHECKPOINT}
    for source in ({"corrupted": {"groups": []}}, {"skipped": {"count": 7, "names": [".DS_Store", "a/Thumbs.db"]}}):
        assert _read({"columns": DATASET, "source": source}) == {"columns": DATASET, "source": source}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"columns": {}},
        {"columns": DATASET | {"tenant_id": "somebody"}},
        {"columns": DATASET | {"sha256": "1" * 64}},
        {"columns": DATASET | {"state": "ready"}},
        {"columns": DATASET | {"count": "many"}},
        {"columns": DATASET | {"shape": [1, 8]}},
        {"columns": CHECKPOINT},
        {"columns": DATASET, "sealed": {"sha256": "1" * 64, "size": 1, "path": "/etc/passwd"}},
        {"columns": DATASET, "source": {"corrupted": {}, "files": []}},
        {"columns": DATASET, "source": {"skipped": {"count": 7, "names": ["x" * 101]}}},
        {"columns": DATASET, "source": {"skipped": {"count": 7, "names": ["x"] * 6}}},
        {"problem": 5},
        {"problem": {"type": []}},
        {"disk_full": "yes"},
    ],
)
def test_another_answer_is_refused(answer: Any) -> None:
    """A column of the row that is no result of a conversion, and a file of its own choice, above all."""
    with pytest.raises(ValueError) as raised:
        _read(answer)
    assert not isinstance(raised.value, InvalidDataset)


INFO = {"architecture": "lenet", "num_classes": 10, "input_shape": [1, 28, 28]}
GROUP = {"corruption": "fog", "severity": 1, "start": 0, "stop": 4}


def test_the_values_of_an_answer_follow_the_rules_of_the_readers() -> None:
    converter_answer.check({"columns": DATASET})
    converter_answer.check({"columns": CHECKPOINT | {"info": INFO}})


@pytest.mark.parametrize(
    ("made", "error"),
    [
        ({"columns": DATASET | {"class_names": ["\u202e\x07", "b"]}}, "printable characters"),
        ({"columns": DATASET | {"class_names": ["a" * 201, "b"]}}, "printable characters"),
        ({"columns": DATASET | {"class_names": ["a" * 200] * 3000, "num_classes": 3000}}, "characters together"),
        ({"columns": DATASET | {"class_names": ["a", "b", "c"]}}, "a name for each of 2 classes"),
        ({"columns": DATASET, "source": {"corrupted": {"groups": [GROUP]}}}, "expected"),
        ({"columns": DATASET, "source": {"corrupted": {"anything": "x" * 1000}}}, "expected"),
        ({"columns": CHECKPOINT | {"info": {"anything": 1}}}, "expected"),
        ({"columns": CHECKPOINT | {"info": INFO | {"provenance": {"x": "y" * 2**17}}}}, "expected"),
    ],
)
def test_values_that_break_the_rules_of_the_readers_are_refused(made: dict[str, Any], error: str) -> None:
    with pytest.raises(RadiiError, match=error):
        converter_answer.check(made)


def test_an_error_of_the_converter_and_a_full_disk_are_raised() -> None:
    with pytest.raises(InvalidDataset, match="expected a, got b"):
        _read({"problem": InvalidDataset(expected="a", got="b").problem()})
    with pytest.raises(OSError, match="No space left"):
        _read({"disk_full": 28})
