"""Data sets from files, read in full and checked.

The formats and their rules are in ``npz``, ``idx``, ``cifar``, ``cifar10c`` and ``image_folders``, one file each; this module
puts their arrays into a :class:`Dataset`. What a file holds can be asked beforehand of ``inspect``, without torch.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.builtin import BUILTIN
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.data.dataset_info import DatasetArrays, check_files, classes, listed, one
from radii.rs_core.data.formats.cifar import read_cifar, read_cifar_tar
from radii.rs_core.data.formats.cifar10c import read_cifar10c
from radii.rs_core.data.formats.idx import read_idx
from radii.rs_core.data.formats.image_files import AS_THEY_ARE, Framing
from radii.rs_core.data.formats.image_folders import read_folders
from radii.rs_core.data.formats.npz import read_npz
from radii.rs_core.data.image_checks import check_images
from radii.rs_core.data.inspect import detect
from radii.rs_core.errors import InvalidDataset

__all__ = ["READERS", "Dataset", "load", "read"]

READERS: dict[str, Callable[[Sequence[Path]], DatasetArrays]] = {
    "npz": read_npz,
    "idx": read_idx,
    "cifar10": partial(read_cifar, kind="cifar10"),
    "cifar100": partial(read_cifar, kind="cifar100"),
    "cifar_tar": read_cifar_tar,
    "cifar10c": read_cifar10c,
    "folders": read_folders,
}
FRAMED = re.compile(r"(?P<path>.+)@(?P<resize>[1-9]\d{0,3})?(?:/(?P<crop>[1-9]\d{0,3}))?")


def read(
    paths: Sequence[Path],
    *,
    format: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    framing: Framing = AS_THEY_ARE,
) -> Dataset:
    """The data set in the files; ``format`` is a key of ``READERS`` or ``safetensors``, or told from the content.

    ``class_names`` are those of all classes, in the order of the labels; for a zip of class folders, whose folders must
    be among them, they set that order. ``framing`` brings the photographs of such a zip to one size. Raises
    :class:`InvalidDataset`.
    """
    kind = kind_of_files(paths, format, framing)
    title = name or paths[0].name.split(".")[0] or paths[0].name
    source = kind
    if kind == "safetensors":
        stored = open_dataset(one(paths, "stored data set"), title)
        source = stored.source
        arrays = DatasetArrays(
            images=stored.images, labels=stored.labels, class_names=stored.class_names, corrupted=stored.corrupted
        )
    elif kind in READERS:
        arrays = read_folders(paths, framing) if kind == "folders" else READERS[kind](paths)
    else:
        raise InvalidDataset(expected=f"a format out of {', '.join((*READERS, 'safetensors'))}", got=repr(kind))
    labels = arrays.labels
    if kind == "folders" and class_names is not None:
        labels = relabelled(labels, arrays.class_names or (), class_names, paths[0].name)
    labels, names = classes(labels, arrays.class_names if class_names is None else class_names, paths[0].name)
    check_images(arrays.images, paths[0].name)
    return Dataset(
        images=arrays.images,
        labels=labels,
        class_names=names,
        name=title,
        source=source,
        corrupted=arrays.corrupted,
        skipped=arrays.skipped,
    )


def kind_of_files(paths: Sequence[Path], format: str | None, framing: Framing = AS_THEY_ARE) -> str:
    """The key of ``READERS`` that was asked for, or is found: "cifar" is any of its forms, "zip" one of class folders.

    Raises :class:`InvalidDataset` where there is no file, or where images of another format are to be framed.
    """
    check_files(paths)
    kind = "folders" if format == "zip" else format
    if kind is None or kind == "cifar":
        kind = detect(paths)
        if format == "cifar" and (kind == "cifar10c" or not kind.startswith("cifar")):
            raise InvalidDataset(
                expected="CIFAR-10 or CIFAR-100, binary version", got=f"the format {kind}", where=paths[0].name
            )
    if kind != "folders" and framing != AS_THEY_ARE:
        raise InvalidDataset(
            expected="a zip of class folders, whose photographs resize and center_crop bring to one size",
            got=f"the format {kind}, whose images have one size already",
            where=paths[0].name,
        )
    return kind


def load(reference: str | Sequence[str]) -> Dataset:
    """The data set that a command line names: ``digits``, a path, or several paths, as a list or with commas.

    ``photos.zip@256/224`` is a zip of class folders whose photographs are resized to a shorter side of 256 pixels and
    cut to the 224x224 in the middle; ``photos.zip@256`` and ``photos.zip@/224`` ask for one of the two.
    """
    parts = [reference] if isinstance(reference, str) else list(reference)
    if len(parts) == 1 and parts[0] in BUILTIN:
        return BUILTIN[parts[0]]()
    if len(parts) == 1 and not Path(parts[0]).exists():
        if framed := FRAMED.fullmatch(parts[0]):
            resize, crop = (int(side) if side else None for side in framed.group("resize", "crop"))
            return read([Path(framed["path"])], framing=Framing(resize=resize, center_crop=crop))
        parts = parts[0].split(",")
    return read([Path(part.strip()) for part in parts])


def relabelled(
    labels: NDArray[np.int64], folders: Sequence[str], class_names: Sequence[str], where: str
) -> NDArray[np.int64]:
    """Labels of class folders, counted in ``class_names`` in place of the folders' own order."""
    unknown = [folder for folder in folders if folder not in class_names]
    if unknown:
        raise InvalidDataset(
            expected=f"class folders out of {listed(class_names)}", got=f"folders {listed(unknown)}", where=where
        )
    order = np.array([list(class_names).index(folder) for folder in folders], dtype=np.int64)
    found: NDArray[np.int64] = order[labels]
    return found
