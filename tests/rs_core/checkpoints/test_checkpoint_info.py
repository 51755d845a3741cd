"""What a checkpoint says of itself, and whether a data set fits it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, ConversionHints, check_fits, make_info
from radii.rs_core.data.dataset_info import DatasetInfo
from radii.rs_core.data.load import load
from radii.rs_core.errors import InvalidCheckpoint, Mismatch
from radii.rs_core.specs.fields import NORMALIZATIONS

NAMES = tuple("0123456789")
INFO = CheckpointInfo(architecture="digits_cnn", num_classes=10, input_shape=(1, 8, 8), class_names=NAMES)


def data(**changes: Any) -> DatasetInfo:
    fields = {
        "format": "npz",
        "count": 5,
        "shape": (1, 8, 8),
        "num_classes": 10,
        "class_names": NAMES,
        "dtype": "uint8",
    }
    return DatasetInfo(**(fields | changes))  # type: ignore[arg-type]


def test_a_model_and_its_data_set_fit() -> None:
    check_fits(INFO, data())
    check_fits(INFO, load("digits"))
    check_fits(INFO, data(class_names=tuple("abcdefghij")))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"shape": (3, 32, 32)},
            "expected images of shape (1, 8, 8) and 10 classes, as the model takes them, "
            "got images of shape (3, 32, 32) and 10 classes in the data set.",
        ),
        (
            {"num_classes": 7, "class_names": NAMES[:7]},
            "expected images of shape (1, 8, 8) and 10 classes, as the model takes them, "
            "got images of shape (1, 8, 8) and 7 classes in the data set.",
        ),
        (
            {"class_names": (*NAMES[:8], "9", "8")},
            "expected classes in the model's order, '8' at 8, got '9' there in the data set.",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_both_sides(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Mismatch) as caught:
        check_fits(INFO, data(**changes))
    assert str(caught.value) == "The model and the data set do not fit together: " + sentence


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"num_classes": 1}, "expected at least 2 classes, got 1."),
        ({"num_classes": 10**12}, "less than or equal to 100000, got num_classes = 1000000000000."),
        ({"input_shape": (1, 0, 8)}, "greater than or equal to 1, got input_shape.1 = 0."),
        ({"sigma": -1}, "expected sigma: a value greater than 0, got sigma = -1."),
        ({"where": 3}, "expected where: no field of this name, got where = 3."),
        ({"colour": 3}, "expected colour: no field of this name, got colour = 3."),
        ({"class_names": ["a"]}, "expected 10 class names, got 1."),
        ({"normalization": NORMALIZATIONS["cifar10"]}, "expected a normalisation of 1 channels, got one of 3."),
    ],
)
def test_a_record_that_is_not_sound_is_refused(fields: dict[str, Any], expected: str) -> None:
    good = {"architecture": "digits_cnn", "num_classes": 10, "input_shape": (1, 8, 8)}
    with pytest.raises(InvalidCheckpoint) as caught:
        make_info("x", good | fields)
    assert expected in str(caught.value)


def test_hints_take_a_normalisation_by_name_and_no_unknown_field() -> None:
    assert ConversionHints(normalization="none").normalization == "none"
    with pytest.raises(ValidationError):
        ConversionHints(colour=3)  # type: ignore[call-arg]


def test_a_record_is_read_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, radii.rs_core.checkpoints.checkpoint_info; assert not {'torch', 'safetensors'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"provenance": {"origin": "a\ud800"}},
        {"provenance": {"a\0": 1}},
        {"provenance": {"a": [{"b": "\udfff"}]}},
        {"method": "a\0b"},
        {"class_names": ("a\0", *NAMES[1:])},
    ],
)
def test_text_that_no_database_stores_is_refused(changes: dict[str, Any]) -> None:
    fields = {"architecture": "digits_cnn", "num_classes": 10, "input_shape": (1, 8, 8)} | changes
    with pytest.raises(InvalidCheckpoint, match="expected text without NUL characters and lone surrogates, got a "):
        make_info("model.safetensors", fields)


def test_provenance_and_class_names_are_bounded() -> None:
    fields = {"architecture": "digits_cnn", "num_classes": 10_000, "input_shape": (1, 8, 8)}
    with pytest.raises(InvalidCheckpoint, match="a provenance of at most 65,536 bytes"):
        make_info("m", fields | {"provenance": {"log": "x" * 2**16}})
    with pytest.raises(InvalidCheckpoint, match="class names of at most 524,288 characters together"):
        make_info("m", fields | {"class_names": ("x" * 200,) * 10_000})
