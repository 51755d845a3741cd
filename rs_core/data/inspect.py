"""What a data set's files hold, without reading the images and without torch.

The format is detected from the content, so that uploads need no names. The formats, one file each: a NumPy archive (``npz``),
the idx pair of MNIST (``idx``), CIFAR in its binary version (``cifar``), the .npy files of CIFAR-10-C (``cifar10c``), a zip of
class folders (``formats.image_folders``), and the form in which the worker keeps datasets (``dataset_header``). Reading is left to ``load``.
"""

import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from radii.rs_core.data.dataset_header import inspect_stored
from radii.rs_core.data.dataset_info import DatasetInfo, check_files, head, is_gzip, listed
from radii.rs_core.data.formats.cifar import BINARY, inspect_cifar, inspect_cifar_tar, is_tar, kind_of
from radii.rs_core.data.formats.cifar10c import inspect_cifar10c
from radii.rs_core.data.formats.idx import IMAGES, LABELS, inspect_idx
from radii.rs_core.data.formats.image_folders import inspect_folders
from radii.rs_core.data.formats.npy import MAGIC
from radii.rs_core.data.formats.npz import inspect_npz, is_array
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.safetensors_header import is_tensorfile

__all__ = ["FORMATS", "DatasetInfo", "detect", "inspect"]

FORMATS: dict[str, Callable[[Sequence[Path]], DatasetInfo]] = {
    "npz": inspect_npz,
    "idx": inspect_idx,
    "cifar10": partial(inspect_cifar, kind="cifar10"),
    "cifar100": partial(inspect_cifar, kind="cifar100"),
    "cifar_tar": inspect_cifar_tar,
    "cifar10c": inspect_cifar10c,
    "folders": inspect_folders,
    "safetensors": inspect_stored,
}
_KNOWN = (
    "an .npz file, a pair of idx files, CIFAR .bin files or their .tar.gz, a zip of class folders, or the .npy files of "
    "CIFAR-10-C"
)


def inspect(paths: Sequence[Path]) -> DatasetInfo:
    """Format, number and shape of the images, classes; from headers and labels alone.

    Raises :class:`InvalidDataset` where a file is missing, of no known format, or plainly broken.
    """
    return FORMATS[detect(paths)](paths)


def detect(paths: Sequence[Path]) -> str:
    """The key of ``FORMATS`` that all the files belong to."""
    check_files(paths)
    formats = {path.name: _format(path) for path in paths}
    if len(set(formats.values())) > 1:
        raise InvalidDataset(
            expected="files of one format", got=listed([f"{name} ({kind})" for name, kind in formats.items()])
        )
    return formats[paths[0].name]


def _format(path: Path) -> str:
    start = head(path, len(MAGIC))
    if start == MAGIC:
        return "cifar10c"
    if start[:4] in {IMAGES, LABELS}:
        return "idx"
    if start[:2] == b"PK":
        return "npz" if holds_arrays(path) else "folders"
    if start[:1] == b"\x80" and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        raise InvalidDataset(expected=BINARY, got="a pickle, as in the python version", where=path.name)
    if is_tar(path):
        return "cifar_tar"
    found = "safetensors" if is_tensorfile(path) else None if is_gzip(path) else kind_of(path)
    if found is None:
        what = f"{path.stat().st_size:,} bytes that start with {start[:4]!r}" + (
            " when unpacked" if is_gzip(path) else ""
        )
        raise InvalidDataset(expected=_KNOWN, got=what, where=path.name)
    return found


def holds_arrays(path: Path) -> bool:
    """Whether a zip is a NumPy archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(is_array(name) for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return path.suffix == ".npz"
