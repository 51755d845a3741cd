"""Images that lie in a file: rows are read when they are asked for, and nothing of the file stays in memory.

A data set may be larger than memory. Its array is a NumPy map of the file, which costs address space alone; rows are
copied by reads at their place in the file, because pages that are touched through the map count as the process's memory
until the system takes them back. A map is sent to another process as a :class:`FileRegion`, not as its bytes.
"""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 2**24


@dataclass(frozen=True, kw_only=True)
class FileRegion:
    """Where an array lies in a file, in C order: its type, its shape, and the offset of its first byte."""

    path: Path
    dtype: str
    offset: int
    shape: tuple[int, ...]

    def open(self) -> NDArray[Any]:
        """The array, mapped for reading."""
        # NumPy resolves the links of a Path, not of a string. A confined process may reach the file by its link alone.
        return np.memmap(str(self.path), self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class ConcatenatedFiles:
    """Images that lie in several files, one file after the other, as an array (N, C, H, W); in each file the channels come
    last, (n, H, W, C)."""

    places: tuple[FileRegion, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of all the files."""
        return np.dtype(self.places[0].dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        height, width, channels = self.places[0].shape[1:]
        return int(self._ends[-1]), channels, height, width

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """The images at ``indices``, which are not negative."""
        rows = np.empty((len(indices), *self.shape[1:]), dtype=self.dtype)
        files = np.searchsorted(self._ends, indices, side="right")
        for file in np.unique(files).tolist():
            here, part = files == file, self.places[file]
            first = int(self._ends[file]) - part.shape[0]
            rows[here] = take(part.open(), indices[here] - first).transpose(0, 3, 1, 2)
        return rows

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([place.shape[0] for place in self.places])


def place(array: NDArray[Any] | ConcatenatedFiles) -> FileRegion | None:
    """Where a whole mapped file's array lies; ``None`` for arrays in memory and for parts of a map."""
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap) or array.filename is None:
        return None
    return FileRegion(path=Path(array.filename), dtype=array.dtype.str, offset=array.offset, shape=array.shape)


def take(array: NDArray[Any] | ConcatenatedFiles, indices: NDArray[np.int64]) -> NDArray[Any]:
    """A copy of ``array[indices]``, for an array of two axes or more; ``IndexError`` where an index is outside."""
    found = place(array)
    if found is None and not isinstance(array, ConcatenatedFiles):
        return np.asarray(np.take(array, indices, axis=0))  # in C order, whatever the strides of the source are
    outside = indices[(indices < -len(array)) | (indices >= len(array))]
    if outside.size:
        raise IndexError(f"index {outside[0]} is outside of {len(array):,} rows")
    if found is None or isinstance(array, ConcatenatedFiles):
        return array.take(indices % len(array))
    rows = np.empty((len(indices), *array.shape[1:]), dtype=array.dtype)
    size = int(array[:1].nbytes)
    starts = [found.offset + size * int(index) for index in indices % len(array)]
    with found.path.open("rb", buffering=0) as file:
        for start in starts:
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_WILLNEED)
        for row, start in zip(rows, starts, strict=True):
            _fill(file.fileno(), memoryview(row.reshape(-1)).cast("B"), start, found.path)
    return rows


def chunks(array: NDArray[Any] | ConcatenatedFiles) -> Iterator[bytes]:
    """The array's bytes in C order, little-endian, a few megabytes at a time; of a map, by reads of its file."""
    rows = max(1, CHUNK // max(1, prod(array.shape[1:]) * array.dtype.itemsize))
    for start in range(0, len(array), rows):
        stop = min(start + rows, len(array))
        if isinstance(array, ConcatenatedFiles) or place(array) is not None:
            part = take(array, np.arange(start, stop))
        else:
            part = array[start:stop]
        yield np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes()


def _fill(descriptor: int, buffer: memoryview, start: int, path: Path) -> None:
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], start + done)
        if count == 0:
            raise OSError(f"{path} ends at byte {start + done:,}, in the middle of an image: it was cut short")
        done += count
