"""Data sets from files, read in full and checked.

The formats and their rules are in ``npz``, ``idx``, ``cifar`` and ``folders``, one file each; this module puts their
arrays into a :class:`Dataset`. What a file holds can be asked beforehand of ``inspect``, without torch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rs_core.data.builtin import BUILTIN
from rs_core.data.canonical import open_dataset
from rs_core.data.cifar import read_cifar, read_cifar_tar
from rs_core.data.dataset import Dataset
from rs_core.data.folders import read_folders
from rs_core.data.idx import read_idx
from rs_core.data.info import Arrays, check_files, classes, listed, one
from rs_core.data.inspect import detect
from rs_core.data.npz import read_npz
from rs_core.errors import InvalidDataset

__all__ = ["READERS", "Dataset", "load", "read"]

READERS: dict[str, Callable[[Sequence[Path]], Arrays]] = {
    "npz": read_npz,
    "idx": read_idx,
    "cifar10": partial(read_cifar, kind="cifar10"),
    "cifar100": partial(read_cifar, kind="cifar100"),
    "cifar_tar": read_cifar_tar,
    "folders": read_folders,
}


def read(
    paths: Sequence[Path],
    *,
    format: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> Dataset:
    """The data set in the files; ``format`` is a key of ``READERS`` or ``safetensors``, or told from the content.

    ``class_names`` are those of all classes, in the order of the labels; for a zip of class folders, whose folders must
    be among them, they set that order. Raises :class:`InvalidDataset`.
    """
    check_files(paths)
    kind = _kind(paths, format)
    title = name or paths[0].name.split(".")[0] or paths[0].name
    source = kind
    if kind == "safetensors":
        stored = open_dataset(one(paths, "stored data set"), title)
        source = stored.source
        arrays = Arrays(images=stored.images, labels=stored.labels, class_names=stored.class_names)
    elif kind in READERS:
        arrays = READERS[kind](paths)
    else:
        raise InvalidDataset(expected=f"a format out of {', '.join((*READERS, 'safetensors'))}", got=repr(kind))
    labels = arrays.labels
    if kind == "folders" and class_names is not None:
        labels = _relabelled(arrays, class_names, paths[0].name)
    labels, names = classes(labels, arrays.class_names if class_names is None else class_names, paths[0].name)
    return Dataset(images=arrays.images, labels=labels, class_names=names, name=title, source=source)


def _kind(paths: Sequence[Path], format: str | None) -> str:
    """The key of ``READERS`` that was asked for: "cifar" is any of its forms, "zip" one of class folders."""
    if format is None or format == "cifar":
        found = detect(paths)
        if format == "cifar" and not found.startswith("cifar"):
            raise InvalidDataset(
                expected="CIFAR-10 or CIFAR-100, binary version", got=f"the format {found}", where=paths[0].name
            )
        return found
    return "folders" if format == "zip" else format


def load(reference: str | Sequence[str]) -> Dataset:
    """The data set that a command line names: ``digits``, a path, or several paths, as a list or with commas."""
    parts = [reference] if isinstance(reference, str) else list(reference)
    if len(parts) == 1 and parts[0] in BUILTIN:
        return BUILTIN[parts[0]]()
    if len(parts) == 1 and not Path(parts[0]).exists():
        parts = parts[0].split(",")
    return read([Path(part.strip()) for part in parts])


def _relabelled(arrays: Arrays, class_names: Sequence[str], where: str) -> NDArray[np.int64]:
    """Labels of class folders, counted in ``class_names`` in place of the folders' own order."""
    folders = arrays.class_names or ()
    unknown = [folder for folder in folders if folder not in class_names]
    if unknown:
        raise InvalidDataset(
            expected=f"class folders out of {listed(class_names)}", got=f"folders {listed(unknown)}", where=where
        )
    order = np.array([list(class_names).index(folder) for folder in folders], dtype=np.int64)
    relabelled: NDArray[np.int64] = order[arrays.labels]
    return relabelled
