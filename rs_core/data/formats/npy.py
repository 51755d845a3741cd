"""A NumPy array's header, read before anything is allocated: what ``npz`` and ``cifar10c`` have in common. Torch-free.

An array of Python objects is recognized by its header and never read: reading one means running a pickle.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from radii.rs_core.data.memmap import FileRegion
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.exception_text import first_line

MAGIC = b"\x93NUMPY"
MAX_HEADER = 2**17
"""Bytes of a header; NumPy itself accepts 10,000 characters."""


@dataclass(frozen=True)
class ArrayHeader:
    """What an array's header says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool = False


class ByteReader(Protocol):
    """What an array is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes."""


class _Beginning:
    """A stream that ends after the longest header: NumPy reads as many bytes as a header announces before it judges them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, MAX_HEADER

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes."""
        data = self._stream.read(min(self._left if size < 0 else size, self._left))
        self._left -= len(data)
        return data


def read_header(file: IO[bytes], name: str, where: str) -> ArrayHeader:
    """The header of the array called ``name``, which ``file`` stands at the start of; ``file`` is left behind it.

    Raises :class:`InvalidDataset` where it is none, or that of an array of Python objects.
    """
    try:
        beginning = _Beginning(file)
        version = npy.read_magic(beginning)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(beginning)
    except Exception as error:  # NumPy parses the text as Python, which raises what the text leads it to
        raise InvalidDataset(
            expected=f"an array {name!r} with a .npy header", got=first_line(error)[:200], where=where
        ) from None
    if dtype.hasobject:
        raise InvalidDataset(
            expected="arrays of numbers", got=f"an array {name!r} of Python objects, which is a pickle", where=where
        )
    return ArrayHeader(shape, dtype, fortran_order)


def read_array(stream: ByteReader) -> NDArray[Any]:
    """The array that a stream holds; an array of Python objects raises ``ValueError``."""
    return np.asarray(npy.read_array(stream, allow_pickle=False))


def place_of(path: Path) -> FileRegion:
    """Where the array of a .npy file lies in it, to be mapped; the only place that opens this format.

    Raises :class:`InvalidDataset` for what :func:`read_header` refuses, for an array in Fortran's order, and for a file that
    is shorter or longer than its header says.
    """
    with path.open("rb") as file:
        found = read_header(file, path.stem, path.name)
        offset = file.tell()
    if found.fortran_order and len(found.shape) > 1:
        raise InvalidDataset(expected="an array in C order", got="one in Fortran order", where=path.name)
    size, wanted = path.stat().st_size - offset, prod(found.shape) * found.dtype.itemsize
    if size != wanted:
        raise InvalidDataset(
            expected=f"{wanted:,} bytes of an array of shape {found.shape}, as its header says",
            got=f"{size:,}",
            where=path.name,
        )
    return FileRegion(path=path.absolute(), dtype=found.dtype.str, offset=offset, shape=found.shape)
