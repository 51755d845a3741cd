"""The header of a stored data set: the one form in which the worker keeps images and labels. Torch-free.

It is a safetensors file with the tensors ``images`` (N, C, H, W), U8 or F32, and ``labels`` (N,), I64, and with class
names and source format in its metadata; a set of corrupted images says there which are which (``corrupted``).
``dataset_file`` writes and opens it; this module says what is where.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.corruption_info import Corrupted, from_json, to_json
from radii.rs_core.data.dataset_info import DatasetInfo, Shape, check_counts, check_names, check_size, one
from radii.rs_core.data.memmap import chunks
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.safetensors_header import ITEM_SIZES, SafetensorsHeader, TensorEntry, metadata, read_header

KIND = "dataset"
VERSION = 1
DTYPES = {"U8": "uint8", "F32": "float32"}


@dataclass(frozen=True, kw_only=True)
class StoredArrays:
    """Where the bytes of images and labels are, and what the file says of them."""

    images: TensorEntry
    labels: TensorEntry
    class_names: tuple[str, ...]
    source: str
    corrupted: Corrupted | None = None


def header(
    count: int,
    shape: Shape,
    dtype: str,
    class_names: Sequence[str],
    source: str,
    corrupted: Corrupted | None = None,
) -> bytes:
    """All that stands before the labels, which come first, and the images; byte for byte as the package writes it."""
    body = {"kind": KIND, "version": VERSION, "class_names": list(class_names), "source": source}
    body |= {} if corrupted is None else {"corrupted": to_json(corrupted)}
    stored = {name: letters for letters, name in DTYPES.items()}[dtype]
    between, end = 8 * count, (8 + prod(shape) * ITEM_SIZES[stored]) * count
    tensors = {
        "__metadata__": metadata(body),
        "labels": {"dtype": "I64", "shape": [count], "data_offsets": [0, between]},
        "images": {"dtype": stored, "shape": [count, *shape], "data_offsets": [between, end]},
    }
    text = json.dumps(tensors, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def pieces(images: NDArray[Any], labels: NDArray[np.int64], class_names: Sequence[str], source: str) -> Iterator[bytes]:
    """The bytes of the whole file, a few megabytes at a time."""
    count, *shape = images.shape
    yield header(count, cast(Shape, tuple(shape)), str(images.dtype), class_names, source)
    yield from chunks(labels)
    yield from chunks(images)


def inspect_stored(paths: Sequence[Path]) -> DatasetInfo:
    """From the header."""
    stored = read_stored(one(paths, "stored data set"))
    count, *shape = stored.images.shape
    return DatasetInfo(
        format="safetensors",
        count=count,
        shape=cast(Shape, tuple(shape)),
        num_classes=len(stored.class_names),
        class_names=stored.class_names,
        dtype=DTYPES[stored.images.dtype],
    )


def read_labels(path: Path) -> NDArray[np.int64]:
    """The labels (N,) alone."""
    entry = read_stored(path).labels
    return np.fromfile(path, dtype="<i8", count=entry.shape[0], offset=entry.start)


def read_stored(path: Path) -> StoredArrays:
    """The header, checked; :class:`InvalidDataset` where the file is not one of ours."""
    header = read_header(path, InvalidDataset)
    body = header.ours() or {}
    if body.get("kind") != KIND or body.get("version") != VERSION:
        raise InvalidDataset(
            expected=f"a data set stored by this software, version {VERSION}",
            got="a safetensors file without its metadata" if not body else _said(body),
            where=path.name,
        )
    images, labels = _tensors(header, path)
    names = body.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidDataset(expected="class names as texts", got=repr(names)[:100], where=path.name)
    marks = body.get("corrupted")
    return StoredArrays(
        images=images,
        labels=labels,
        class_names=check_names(names, path.name),
        source=str(body.get("source", "")),
        corrupted=None if marks is None else from_json(marks, images.shape[0], path.name),
    )


def _tensors(header: SafetensorsHeader, path: Path) -> tuple[TensorEntry, TensorEntry]:
    found = {name: (entry.dtype, len(entry.shape)) for name, entry in header.tensors.items()}
    if found not in [{"images": (dtype, 4), "labels": ("I64", 1)} for dtype in DTYPES]:
        raise InvalidDataset(
            expected="images (N, C, H, W) of type U8 or F32 and labels (N,) of type I64",
            got=repr(found)[:300],
            where=path.name,
        )
    images, labels = header.tensors["images"], header.tensors["labels"]
    count, *shape = images.shape
    # The file holds all the bytes that its header speaks of, so there is no limit to set on them.
    check_size(count, cast(Shape, tuple(shape)), ITEM_SIZES[images.dtype], path.name, limit=inf)
    check_counts(count, labels.shape[0], path.name)
    return images, labels


def _said(body: dict[str, Any]) -> str:
    return f"kind {body.get('kind')!r}, version {body.get('version')!r}"[:200]
