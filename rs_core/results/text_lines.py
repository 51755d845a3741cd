"""Lines of text files from strangers, read one by one within bounds. Torch-free."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radii.rs_core.errors import InvalidResults


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a results file; ``None``: no bound.

    Attributes:
        size: Bytes of the file.
        rows: Rows in it.
        line: Bytes of one line.
    """

    size: int | None = None
    rows: int | None = None
    line: int = 2**16


def raw_lines(path: Path, name: str, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """Reads the lines of a file.

    Args:
        path: The file.
        name: What errors call it.
        limits: Bounds of the file.

    Yields:
        Where each line begins in the file, and its bytes with their end.

    Raises:
        InvalidResults: The file cannot be read, is too large, or has a line that is too long.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if limits.size is not None and size > limits.size:
                expected = f"a file of at most {limits.size:,} bytes"
                raise InvalidResults(expected=expected, got=f"{size:,} bytes", where=name)
            start = 0
            while line := file.readline(limits.line + 1):
                if len(line) > limits.line:
                    got = f"a longer one, from byte {start:,} on: {line[:60]!r}..."
                    raise InvalidResults(expected=f"lines of at most {limits.line:,} bytes", got=got, where=name)
                yield start, line
                start += len(line)
    except OSError as error:
        raise InvalidResults(expected="a readable file", got=str(error.strerror), where=name) from None


def check_rows(rows: int, limits: Limits, name: str) -> None:
    """Refuses a file with more rows than allowed."""
    if limits.rows is not None and rows > limits.rows:
        raise InvalidResults(expected=f"at most {limits.rows:,} rows", got="more", where=name)


def shown(text: str) -> str:
    """Text of a file as an error may repeat it."""
    return repr(text if len(text) <= 100 else text[:100] + "...")
