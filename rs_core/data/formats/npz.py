"""Images and labels from a NumPy archive (.npz). Torch-free.

The pair of arrays may be called images and labels, x and y, X and y (as scikit-learn does), X and Y, x_train and y_train,
or x_test and y_test; exactly one pair must be there. An optional array ``class_names`` of texts names the classes. Other arrays
are ignored, but an array of Python objects anywhere is refused by its header: reading one means running a pickle.

Layouts: (N, H, W) is greyscale. Of four axes, the second is the channels if it is 1 or 3 (N, C, H, W), else the last if
it is 1 or 3 (N, H, W, C). Pixels are uint8, or floats in [0, 1] (kept as float32). Labels are integers (N,) or (N, 1).
"""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import (
    DatasetArrays,
    DatasetInfo,
    Shape,
    check_counts,
    check_once,
    check_size,
    classes,
    listed,
    one,
)
from radii.rs_core.data.decompression import DecompressionCounter, check_expansion, open_member
from radii.rs_core.data.formats.npy import ArrayHeader, read_array, read_header
from radii.rs_core.data.ignored_files import SkippedMembers, is_clutter
from radii.rs_core.data.image_checks import check_range
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.exception_text import first_line

PAIRS = (("images", "labels"), ("x", "y"), ("X", "y"), ("X", "Y"), ("x_train", "y_train"), ("x_test", "y_test"))
CLASS_NAMES = "class_names"
MAX_ARRAYS = 1000
MAX_NAMES_BYTES = 2**26


@dataclass(frozen=True)
class _Plan:
    """What the headers say is to be read: keys of the pair, images' number and shape, and where their channels are."""

    images: str
    labels: str
    has_names: bool
    count: int
    shape: Shape
    channels_last: bool
    dtype: str


def inspect_npz(paths: Sequence[Path]) -> DatasetInfo:
    """From the headers and the labels; the images are not read."""
    path = one(paths, ".npz file")
    plan = _plan(path)
    unpacked = DecompressionCounter(path)
    _, names = classes(_flat(_load(path, plan.labels, unpacked)), _class_names(path, plan, unpacked), path.name)
    return DatasetInfo(
        format="npz",
        count=plan.count,
        shape=plan.shape,
        num_classes=len(names),
        class_names=names,
        dtype=plan.dtype,
    )


def read_npz(paths: Sequence[Path]) -> DatasetArrays:
    """All of it, checked."""
    path = one(paths, ".npz file")
    plan, unpacked = _plan(path), DecompressionCounter(path)
    images = _pixels(_load(path, plan.images, unpacked), path)
    images = np.moveaxis(images, -1, 1) if plan.channels_last else images
    return DatasetArrays(
        images=np.ascontiguousarray(images.reshape(plan.count, *plan.shape)),
        labels=_flat(_load(path, plan.labels, unpacked)),
        class_names=_class_names(path, plan, unpacked),
        skipped=_skipped(path),
    )


def read_images(path: Path, check: Callable[[int, Shape], None] = lambda count, shape: None) -> NDArray[Any]:
    """The images (N, C, H, W), uint8 or float32 in [0, 1], of an archive that need not have labels: the only array of it, or
    the one under a usual name. ``check`` sees N and (C, H, W) before they are read."""
    headers = _headers(path)
    usual = dict.fromkeys(name for name, _ in PAIRS)
    found = [name for name in usual if name in headers] or list(headers)
    if len(found) != 1:
        wanted = f"one array of images, under any name or one out of {', '.join(usual)}"
        raise InvalidDataset(expected=wanted, got=listed(found) or "no array", where=path.name)
    header = headers[found[0]]
    count, shape, channels_last = _layout(header, found[0], path)
    dtype = _pixel_type(header.dtype, path)
    check(count, shape)
    check_size(count, shape, max(header.dtype.itemsize, np.dtype(dtype).itemsize), path.name)
    images = _pixels(_load(path, found[0], DecompressionCounter(path)), path)
    images = np.moveaxis(images, -1, 1) if channels_last else images
    return np.ascontiguousarray(images.reshape(count, *shape))


def _plan(path: Path) -> _Plan:
    headers = _headers(path)
    pairs = [pair for pair in PAIRS if set(pair) <= set(headers)]
    if len(pairs) != 1:
        raise InvalidDataset(
            expected="one pair of arrays out of " + ", ".join(" and ".join(pair) for pair in PAIRS),
            got=listed(list(headers)) or "no array",
            where=path.name,
        )
    images, labels = pairs[0]
    count, shape, channels_last = _layout(headers[images], images, path)
    dtype = _pixel_type(headers[images].dtype, path)
    check_size(count, shape, max(headers[images].dtype.itemsize, np.dtype(dtype).itemsize), path.name)
    _check_labels(headers[labels], count, path)
    if CLASS_NAMES in headers:
        _check_names(headers[CLASS_NAMES], path)
    return _Plan(images, labels, CLASS_NAMES in headers, count, shape, channels_last, dtype)


def _headers(path: Path) -> dict[str, ArrayHeader]:
    """Shape and type of every array in the archive, by name; no array is allocated."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if is_array(info.filename)]
            if len(members) > MAX_ARRAYS:
                raise InvalidDataset(expected=f"at most {MAX_ARRAYS} arrays", got=f"{len(members):,}", where=path.name)
            check_once([info.filename for info in members], path.name)
            check_expansion(sum(info.file_size for info in members), path)
            found = {info.filename.removesuffix(".npy"): (_header(archive, info, path), info) for info in members}
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, zlib.error, OSError, EOFError) as error:
        raise InvalidDataset(
            expected="a whole .npz file", got=f"a broken one ({first_line(error)})", where=path.name
        ) from None
    for name, (array, info) in found.items():
        if prod(array.shape) * array.dtype.itemsize > info.file_size:
            raise InvalidDataset(
                expected=f"an array {name!r} of shape {array.shape}, as its header says",
                got=f"{info.file_size:,} bytes",
                where=path.name,
            )
    return {name: array for name, (array, _) in found.items()}


def is_array(name: str) -> bool:
    """Whether a member of a zip is an array: a copy that a system has left there is none."""
    return name.endswith(".npy") and not is_clutter(name)


def _skipped(path: Path) -> SkippedMembers | None:
    with zipfile.ZipFile(path) as archive:
        return SkippedMembers.among(archive.namelist())


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> ArrayHeader:
    name = info.filename.removesuffix(".npy")
    try:
        with archive.open(info) as file:
            return read_header(file, name, path.name)
    except RuntimeError as error:  # encrypted, or packed in a way that is not known
        raise InvalidDataset(
            expected=f"an array {name!r} with a .npy header", got=str(error)[:200], where=path.name
        ) from None


def _layout(array: ArrayHeader, name: str, path: Path) -> tuple[int, Shape, bool]:
    """Number of images, (C, H, W), and whether the channels come last."""
    match array.shape:
        case (n, h, w):
            return n, (1, h, w), False
        case (n, (1 | 3) as c, h, w):
            return n, (c, h, w), False
        case (n, h, w, (1 | 3) as c):
            return n, (c, h, w), True
    raise InvalidDataset(
        expected="images (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels",
        got=f"an array {name!r} of shape {array.shape}",
        where=path.name,
    )


def _pixel_type(dtype: np.dtype[Any], path: Path) -> str:
    if dtype != np.uint8 and dtype.kind != "f":
        raise InvalidDataset(expected="pixels as uint8, or floats in [0, 1]", got=str(dtype), where=path.name)
    return "uint8" if dtype == np.uint8 else "float32"


def _check_labels(labels: ArrayHeader, count: int, path: Path) -> None:
    match labels.shape:
        case (n,) | (n, 1) if labels.dtype.kind in "iu":
            return check_counts(count, n, path.name)
    raise InvalidDataset(
        expected="integer labels of shape (N,) or (N, 1)",
        got=f"{labels.dtype} of shape {labels.shape}",
        where=path.name,
    )


def _check_names(names: ArrayHeader, path: Path) -> None:
    if names.dtype.kind != "U" or len(names.shape) != 1 or names.shape[0] * names.dtype.itemsize > MAX_NAMES_BYTES:
        raise InvalidDataset(
            expected=f"{CLASS_NAMES} as texts of shape (K,)",
            got=f"{names.dtype} of shape {names.shape}",
            where=path.name,
        )


def _class_names(path: Path, plan: _Plan, unpacked: DecompressionCounter) -> tuple[str, ...] | None:
    if not plan.has_names:
        return None
    try:
        return tuple(str(name) for name in _load(path, CLASS_NAMES, unpacked))
    except (SystemError, ValueError):  # code points that no text can have
        raise InvalidDataset(
            expected=f"{CLASS_NAMES} of Unicode characters", got="code points beyond Unicode", where=path.name
        ) from None


def _load(path: Path, name: str, unpacked: DecompressionCounter) -> NDArray[Any]:
    """One array, after its header was checked, and no more bytes than that announces: the only place that reads this
    format."""
    try:
        with zipfile.ZipFile(path) as archive, open_member(archive, f"{name}.npy", unpacked) as member:
            return read_array(member)
    except InvalidDataset:
        raise
    except (ValueError, RuntimeError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise InvalidDataset(
            expected=f"a whole array {name!r}", got=f"a broken one ({first_line(error)})"[:300], where=path.name
        ) from None


def _pixels(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """uint8 as it is; floats as float32 once they are known to lie in [0, 1]."""
    if images.dtype == np.uint8:
        return images
    check_range(images, path.name)
    return images.astype(np.float32, copy=False)


def _flat(labels: NDArray[Any]) -> NDArray[Any]:
    return labels.reshape(-1)
