"""A data set of corrupted images in the stored form: labels, groups, equal bytes each time, within its limits."""

from pathlib import Path

import numpy as np
import pytest

from radii.rs_core.data.builtin import digits
from radii.rs_core.data.corruptions.convert import write_corrupted
from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.data.corruptions.transforms import corrupt_image
from radii.rs_core.data.dataset_file import content_hash, open_dataset
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.specs.fields import Selection

SPEC = CorruptSpec(
    dataset="digits",
    corruptions=("gaussian_noise", "fog"),
    severities=(1, 5),
    inputs=Selection(start=10, step=100, count=3),
    seed=2,
)


def test_every_group_holds_the_chosen_images_in_order(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    made = write_corrupted(digits(), SPEC, tmp_path / "set", told=lambda done, total: heard.append((done, total)))
    found = open_dataset(tmp_path / "set")
    assert (made.count, found.images.shape, found.images.dtype) == (12, (12, 1, 8, 8), np.uint8)
    assert found.labels.tolist() == [*digits().labels[[10, 110, 210]]] * 4
    assert found.corrupted == made.corrupted is not None
    assert [(group.corruption, group.severity, group.start) for group in found.corrupted.groups] == [
        ("gaussian_noise", 1, 0),
        ("gaussian_noise", 5, 3),
        ("fog", 1, 6),
        ("fog", 5, 9),
    ]
    clean = np.rint(digits().images[110] * 255).astype(np.uint8)
    assert np.array_equal(found.images[10], corrupt_image(clean, "fog", 5, seed=2, index=110))
    assert heard == [(done, 12) for done in range(1, 13)]


def test_the_hashes_are_those_of_what_was_read_and_written(tmp_path: Path) -> None:
    made = write_corrupted(digits(), SPEC, tmp_path / "set")
    assert made.content_hash == content_hash(tmp_path / "set")
    assert made.corrupted is not None and made.corrupted.clean_hash == content_hash(digits())


def test_the_same_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_corrupted(digits(), SPEC, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_more_than_the_limit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"got 12 images of shape \(1, 8, 8\)"):
        write_corrupted(digits(), SPEC, tmp_path / "set", limit=12 * 64 - 1)
    assert not (tmp_path / "set").exists()
