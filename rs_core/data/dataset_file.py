"""The one form in which the worker keeps a data set, and the hash that identifies a data set.

The file is laid out as ``dataset_header`` says. Equal data sets give equal bytes, those that the safetensors package writes; an
opened one is mapped, so that an image costs its own bytes and no more. Writing, opening and hashing hold a few
megabytes of images at a time. Writing to a place where nobody reads yet is the caller's business.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.content_hash import ContentHash
from radii.rs_core.data.corruption_info import Corrupted
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_header import DTYPES, header, read_labels, read_stored
from radii.rs_core.data.dataset_info import UNKNOWN_LABEL, Shape, check_labels, classes
from radii.rs_core.data.image_checks import check_images, check_pixels
from radii.rs_core.data.memmap import FileRegion, chunks


def save(dataset: Dataset, path: Path) -> None:
    """Writes the data set to ``path``; the same data set always gives the same bytes."""
    write(
        path,
        shape=dataset.shape,
        dtype=str(dataset.images.dtype),
        labels=dataset.labels,
        class_names=dataset.class_names,
        source=dataset.source,
        pixels=chunks(dataset.images),
        corrupted=dataset.corrupted,
    )


def write(
    path: Path,
    *,
    shape: Shape,
    dtype: str,
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    source: str,
    pixels: Iterable[bytes],
    corrupted: Corrupted | None = None,
) -> None:
    """The same from parts: ``pixels`` are the bytes of the images (N, C, H, W) in order, in pieces of whole values.

    Raises :class:`InvalidDataset` for labels or pixels that no reader would accept, so that none are ever stored.
    """
    check_labels(labels, len(class_names), path.name, least=UNKNOWN_LABEL)
    with path.open("wb") as file:

        def written() -> Iterator[bytes]:
            for piece in pixels:
                file.write(piece)
                yield piece

        file.write(header(len(labels), shape, dtype, class_names, source, corrupted))
        file.write(np.ascontiguousarray(labels, dtype="<i8").tobytes())
        check_pixels(written(), dtype, path.name)


def open_dataset(path: Path, name: str | None = None) -> Dataset:
    """The dataset in the file, its images mapped and not read; :class:`InvalidDataset` where the file is not sound.

    It may lack labels, which no dataset from outside does. Pixels are checked as they are taken (``Dataset``);
    ``load.read`` checks all of them.
    """
    stored = read_stored(path)
    labels = read_labels(path)
    entry = stored.images
    place = FileRegion(path=path.absolute(), dtype=DTYPES[entry.dtype], offset=entry.start, shape=entry.shape)
    labels, names = classes(labels, stored.class_names, path.name, least=UNKNOWN_LABEL)
    return Dataset(
        images=place.open(),
        labels=labels,
        class_names=names,
        name=name or path.stem,
        source=stored.source,
        corrupted=stored.corrupted,
    )


def content_hash(dataset: Dataset | Path) -> str:
    """sha256 in hex over images, labels and class names, wherever they came from: format and file names do not count,
    nor does what is known of how images were corrupted.

    Images are hashed as stored: uint8 pixels and the floats they stand for are different data sets.
    """
    found = open_dataset(dataset) if isinstance(dataset, Path) else dataset
    digest = ContentHash(found.images.shape, str(found.images.dtype), found.labels, found.class_names)
    for piece in chunks(found.images):
        digest.update(piece)
    return digest.hexdigest()


def on_8_bit_grid(dataset: Dataset | Path) -> bool:
    """Whether all pixels are whole multiples of 1/255, as discrete noise needs them; stored uint8 always are.

    Raises :class:`InvalidDataset` for pixels that are NaN, infinite or outside [0, 1].
    """
    found = open_dataset(dataset) if isinstance(dataset, Path) else dataset
    return check_images(found.images, found.name)
