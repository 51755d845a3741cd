"""The one form in which the worker keeps a data set, and the hash that identifies a data set.

The file is laid out as ``stored`` says. Equal data sets give equal bytes; an opened one is mapped, so that an image
costs its own bytes and no more. Writing to a place where nobody reads yet is the caller's business.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from rs_core.data.dataset import Dataset
from rs_core.data.info import classes
from rs_core.data.stored import DTYPES, read_stored, stored_metadata
from rs_core.tensorfile import metadata, usual_mode

CHUNK = 2**24


def save(dataset: Dataset, path: Path) -> None:
    """Writes the data set to ``path``; the same data set always gives the same bytes."""
    tensors = {"images": np.ascontiguousarray(dataset.images), "labels": np.ascontiguousarray(dataset.labels)}
    with usual_mode(path):
        save_file(tensors, path, metadata=metadata(stored_metadata(dataset.class_names, dataset.source)))


def open_dataset(path: Path, name: str | None = None) -> Dataset:
    """The data set in the file, its images mapped and not read; :class:`InvalidDataset` where the file is not sound."""
    stored = read_stored(path)
    labels = np.fromfile(path, dtype="<i8", count=stored.labels.shape[0], offset=stored.labels.start)
    images = np.memmap(path, DTYPES[stored.images.dtype], "r", stored.images.start, stored.images.shape)
    labels, names = classes(labels, stored.class_names, path.name)
    return Dataset(images=images, labels=labels, class_names=names, name=name or path.stem, source=stored.source)


def content_hash(dataset: Dataset | Path) -> str:
    """sha256 in hex over images, labels and class names, wherever they came from: format and file names do not count.

    Images are hashed as stored: uint8 pixels and the floats they stand for are different data sets.
    """
    found = open_dataset(dataset) if isinstance(dataset, Path) else dataset
    head = {"dtype": str(found.images.dtype), "shape": found.images.shape, "class_names": found.class_names}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode() + b"\n")
    for part in (found.labels, found.images):
        for chunk in _chunks(part):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(array: NDArray[Any]) -> Iterator[bytes]:
    """The array's bytes in order, little-endian, a few rows at a time."""
    rows = max(1, CHUNK // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows]).tobytes()
