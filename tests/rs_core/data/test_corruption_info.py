"""What is known of corrupted images travels with the stored form, and sets without it stay as they were."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radii.rs_core.data.corruption_info import (
    COMMON,
    VALIDATION,
    Corrupted,
    CorruptionGroup,
    from_json,
    in_a_row,
    to_json,
)
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash, open_dataset, save
from radii.rs_core.data.dataset_header import read_stored
from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import load
from radii.rs_core.errors import InvalidDataset

MARKS = Corrupted(groups=in_a_row([("fog", 1), ("fog", 3), ("spatter", 3)], 2), constants="ImageNet-C", seed=5)
DATA = Dataset(
    images=np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2),
    labels=np.array([0, 1, 0, 1, 0, 1]),
    class_names=("a", "b"),
    name="set",
    source="test",
    corrupted=MARKS,
)


def sentence(body: object, count: int = 6) -> str:
    with pytest.raises(InvalidDataset) as caught:
        from_json(body, count, "set")
    return str(caught.value)


def changed(**fields: Any) -> dict[str, Any]:
    return to_json(MARKS) | fields


def test_there_are_fifteen_common_corruptions_and_four_for_validation() -> None:
    assert (len(COMMON), len(VALIDATION), len({*COMMON, *VALIDATION})) == (15, 4, 19)


def test_groups_of_equal_size_follow_each_other() -> None:
    assert MARKS.groups[1] == CorruptionGroup(corruption="fog", severity=3, start=2, stop=4)
    assert MARKS.starts == (0, 2, 4)
    assert MARKS.corruptions == ("fog", "spatter")


def test_the_stored_form_keeps_them(tmp_path: Path) -> None:
    save(DATA, tmp_path / "set.safetensors")
    assert open_dataset(tmp_path / "set.safetensors").corrupted == MARKS
    assert load(str(tmp_path / "set.safetensors")).corrupted == MARKS
    assert inspect([tmp_path / "set.safetensors"]).count == 6


def test_a_set_without_them_says_nothing_of_them(tmp_path: Path) -> None:
    save(replace(DATA, corrupted=None), tmp_path / "plain")
    assert read_stored(tmp_path / "plain").corrupted is None
    assert b"corrupted" not in (tmp_path / "plain").read_bytes()


def test_the_content_hash_is_that_of_the_images(tmp_path: Path) -> None:
    save(DATA, tmp_path / "set")
    assert content_hash(tmp_path / "set") == content_hash(replace(DATA, corrupted=None))


def test_the_record_goes_through_json_and_back() -> None:
    assert from_json(json.loads(json.dumps(to_json(MARKS))), 6, "set") == MARKS


@pytest.mark.parametrize("count", [5, 7])
def test_groups_hold_all_images(count: int) -> None:
    assert f"follow each other and hold all {count} images, got 0 to 2, 2 to 4, 4 to 6" in sentence(
        to_json(MARKS), count
    )


def test_groups_have_no_gap_and_are_in_order() -> None:
    groups = to_json(MARKS)["groups"]
    assert "follow each other" in sentence(changed(groups=[groups[0], groups[2]]))
    assert "follow each other" in sentence(changed(groups=[groups[1], groups[0], groups[2]]))


def test_a_corruption_and_severity_comes_once() -> None:
    twice = [group | {"corruption": "fog", "severity": 1} for group in to_json(MARKS)["groups"]]
    assert "one that comes twice" in sentence(changed(groups=twice))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"groups": []}, "groups"),
        ({"groups": [{"corruption": "rain", "severity": 1, "start": 0, "stop": 6}]}, "corruption"),
        ({"groups": [{"corruption": "fog", "severity": 6, "start": 0, "stop": 6}]}, "severity"),
        ({"constants": 3}, "constants"),
        ({"strange": 1}, "strange"),
    ],
)
def test_a_record_that_is_not_sound_is_refused_by_its_field(fields: dict[str, Any], said: str) -> None:
    assert said in sentence(changed(**fields))
    assert "The data set cannot be read (set)" in sentence([])
