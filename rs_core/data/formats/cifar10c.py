"""CIFAR-10-C and CIFAR-100-C: .npy files of corrupted test images, one for each corruption, and their labels. Torch-free.

Hendrycks and Dietterich 2019, arXiv 1903.12261. ``fog.npy`` holds uint8 images (N, 32, 32, 3), N / 5 of each severity from 1
to 5 in turn, and ``labels.npy`` their N labels; in the published files N is 50,000. The corruptions are those whose files
are there, in the paper's order: of the fifteen common ones, and of the four for validation. The images are mapped, so that
the 2.3 GB of all files need not fit into memory.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.corruption_info import CIFAR_10_C, COMMON, SEVERITIES, VALIDATION, Corrupted, in_a_row
from radii.rs_core.data.dataset_info import (
    DatasetArrays,
    DatasetInfo,
    check_counts,
    check_files,
    check_size,
    classes,
    listed,
)
from radii.rs_core.data.formats.cifar import CIFAR10, CIFAR100
from radii.rs_core.data.formats.npy import place_of
from radii.rs_core.data.memmap import ConcatenatedFiles, FileRegion
from radii.rs_core.errors import InvalidDataset

SHAPE = (32, 32, 3)
LABELS = "labels"
FILES = "files named after their corruptions (fog.npy, ...), and labels.npy"


def inspect_cifar10c(paths: Sequence[Path]) -> DatasetInfo:
    """From the headers and the labels; no image is read."""
    found = read_cifar10c(paths)
    _, names = classes(found.labels, found.class_names, LABELS)
    count, *_ = found.images.shape
    return DatasetInfo(
        format="cifar10c", count=count, shape=(3, 32, 32), num_classes=len(names), class_names=names, dtype="uint8"
    )


def read_cifar10c(paths: Sequence[Path]) -> DatasetArrays:
    """Labels and groups, checked, and the images, mapped."""
    check_files(paths)
    named = _by_name(paths)
    places = {name: _images(named[name]) for name in (*COMMON, *VALIDATION) if name in named}
    labels = _labels(named[LABELS])
    for name, place in places.items():
        check_counts(place.shape[0], len(labels), named[name].name)
    check_size(len(places) * len(labels), (3, 32, 32), 1, LABELS, limit=float("inf"))
    each, rest = divmod(len(labels), len(SEVERITIES))
    if rest:
        wanted = f"a number of images that {len(SEVERITIES)} severities share"
        raise InvalidDataset(expected=wanted, got=f"{len(labels):,}", where=named[LABELS].name)
    groups = in_a_row(list(product(places, SEVERITIES)), each)
    return DatasetArrays(
        images=ConcatenatedFiles(tuple(places.values())),
        labels=np.tile(labels, len(places)),
        class_names=_class_names(labels),
        corrupted=Corrupted(groups=groups, constants=CIFAR_10_C),
    )


def _by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """The files by their names; refuses those that are not of such a set."""
    named = {path.name.removesuffix(".npy"): path for path in paths}
    strange = [path.name for path in paths if path.name.removesuffix(".npy") not in (*COMMON, *VALIDATION, LABELS)]
    if strange or len(named) < len(paths) or len(named) < 2 or LABELS not in named:
        raise InvalidDataset(expected=FILES, got=listed(strange or [path.name for path in paths]))
    return named


def _images(path: Path) -> FileRegion:
    place = place_of(path)
    if place.dtype != "|u1" or place.shape[1:] != SHAPE:
        raise InvalidDataset(
            expected="images as uint8 of shape (N, 32, 32, 3)",
            got=f"{np.dtype(place.dtype)} of shape {place.shape}",
            where=path.name,
        )
    return place


def _labels(path: Path) -> NDArray[Any]:
    place = place_of(path)
    if np.dtype(place.dtype).kind not in "iu" or len(place.shape) != 1 or place.shape[0] < 1:
        raise InvalidDataset(
            expected="integer labels of shape (N,)",
            got=f"{np.dtype(place.dtype)} of shape {place.shape}",
            where=path.name,
        )
    return np.array(place.open())


def _class_names(labels: NDArray[Any]) -> tuple[str, ...] | None:
    """Those of CIFAR-10 or CIFAR-100, whichever the labels are of; by labels alone a part of CIFAR-100 may pass for CIFAR-10."""
    largest = int(labels.max())
    return CIFAR10 if largest < len(CIFAR10) else CIFAR100 if largest < len(CIFAR100) else None
