"""The same wrong data is refused with the same kind of sentence, whatever reads it.

The table at the end of the imports lists every reader; one that is not in it fails a test.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier
from radii.rs_core.data import dataset_file, image_uploads
from radii.rs_core.data.builtin import BUILTIN
from radii.rs_core.data.convert import convert
from radii.rs_core.data.corruptions.convert import write_corrupted
from radii.rs_core.data.corruptions.spec import parse
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import on_8_bit_grid, open_dataset
from radii.rs_core.data.dataset_header import header
from radii.rs_core.data.image_checks import check_images
from radii.rs_core.data.inspect import FORMATS
from radii.rs_core.data.load import READERS, load, read
from radii.rs_core.errors import InvalidDataset, InvalidImages, RadiiError
from radii.rs_core.training.snapshots import _data_fingerprint

GOOD = np.random.default_rng(0).random((4, 1, 4, 4)).astype(np.float32)
LABELS = np.array([0, 1, 1, 0])


def changed(value: float) -> NDArray[np.float32]:
    pixels = GOOD.copy()
    pixels[2, 0, 3, 1] = value
    return pixels


BAD_PIXELS = {
    "nan": (changed(float("nan")), "NaN"),
    "inf": (changed(float("inf")), "infinite"),
    "minus inf": (changed(float("-inf")), "infinite"),
    "minus 5": (GOOD - 5, "not normalized"),
    "normalized": ((GOOD - 0.47) / 0.25, "not normalized"),
    "0 to 255": (np.round(GOOD * 255), "divide them by 255"),
    "times 1000": (GOOD * 1000, "floats from"),
    "one pixel a little above 1": (changed(float(np.nextafter(np.float32(1), np.float32(2)))), "to 1.00000012"),
    "one pixel a little below 0": (changed(-1e-45), "floats from -"),
}
GOOD_PIXELS = {
    "plain": GOOD,
    "both ends": np.stack([np.zeros((1, 4, 4)), np.ones((1, 4, 4))] * 2).astype(np.float32),
    "subnormal": changed(1e-45),
    "minus zero": changed(-0.0),
}
BAD_LABELS = {
    "-1": np.array([0, 1, -1, 0]),
    "out of range": np.array([0, 1, 2, 0]),
    "floats": np.array([0, 0.5, 1, 0]),
    "too few": np.array([0, 1, 1]),
    "none": np.zeros(0, dtype=np.int64),
}


def npz(images: NDArray[Any], labels: NDArray[Any], folder: Path) -> Path:
    path = folder / "set.npz"
    np.savez(path, images=images, labels=labels, class_names=np.array(["a", "b"]))
    return path


def stored(images: NDArray[Any], labels: NDArray[Any], folder: Path) -> Path:
    """A stored dataset as anybody can write it, without our checks."""
    path = folder / "set.safetensors"
    start = header(len(labels), images.shape[1:], "float32", ("a", "b"), "npz")
    path.write_bytes(start + labels.astype("<i8").tobytes() + images.astype("<f4").tobytes())
    return path


def read_npz(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    return read([npz(images, labels, folder)])


def read_stored(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    return read([stored(images, labels, folder)])


def converted(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    return convert([stored(images, labels, folder)], folder / "out")


def command_line(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    return load(str(stored(images, labels, folder)))


def used_by_a_job(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    """As the worker maps a blob, and takes from it what certifies, trains or attacks."""
    data = open_dataset(stored(images, labels, folder))
    return data.image(2), data.batch([0, 1, 2, 3])


def one_image_of_a_job(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    return open_dataset(stored(images, labels, folder)).image(2)


def corrupted(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    data = open_dataset(stored(images, labels, folder))
    spec = parse({"dataset": "ds_x", "corruptions": ["brightness"], "severities": [1]})
    return write_corrupted(data, spec, folder / "out")


def compared_with_a_snapshot(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    return _data_fingerprint(open_dataset(stored(images, labels, folder)))


def written(images: NDArray[Any], folder: Path, labels: NDArray[Any] = LABELS) -> Any:
    dataset_file.write(
        folder / "out",
        shape=images.shape[1:],
        dtype="float32",
        labels=labels,
        class_names=("a", "b"),
        source="test",
        pixels=[images.astype("<f4").tobytes()],
    )


def looked_at_for_its_grid(images: NDArray[Any], folder: Path) -> Any:
    return on_8_bit_grid(stored(images, LABELS, folder))


def archive_of_a_request(images: NDArray[Any], folder: Path) -> Any:
    np.savez(folder / "body.npz", images=images)
    return image_uploads.read(folder / "body.npz", shape=images.shape[1:], most=10)


def json_of_a_request(images: NDArray[Any], folder: Path) -> Any:
    body = json.dumps(images.astype(float).tolist()).encode()
    (folder / "body.json").write_bytes(body)
    return image_uploads.read(folder / "body.json", shape=images.shape[1:], most=10)


def numpy_into_the_library(images: NDArray[Any], folder: Path) -> Any:
    return smoothed().certify(images, 10, 10)


def torch_into_the_library(images: NDArray[Any], folder: Path) -> Any:
    return smoothed().predict(torch.from_numpy(images), 10)


def smoothed() -> SmoothedClassifier:
    return SmoothedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), 0.25, 2)


Reader = Callable[..., Any]
FLOATS: list[Reader] = [
    read_npz,
    read_stored,
    converted,
    command_line,
    used_by_a_job,
    one_image_of_a_job,
    corrupted,
    compared_with_a_snapshot,
    written,
    looked_at_for_its_grid,
    archive_of_a_request,
    json_of_a_request,
    numpy_into_the_library,
    torch_into_the_library,
]
"""Every way in on which pixels may be floats."""
ONE_AT_A_TIME: list[Reader] = [one_image_of_a_job, corrupted, compared_with_a_snapshot]
"""Ways that look at one image, whose range may be another than that of all of them."""
LABELLED: list[Reader] = [read_npz, read_stored, converted, command_line]
EIGHT_BIT_ALONE = {"idx", "cifar10", "cifar100", "cifar_tar", "cifar10c", "folders"}
"""Formats whose pixels are bytes by their definition: no value is wrong, and ``check_images`` sees their type."""


@pytest.mark.parametrize("way", FLOATS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("fault", BAD_PIXELS)
def test_bad_pixels_are_refused_by_every_reader(way: Reader, fault: str, tmp_path: Path) -> None:
    images, hint = BAD_PIXELS[fault]
    with pytest.raises(RadiiError) as caught:
        way(images.astype(np.float32), tmp_path)
    assert caught.value.status == 422
    assert re.search(r"\[0, 1\]|nested lists", caught.value.expected)
    if way is not json_of_a_request or np.isfinite(images).all():  # JSON has no NaN
        assert hint in caught.value.got or way in ONE_AT_A_TIME


@pytest.mark.parametrize("way", FLOATS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("pixels", GOOD_PIXELS)
def test_good_pixels_are_accepted_by_every_reader(way: Reader, pixels: str, tmp_path: Path) -> None:
    way(GOOD_PIXELS[pixels], tmp_path)


@pytest.mark.parametrize("way", LABELLED, ids=lambda way: way.__name__)
@pytest.mark.parametrize("fault", BAD_LABELS)
def test_bad_labels_are_refused_by_every_reader(way: Reader, fault: str, tmp_path: Path) -> None:
    if fault == "floats" and way is not read_npz:
        pytest.skip("the stored form has integers alone")
    with pytest.raises(InvalidDataset):
        way(GOOD, tmp_path, BAD_LABELS[fault])


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 1, 0, 4), (0, 1, 4, 4), (4, 4), (1, 4, 1, 4, 4)])
def test_arrays_that_are_no_images_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.zeros(shape, dtype=np.float32)
    for error in (InvalidDataset, InvalidImages):
        with pytest.raises(error, match=r"images of shape \(N, C, H, W\)"):
            check_images(images, None, error)
    with pytest.raises(InvalidDataset, match=r"\(N, C, H, W\)"):
        Dataset(images=images, labels=LABELS, class_names=("a", "b"), name="set")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int8", "bool", "complex64", "U1"])
def test_pixels_of_another_type_are_refused(dtype: str) -> None:
    with pytest.raises(InvalidDataset, match="as uint8, or as float32"):
        check_images(np.zeros((1, 1, 2, 2), dtype=dtype), "set")


def test_a_dataset_made_in_memory_needs_labels_of_its_classes() -> None:
    for labels in (np.array([0, 1, 2, 0]), np.array([0, 1, -2, 0]), np.array([0.0, 1, 1, 0]), np.array([0, 1, 1])):
        with pytest.raises(InvalidDataset, match="labels"):
            Dataset(images=GOOD, labels=labels, class_names=("a", "b"), name="set")


def test_what_is_on_the_grid_is_found_whatever_the_chunks() -> None:
    grid = np.arange(256, dtype=np.float32).reshape(16, 1, 4, 4) / np.float32(255)
    assert check_images(grid, None) and check_images((grid * 255).astype(np.uint8), None)
    assert not check_images(GOOD, None)


def test_every_format_is_in_the_tables_above() -> None:
    """A new reader must be added to the tables, and so to all of these tests."""
    assert set(READERS) | {"safetensors"} == set(FORMATS) == EIGHT_BIT_ALONE | {"npz", "safetensors"}
    assert set(BUILTIN) == {"digits"} and check_images(BUILTIN["digits"]().images, "digits") is False


def test_only_known_modules_make_datasets() -> None:
    """Each of these passes its arrays to the checks; another one would be a reader that nobody has looked at."""
    root = Path(dataset_file.__file__).parents[2]
    made = {
        str(path.relative_to(root))
        for folder in ("rs_core", "service", "worker")
        for path in (root / folder).rglob("*.py")
        if re.search(r"(?<![\w.])Dataset\((?=\s*(images=|$))", path.read_text(), re.MULTILINE)
    }
    assert made == {"rs_core/data/load.py", "rs_core/data/dataset_file.py", "rs_core/data/builtin.py"}


def test_single_images_are_taken_with_their_check_everywhere() -> None:
    """``Dataset.stored_pixels`` checks them; rows of ``images`` do not."""
    root = Path(dataset_file.__file__).parents[2]
    taken = {
        str(path.relative_to(root))
        for folder in ("rs_core", "service", "worker")
        for path in (root / folder).rglob("*.py")
        if re.search(r"take\(\w+\.images|\.images\[(?!0\]\[)", path.read_text())
    }
    assert taken == {"rs_core/data/dataset.py"}


def test_a_zip_of_floating_point_images_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    picture = io.BytesIO()
    Image.fromarray(GOOD[0, 0], mode="F").save(picture, "TIFF")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("a/1.png", "b/1.png"):
            archive.writestr(name, picture.getvalue())
    with pytest.raises(InvalidDataset, match="PNG or JPEG"):
        read([tmp_path / "set.zip"])
