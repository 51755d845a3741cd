"""What is known of a data set, and the limits and rules that every format shares.

The readers of the formats (``npz``, ``idx``, ``cifar``, ``formats.image_folders``) return plain arrays that have passed these checks.
Nothing here or there needs torch. The limits keep a header that lies from costing memory; the process that reads
strangers' files has limits of its own besides.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.corruption_info import Corrupted
from radii.rs_core.data.decompression import DecompressionCounter
from radii.rs_core.data.ignored_files import SkippedMembers
from radii.rs_core.data.memmap import ConcatenatedFiles
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.exception_text import first_line
from radii.rs_core.specs.fields import UNKNOWN_LABEL as UNKNOWN_LABEL

Shape = tuple[int, int, int]

MAX_IMAGES = 10_000_000
MAX_BYTES = 16 * 2**30
"""Of all images together, unpacked, where nobody set another limit."""
MAX_SIDE = 4096
MAX_CLASSES = 100_000
MAX_CLASS_NAME = 200
"""Characters of one class name."""
MAX_CLASS_NAMES_TEXT = 2**19
"""Characters of all class names of a dataset or model together."""
CHUNK = 2**20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A data set from outside: ``shape`` is (C, H, W), ``dtype`` that of the stored pixels (uint8 or float32)."""

    format: str
    count: int
    shape: Shape
    num_classes: int
    class_names: tuple[str, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class DatasetArrays:
    """What a format's reader returns: images (N, C, H, W) uint8 or float32, and labels (N,) of any integer type.

    ``class_names`` is ``None`` where the format has none; ``corrupted`` is what it says of corrupted images; ``skipped`` are
    hidden and system entries of an archive, which were not read.
    """

    images: NDArray[Any] | ConcatenatedFiles
    labels: NDArray[Any]
    class_names: tuple[str, ...] | None = None
    corrupted: Corrupted | None = None
    skipped: SkippedMembers | None = None


def check_files(paths: Sequence[Path]) -> None:
    """At least one path, and a file at each."""
    if not paths:
        raise InvalidDataset(expected="at least one file", got="none")
    for path in paths:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing there"
            raise InvalidDataset(expected="a file", got=found, where=str(path))


def byte_limit(limit: float | None) -> float:
    """A limit on the bytes of all images, ``MAX_BYTES`` where it was not set."""
    return MAX_BYTES if limit is None else limit


def check_size(count: int, shape: Shape, item_size: int, where: str, limit: float | None = None) -> None:
    """Refuses an empty set and one beyond the limits (see :func:`byte_limit`), before anything is allocated."""
    if count < 1 or min(shape) < 1:
        raise InvalidDataset(expected="at least one image", got=f"{count} images of shape {shape}", where=where)
    most = byte_limit(limit)
    if count > MAX_IMAGES or max(shape) > MAX_SIDE or count * prod(shape) * item_size > most:
        raise InvalidDataset(
            expected=f"at most {MAX_IMAGES:,} images of side {MAX_SIDE:,}, {most // 2**20:,} MiB together",
            got=f"{count:,} images of shape {shape}, {count * prod(shape) * item_size // 2**20:,} MiB",
            where=where,
        )


def check_counts(images: int, labels: int, where: str) -> None:
    """One label per image."""
    if images != labels:
        raise InvalidDataset(expected=f"{images:,} labels, one per image", got=f"{labels:,}", where=where)


def classes(
    labels: NDArray[Any], class_names: Sequence[str] | None, where: str, *, least: int = 0
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The labels as int64 and the names of all classes; without names the classes are 0 to the largest label.

    Labels must be integers from ``least``, below the number of names where there are names; there must be two classes or
    more.
    """
    limit = MAX_CLASSES if class_names is None else len(class_names)
    check_labels(labels, limit, where, least=least)
    high = int(labels.max())
    names = tuple(str(label) for label in range(high + 1)) if class_names is None else check_names(class_names, where)
    if len(names) < 2:
        raise InvalidDataset(
            expected="at least two classes, or the names of all of them",
            got="one class, and no class names" if class_names is None else f"one class, {names[0]!r}",
            where=where,
        )
    return labels.astype(np.int64), names


def check_labels(labels: NDArray[Any], limit: int, where: str, *, least: int = 0) -> None:
    """Raises :class:`InvalidDataset` unless labels are integers from ``least`` to ``limit`` - 1; ``least`` is
    ``UNKNOWN_LABEL`` where images may come without one."""
    if labels.dtype.kind not in "iu":
        raise InvalidDataset(expected="labels of an integer type", got=str(labels.dtype), where=where)
    if not labels.size:
        raise InvalidDataset(expected="at least one label", got="none", where=where)
    low, high = int(labels.min()), int(labels.max())
    if low < least or high >= limit:
        raise InvalidDataset(
            expected=f"labels from {max(0, least)} to {limit - 1:,}",
            got=f"labels from {low} to {high}, the first outside at index {_first_outside(labels, least, limit)}",
            where=where,
        )


def check_names(class_names: Sequence[str], where: str) -> tuple[str, ...]:
    """Checks class names: printable, and bounded in their number, in the length of each and in all.

    Raises:
        InvalidDataset: A bound is exceeded, or a name has characters that cannot be shown.
    """
    wrong = [name for name in class_names if not (0 < len(name) <= MAX_CLASS_NAME and name.isprintable())]
    if wrong or len(class_names) > MAX_CLASSES:
        raise InvalidDataset(
            expected=f"at most {MAX_CLASSES:,} class names of 1 to {MAX_CLASS_NAME} printable characters",
            got=f"{len(class_names):,} names" + (f", one of them {wrong[0][:50]!r}" if wrong else ""),
            where=where,
        )
    if (text := sum(map(len, class_names))) > MAX_CLASS_NAMES_TEXT:
        expected = f"class names of at most {MAX_CLASS_NAMES_TEXT:,} characters together"
        raise InvalidDataset(expected=expected, got=f"{text:,} characters; shorten the names", where=where)
    return tuple(str(name) for name in class_names)


def check_once(names: Sequence[str], where: str) -> None:
    """Refuses an archive in which two files have one name, of which readers would take different ones."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidDataset(expected="each file once", got=f"{twice[0][:100]!r} twice", where=where)


def content(path: Path, limit: int) -> bytes:
    """The file's bytes, unpacked where it is gzipped; :class:`InvalidDataset` beyond ``limit`` and where broken."""
    return b"".join(_chunks(path, limit))


def check_unpacked(path: Path, limit: int) -> None:
    """The same refusals as :func:`content`, without holding the bytes."""
    for _ in _chunks(path, limit):
        pass


def _chunks(path: Path, limit: int) -> Iterator[bytes]:
    unpacked = DecompressionCounter(path)
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            while chunk := file.read(CHUNK):
                if unpacked.count + len(chunk) > limit:
                    raise InvalidDataset(expected=f"at most {limit:,} bytes, unpacked", got="more", where=path.name)
                unpacked.add(len(chunk))
                yield chunk
    except (EOFError, OSError, zlib.error) as error:
        raise InvalidDataset(
            expected="a whole gzip file", got=f"a broken one ({first_line(error)})", where=path.name
        ) from None


def head(path: Path, size: int) -> bytes:
    """The first ``size`` bytes, unpacked where the file is gzipped; fewer where there are no more, or broken ones."""
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            return file.read(size)
    except (EOFError, OSError, zlib.error):
        return b""


def is_gzip(path: Path) -> bool:
    """Whether the file starts as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def one(paths: Sequence[Path], kind: str) -> Path:
    """The only path of a format that is one file."""
    if len(paths) != 1:
        raise InvalidDataset(
            expected=f"one {kind}", got=f"{len(paths)} files", where=", ".join(p.name for p in paths[:5])
        )
    return paths[0]


def listed(names: Sequence[str], most: int = 5) -> str:
    """At most ``most`` of the names, their beginnings, in printable characters, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(repr(name[:100])[1:-1] for name in names[:most]) + more


def _first_outside(labels: NDArray[Any], least: int, limit: int) -> int:
    return int(np.flatnonzero((labels < least) | (labels >= limit))[0])
