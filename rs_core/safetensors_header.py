"""The header of a safetensors file, read by hand within limits: names, types and shapes, before any tensor is touched.

Such a file is an 8-byte little-endian length, a JSON header of that length, then the tensors' bytes. This module needs
neither torch nor the safetensors package, so a process without them can look at an upload, and every fault becomes one
sentence of the error class that the caller names. Reading and writing tensors is left to the package.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from radii.rs_core.errors import RadiiError

MAX_HEADER = 16 * 2**20
MAX_VALUES = 1_000_000
"""In a header, about: as Python objects they take a hundred times their bytes."""
MAX_AXES = 64
METADATA_KEY = "radii"
"""All our metadata is one JSON text under one key: the package does not keep the order of several."""
SYSTEM_ERROR = re.compile(r"\(os error ([0-9]{1,9})\)")

ITEM_SIZES = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2},
    **{"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8},
}


@dataclass(frozen=True, kw_only=True)
class TensorEntry:
    """One tensor: its type as the format names it, its shape, and where its bytes start and end in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class SafetensorsHeader:
    """Everything that a safetensors file says before its data."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]

    def ours(self) -> dict[str, Any] | None:
        """Our part of the metadata; ``None`` where the file was written by others."""
        try:
            body = json.loads(self.metadata[METADATA_KEY])
        except (KeyError, ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """For a block in which the package writes the file: with the permissions that this process gives its files, with what
    the system refused as an :class:`OSError`, and with no new file left behind where that happens.

    The package writes files that only their owner can read, and a service may run as another user than its workers; a full
    disk it tells of in a text.
    """
    new = not path.exists()
    path.touch()
    mode = path.stat().st_mode
    try:
        yield
    except BaseException as error:
        if new:
            path.unlink(missing_ok=True)
        if (number := system_error(str(error))) is not None:
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
    path.chmod(mode)


def system_error(message: str) -> int | None:
    """The number of the system's error, where the package says that the system has refused to write."""
    found = SYSTEM_ERROR.search(message) if "I/O error: " in message else None
    return None if found is None else int(found[1])


def metadata(body: Mapping[str, Any]) -> dict[str, str]:
    """``body`` as the metadata to write: equal bodies give equal bytes."""
    return {METADATA_KEY: json.dumps(body, sort_keys=True, allow_nan=False)}


def is_tensorfile(path: Path) -> bool:
    """Whether there is a file that starts like a safetensors file: a length, then a JSON object."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER


def read_header(path: Path, error: type[RadiiError]) -> SafetensorsHeader:
    """The header of the file; ``error`` where it is no safetensors file, is cut short, or contradicts itself."""
    body, start, size = _body(path, error)
    metadata = body.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise error(expected="metadata of texts", got=repr(metadata)[:100], where=path.name)
    tensors = {name: _entry(name, row, start, path, error) for name, row in body.items()}
    _check_layout(tensors, start, size, path, error)
    return SafetensorsHeader(tensors=tensors, metadata=metadata)


def _body(path: Path, error: type[RadiiError]) -> tuple[dict[str, Any], int, int]:
    """The JSON object, the place where the data start, and the file's size."""
    if not path.is_file():
        raise error(expected="a file", got="a folder" if path.is_dir() else "nothing there", where=str(path))
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(MAX_HEADER, size - 8):
            raise error(
                expected="a safetensors file whose header lies inside the file",
                got=f"{size:,} bytes that announce a header of {length:,}",
                where=path.name,
            )
        text = file.read(length)
    values = sum(text.count(mark) for mark in b",[{")
    if values > MAX_VALUES:
        raise error(expected=f"a header of at most {MAX_VALUES:,} values", got=f"{values:,}", where=path.name)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise error(expected="a safetensors file, its header a JSON object", got=repr(text[:40]), where=path.name)
    return body, 8 + length, size


def _entry(name: str, row: Any, start: int, path: Path, error: type[RadiiError]) -> TensorEntry:
    try:
        dtype, shape, (first, last) = row["dtype"], tuple(row["shape"]), row["data_offsets"]
        numbers_ok = len(shape) <= MAX_AXES and all(
            type(number) is int and 0 <= number < 2**63 for number in (*shape, first, last)
        )
        sound = numbers_ok and last - first == prod(shape) * ITEM_SIZES[dtype]
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise error(
            expected="for each tensor a type, a shape and as many bytes as they need",
            got=f"{name[:100]!r}: {row!r}"[:300],
            where=path.name,
        )
    return TensorEntry(dtype=dtype, shape=shape, start=start + first, end=start + last)


def _check_layout(
    tensors: Mapping[str, TensorEntry], start: int, size: int, path: Path, error: type[RadiiError]
) -> None:
    """The tensors must fill the rest of the file, side by side."""
    place = start
    for entry in sorted(tensors.values(), key=lambda entry: (entry.start, entry.end)):
        if entry.start != place:
            raise error(
                expected="tensors side by side", got=f"one that starts at byte {entry.start:,}", where=path.name
            )
        place = entry.end
    if place != size:
        raise error(
            expected=f"{place - start:,} bytes of tensors, as the header says",
            got=f"{size - start:,}, so the file is {'cut short' if size < place else 'too long'}",
            where=path.name,
        )
