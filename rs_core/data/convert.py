"""From files of any format to the stored form, a few images in memory at a time where the format allows it.

A zip of class folders is decoded image by image and written as it goes, so the set may be larger than memory; the files
of CIFAR-10-C are mapped. The other formats are read whole (``load``), within their limits. Walls and time are the caller's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.content_hash import ContentHash
from radii.rs_core.data.corruption_info import Corrupted
from radii.rs_core.data.dataset_file import content_hash, save, write
from radii.rs_core.data.dataset_info import Shape, check_size, classes
from radii.rs_core.data.formats.image_files import AS_THEY_ARE, Framing
from radii.rs_core.data.formats.image_folders import ColorImageFound, Folders, open_folders
from radii.rs_core.data.ignored_files import SkippedMembers
from radii.rs_core.data.load import kind_of_files, read, relabelled


@dataclass(frozen=True, kw_only=True)
class ConvertedDataset:
    """What was written; ``shape`` is (C, H, W), ``corrupted`` what is known of corrupted images, ``skipped`` what of an
    archive is no data."""

    content_hash: str
    count: int
    shape: Shape
    class_names: tuple[str, ...]
    corrupted: Corrupted | None = None
    skipped: SkippedMembers | None = None


def convert(
    paths: Sequence[Path],
    out: Path,
    *,
    format: str | None = None,
    class_names: Sequence[str] | None = None,
    framing: Framing = AS_THEY_ARE,
    limit: float | None = None,
) -> ConvertedDataset:
    """Reads the files and writes their data set to ``out``; ``limit`` is on the bytes of all images.

    Raises :class:`InvalidDataset`; what was written until then is left to the caller.
    """
    if kind_of_files(paths, format, framing) == "folders":
        with open_folders(paths, framing, limit) as found:
            return _streamed(found, out, class_names)
    data = read(paths, format=format, class_names=class_names)
    check_size(len(data), data.shape, data.images.dtype.itemsize, paths[0].name, limit)
    save(data, out)
    return ConvertedDataset(
        content_hash=content_hash(data),
        count=len(data),
        shape=data.shape,
        class_names=data.class_names,
        corrupted=data.corrupted,
        skipped=data.skipped,
    )


def _streamed(found: Folders, out: Path, class_names: Sequence[str] | None) -> ConvertedDataset:
    where = found.path.name
    chosen = found.labels if class_names is None else relabelled(found.labels, found.class_names, class_names, where)
    labels, names = classes(chosen, found.class_names if class_names is None else class_names, where)
    try:
        return _written(found, out, found.shape[0], labels, names)
    except ColorImageFound:
        return _written(found, out, 3, labels, names)


def _written(
    found: Folders, out: Path, channels: int, labels: NDArray[np.int64], names: tuple[str, ...]
) -> ConvertedDataset:
    images, shape = found.images(channels), (channels, *found.shape[1:])
    digest = ContentHash((len(labels), *shape), "uint8", labels, names)

    def pixels() -> Iterator[bytes]:
        for image in images:
            piece = image.tobytes()
            digest.update(piece)
            yield piece

    write(out, shape=shape, dtype="uint8", labels=labels, class_names=names, source="folders", pixels=pixels())
    return ConvertedDataset(
        content_hash=digest.hexdigest(), count=len(labels), shape=shape, class_names=names, skipped=found.skipped
    )
