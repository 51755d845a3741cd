"""Images that lie in a file: rows are read when they are asked for, and nothing of the file stays in memory.

A data set may be larger than memory. Its array is a NumPy map of the file, which costs address space alone; rows are
copied by reads at their place in the file, because pages that are touched through the map count as the process's memory
until the system takes them back. A map is sent to another process as a :class:`Place`, not as its bytes.
"""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 2**24


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an array lies in a file, in C order: its type, its shape, and the offset of its first byte."""

    path: Path
    dtype: str
    offset: int
    shape: tuple[int, ...]

    def open(self) -> NDArray[Any]:
        """The array, mapped for reading."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def place(array: NDArray[Any]) -> Place | None:
    """Where a whole mapped file's array lies; ``None`` for arrays in memory and for parts of a map."""
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap) or array.filename is None:
        return None
    return Place(path=Path(array.filename), dtype=array.dtype.str, offset=array.offset, shape=array.shape)


def take(array: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    """A copy of ``array[indices]``, for an array of two axes or more; ``IndexError`` where an index is outside."""
    found = place(array)
    if found is None:
        return np.asarray(np.take(array, indices, axis=0))  # in C order, whatever the strides of the source are
    outside = indices[(indices < -len(array)) | (indices >= len(array))]
    if outside.size:
        raise IndexError(f"index {outside[0]} is outside of {len(array):,} rows")
    rows = np.empty((len(indices), *array.shape[1:]), dtype=array.dtype)
    size = int(array[:1].nbytes)
    starts = [found.offset + size * int(index) for index in indices % len(array)]
    with found.path.open("rb", buffering=0) as file:
        for start in starts:
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_WILLNEED)
        for row, start in zip(rows, starts, strict=True):
            _fill(file.fileno(), memoryview(row.reshape(-1)).cast("B"), start, found.path)
    return rows


def chunks(array: NDArray[Any]) -> Iterator[bytes]:
    """The array's bytes in C order, little-endian, a few megabytes at a time; of a map, by reads of its file."""
    rows = max(1, CHUNK // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        stop = min(start + rows, len(array))
        part = array[start:stop] if place(array) is None else take(array, np.arange(start, stop))
        yield np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes()


def _fill(descriptor: int, buffer: memoryview, start: int, path: Path) -> None:
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], start + done)
        if count == 0:
            raise OSError(f"{path} ends at byte {start + done:,}, in the middle of an image: it was cut short")
        done += count
