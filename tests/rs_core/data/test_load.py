"""Data sets from references, and the images that come out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import save
from radii.rs_core.data.load import load, read
from radii.rs_core.errors import InvalidDataset

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 1, 0])


def npz(path: Path, images: NDArray[Any] = PIXELS) -> Path:
    np.savez(path, images=images, labels=LABELS)
    return path


def test_an_image_is_float32_in_zero_to_one(tmp_path: Path) -> None:
    dataset = read([npz(tmp_path / "a.npz")])
    image = dataset.image(3)
    assert (image.dtype, image.shape) == (torch.float32, (3, 4, 6))
    assert torch.equal(image, torch.from_numpy(PIXELS[3].astype(np.float32) / np.float32(255)))


def test_float_images_pass_unchanged_and_apart_from_the_data_set(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((5, 4, 6), dtype=np.float32)
    dataset = read([npz(tmp_path / "a.npz", pixels)])
    image = dataset.image(2)
    assert np.array_equal(image[0].numpy(), pixels[2])
    image.zero_()
    assert np.array_equal(dataset.image(2)[0].numpy(), pixels[2])


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_batch_follows_its_indices(tmp_path: Path, kind: Any) -> None:
    dataset = read([npz(tmp_path / "a.npz")])
    images, labels = dataset.batch(kind([4, 1, 1]))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert torch.equal(images, torch.stack([dataset.image(4), dataset.image(1), dataset.image(1)]))
    assert labels.tolist() == [0, 1, 1]


def test_a_data_set_knows_its_size_and_its_source(tmp_path: Path) -> None:
    dataset = read([npz(tmp_path / "a.npz")], class_names=("x", "y", "z", "unused"))
    assert (len(dataset), dataset.shape, dataset.num_classes) == (5, (3, 4, 6), 4)
    assert (dataset.name, dataset.source) == ("a", "npz")
    assert read([tmp_path / "a.npz"], name="mine").name == "mine"


def test_one_label_is_enough_where_the_classes_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS * 0)
    assert read([tmp_path / "a.npz"], class_names=("x", "y")).num_classes == 2
    with pytest.raises(InvalidDataset, match=r"expected at least two classes, .*, got one class, 'x'\."):
        read([tmp_path / "a.npz"], class_names=("x",))


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"expected a format out of npz, .*, safetensors, got 'arff'\."):
        read([npz(tmp_path / "a.npz")], format="arff")


def test_references_name_what_is_built_in_or_in_files(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz")
    save(read([path]), tmp_path / "stored.safetensors")
    (tmp_path / "1.bin").write_bytes(bytes(3073))
    (tmp_path / "2.bin").write_bytes(b"\x01" + bytes(3072))
    assert load("digits").shape == load(["digits"]).shape == (1, 8, 8)
    assert np.array_equal(load(str(path)).images, PIXELS)
    assert np.array_equal(load(str(tmp_path / "stored.safetensors")).images, PIXELS)
    for reference in (f"{tmp_path}/2.bin, {tmp_path}/1.bin", [f"{tmp_path}/2.bin", f"{tmp_path}/1.bin"]):
        assert load(reference).labels.tolist() == [1, 0]


def test_a_file_whose_name_holds_a_comma_is_one_file(tmp_path: Path) -> None:
    assert len(load(str(npz(tmp_path / "a,b.npz")))) == 5


def test_a_reference_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"expected a file, got nothing there\."):
        load(str(tmp_path / "no.npz"))


def test_digits_are_the_grey_values_over_sixteen() -> None:
    dataset = load("digits")
    assert (len(dataset), dataset.num_classes, str(dataset.images.dtype)) == (1797, 10, "float32")
    assert set(np.unique(dataset.images * 16)) == set(range(17))
    assert np.bincount(dataset.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_data_set_is_not_changed_by_mistake() -> None:
    with pytest.raises(AttributeError):
        load("digits").name = "other"  # type: ignore[misc]
    assert isinstance(load("digits"), Dataset)
