"""Datasets of the public functions: in memory, built in, or read from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.load import load
from radii.rs_core.errors import InvalidSpec

RECIPE = (
    "make one with radii.Dataset(images=..., labels=..., class_names=..., name=...), of a NumPy array (N, C, H, W) of images, uint8 or "
    "float32 in [0, 1], an int64 array (N,) of labels, and a tuple of names"
)


def load_dataset(reference: str | Path | Sequence[str | Path]) -> Dataset:
    """Reads a dataset.

    Args:
        reference: ``"digits"`` (built in), a file, or several files: npz, IDX (MNIST), CIFAR binaries, CIFAR-10-C, a zip of class
            folders (``"photos.zip@256/224"`` resizes the shorter side to 256 pixels and crops the center to 224x224).

    Returns:
        Images (N, C, H, W), uint8 or float32 in [0, 1], with their labels and class names.

    Raises:
        InvalidDataset: the files cannot be read, or have pixels outside [0, 1].
    """
    if isinstance(reference, str | Path):
        return load(str(reference))
    return load([str(part) for part in reference])


def as_dataset(given: Any, where: str) -> Dataset:
    """The dataset, or what is read from the files that are named; raises :class:`InvalidSpec` for anything else."""
    if isinstance(given, Dataset):
        return given
    several = isinstance(given, list | tuple) and bool(given) and all(isinstance(part, str | Path) for part in given)
    if several or isinstance(given, str | Path):
        return load_dataset(given)
    expected = 'a radii.Dataset, "digits", or the path of one or more files'
    raise InvalidSpec(expected=expected, got=f"a {type(given).__name__}; {RECIPE}", where=where)
