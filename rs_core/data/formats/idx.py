"""Images and labels from the two idx files of MNIST and its relatives, gzipped or not. Torch-free.

The format is that of yann.lecun.com/exdb/mnist: big-endian, a magic number (0x803 for images, 0x801 for labels), the
sizes, then bytes. The two files may come in any order. Classes have no names and are numbered.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import DatasetArrays, DatasetInfo, check_counts, check_size, classes, content, head
from radii.rs_core.errors import InvalidDataset

IMAGES = b"\x00\x00\x08\x03"
LABELS = b"\x00\x00\x08\x01"
_HEADER_BYTES = {IMAGES: 16, LABELS: 8}


def inspect_idx(paths: Sequence[Path]) -> DatasetInfo:
    """From the images' header and the labels."""
    images, labels = _pair(paths)
    count, height, width = _sizes(images, IMAGES)
    found, names = classes(_labels(labels), None, labels.name)
    check_counts(count, len(found), labels.name)
    return DatasetInfo(
        format="idx",
        count=count,
        shape=(1, height, width),
        num_classes=len(names),
        class_names=names,
        dtype="uint8",
    )


def read_idx(paths: Sequence[Path]) -> DatasetArrays:
    """All of it, checked: images (N, 1, H, W) uint8."""
    images, labels = _pair(paths)
    count, height, width = _sizes(images, IMAGES)
    found = _labels(labels)
    check_counts(count, len(found), labels.name)
    pixels = _bytes(images, IMAGES, (count, height, width)).reshape(count, 1, height, width)
    return DatasetArrays(images=pixels, labels=found)


def _pair(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The images' file and the labels' file, told apart by their magic numbers."""
    by_magic = {head(path, 4): path for path in paths}
    if len(paths) != 2 or set(by_magic) != {IMAGES, LABELS}:
        raise InvalidDataset(
            expected="two idx files, one of images (magic 00000803) and one of labels (magic 00000801)",
            got=", ".join(f"{path.name} ({head(path, 4).hex() or 'empty'})" for path in paths[:5]),
        )
    return by_magic[IMAGES], by_magic[LABELS]


def _sizes(path: Path, kind: bytes) -> tuple[int, ...]:
    start = head(path, _HEADER_BYTES[kind])
    if len(start) < _HEADER_BYTES[kind]:
        raise InvalidDataset(expected="an idx header", got=f"a file of {len(start)} bytes", where=path.name)
    sizes = tuple(int(size) for size in np.frombuffer(start[4:], dtype=">u4"))
    count, height, width = (*sizes, 1, 1)[:3]
    check_size(count, (1, height, width), 1, path.name)
    return sizes


def _labels(path: Path) -> NDArray[np.uint8]:
    return _bytes(path, LABELS, _sizes(path, LABELS))


def _bytes(path: Path, kind: bytes, sizes: tuple[int, ...]) -> NDArray[np.uint8]:
    """What follows the header, which must be as much as it says."""
    start, size = _HEADER_BYTES[kind], prod(sizes)
    data = content(path, start + size)
    if len(data) != start + size:
        raise InvalidDataset(
            expected=f"{size:,} bytes after the header, for {' x '.join(map(str, sizes))}",
            got=f"{len(data) - start:,}",
            where=path.name,
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).copy()
