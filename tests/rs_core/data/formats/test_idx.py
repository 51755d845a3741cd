"""The idx pair of MNIST: order, compression, and every refusal with its sentence."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import read
from radii.rs_core.errors import InvalidDataset

PIXELS = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
IMAGES = struct.pack(">IIII", 0x803, 3, 4, 5) + PIXELS.tobytes()
LABELS = struct.pack(">II", 0x801, 3) + bytes([1, 0, 2])


def pair(folder: Path, images: bytes = IMAGES, labels: bytes = LABELS) -> list[Path]:
    (folder / "images-idx3-ubyte").write_bytes(images)
    (folder / "labels-idx1-ubyte").write_bytes(labels)
    return [folder / "images-idx3-ubyte", folder / "labels-idx1-ubyte"]


def sentence(paths: list[Path]) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read(paths)
    return str(caught.value).removeprefix("The data set cannot be read ")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_the_two_files_are_told_apart_by_content(tmp_path: Path, packed: bool, order: int) -> None:
    change = gzip.compress if packed else bytes
    paths = pair(tmp_path, change(IMAGES), change(LABELS))[::order]
    dataset = read(paths)
    assert np.array_equal(dataset.images[:, 0], PIXELS)
    assert dataset.labels.tolist() == [1, 0, 2]
    info = inspect(paths)
    assert (info.format, info.count, info.shape, info.num_classes, info.dtype) == ("idx", 3, (1, 4, 5), 3, "uint8")
    assert info.class_names == dataset.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (
            IMAGES[:-1],
            LABELS,
            "(images-idx3-ubyte): expected 60 bytes after the header, for 3 x 4 x 5, got 59.",
        ),
        (IMAGES + b"x", LABELS, "(images-idx3-ubyte): expected at most 76 bytes, unpacked, got more."),
        (IMAGES[:9], LABELS, "(images-idx3-ubyte): expected an idx header, got a file of 9 bytes."),
        (
            IMAGES,
            struct.pack(">II", 0x801, 2) + bytes(2),
            "(labels-idx1-ubyte): expected 3 labels, one per image, got 2.",
        ),
        (
            IMAGES,
            LABELS[:8] + bytes(3),
            "(images-idx3-ubyte): expected at least two classes, or the names of all of them, "
            "got one class, and no class names.",
        ),
        (
            struct.pack(">IIII", 0x803, 0, 4, 5),
            struct.pack(">II", 0x801, 0),
            "(images-idx3-ubyte): expected at least one image, got 0 images of shape (1, 4, 5).",
        ),
        (
            IMAGES,
            IMAGES,
            ": expected two idx files, one of images (magic 00000803) and one of labels (magic 00000801), "
            "got images-idx3-ubyte (00000803), labels-idx1-ubyte (00000803).",
        ),
    ],
)
def test_what_does_not_add_up_is_refused(tmp_path: Path, images: bytes, labels: bytes, expected: str) -> None:
    assert sentence(pair(tmp_path, images, labels)).endswith(expected.removeprefix(": "))


def test_one_file_is_not_a_pair(tmp_path: Path) -> None:
    assert sentence(pair(tmp_path)[:1]).endswith("got images-idx3-ubyte (00000803).")


def test_a_header_of_a_huge_set_costs_no_memory(tmp_path: Path) -> None:
    found = sentence(pair(tmp_path, struct.pack(">IIII", 0x803, 2**31, 4096, 4096)))
    assert "expected at most 10,000,000 images of side 4,096, 16,384 MiB together, got 2,147,483,648 images" in found


def test_a_gzip_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    found = sentence(pair(tmp_path, gzip.compress(IMAGES)[:-9], LABELS))
    assert found.startswith("(images-idx3-ubyte): expected a whole gzip file, got a broken one (")


def test_a_gzip_file_that_unpacks_to_more_than_its_header_says_is_refused(tmp_path: Path) -> None:
    found = sentence(pair(tmp_path, gzip.compress(IMAGES + bytes(10**7)), LABELS))
    assert found == "(images-idx3-ubyte): expected at most 76 bytes, unpacked, got more."
