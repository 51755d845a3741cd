"""How much a compressed file may grow when it is unpacked: one rule for every archive and image. Torch-free.

Deflate shrinks zeros a thousandfold, so that a file of one megabyte can ask for a gigabyte of memory, disk and time. Honest
images shrink by a factor below 20. A file may unpack to :data:`MAX_RATIO` times its size; a small one to :data:`FREE` bytes
in any case, so that a few blank images are no reason to refuse it. The bytes are counted as they come, since a directory
or a header can lie.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from radii.rs_core.errors import InvalidDataset
from radii.rs_core.exception_text import first_line

MAX_RATIO = 200
FREE = 64 * 2**20
PIECE = 2**20
"""Bytes that are unpacked before they are counted."""
BROKEN = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error)
"""What zipfile raises for an archive that is damaged, encrypted, or packed in a way it does not know."""


def most_unpacked(packed: int) -> int:
    """The bytes that a file of ``packed`` bytes may unpack to."""
    return max(FREE, MAX_RATIO * packed)


def check_expansion(unpacked: int, path: Path, *, where: str | None = None) -> None:
    """Checks a number of bytes that are unpacked, or are about to be, against the size of the file that they come from.

    Args:
        unpacked: Bytes so far, or as announced.
        path: The compressed file.
        where: What errors call the file; its name by default.

    Raises:
        InvalidDataset: The file expands beyond the rule.
    """
    packed = path.stat().st_size
    if unpacked > most_unpacked(packed):
        raise InvalidDataset(
            expected=f"a file that unpacks to at most {MAX_RATIO} times its size ({most_unpacked(packed):,} bytes; "
            f"{FREE // 2**20} MiB for a small one)",
            got=f"{packed:,} bytes that unpack to {unpacked:,} or more",
            where=where or path.name,
        )


class DecompressionCounter:
    """Counts the bytes that come out of a compressed file, and stops it at the rule.

    Args:
        path: The compressed file.
        where: What errors call the file; its name by default.
    """

    def __init__(self, path: Path, *, where: str | None = None) -> None:
        self._path, self.where, self.count = path, where or path.name, 0

    def add(self, size: int) -> None:
        """Counts bytes that have come; raises as :func:`check_expansion` does."""
        self.count += size
        check_expansion(self.count, self._path, where=self.where)


class ZipMember:
    """A member of a zip as a stream that is counted while it is read, and ends where the directory says that it does.

    Args:
        file: The opened member.
        info: Its entry in the directory.
        unpacked: The count of its archive.
    """

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo, unpacked: DecompressionCounter) -> None:
        self._file, self._info, self._unpacked = file, info, unpacked
        self._left = info.file_size

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, all that are left by default, in no more memory than that: ``ZipFile.read`` unpacks the whole
        stream, however long, and then cuts it to the announced size.

        Raises:
            InvalidDataset: The stream is damaged or shorter than the directory says, or the archive expands beyond the rule.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        pieces = []
        try:
            while wanted and (piece := self._file.read(min(wanted, PIECE))):
                self._unpacked.add(len(piece))
                self._left -= len(piece)
                wanted -= len(piece)
                pieces.append(piece)
        except BROKEN as error:
            raise _broken(self._info.filename, error, self._unpacked.where) from None
        if wanted:
            raise InvalidDataset(
                expected=f"{self._info.file_size:,} bytes in {self._info.filename[:200]!r}, as the directory of the zip says",
                got=f"{self._info.file_size - self._left:,}",
                where=self._unpacked.where,
            )
        return b"".join(pieces)

    def finish(self) -> None:
        """Reads what is left and compares the checksum; raises as :meth:`read` does."""
        while self._left:
            self.read(PIECE)
        try:
            self._file.read(1)  # the checksum is compared at the end
        except BROKEN as error:
            raise _broken(self._info.filename, error, self._unpacked.where) from None


@contextmanager
def open_member(archive: zipfile.ZipFile, name: str, unpacked: DecompressionCounter) -> Iterator[ZipMember]:
    """A member of a zip, read to its end, with its checksum, when the block ends.

    Raises:
        InvalidDataset: It is damaged, encrypted, or not as long as the directory says, or the archive expands beyond the rule.
    """
    try:
        info = archive.getinfo(name)
        file = archive.open(info)
    except BROKEN as error:
        raise _broken(name, error, unpacked.where) from None
    with file:
        member = ZipMember(file, info, unpacked)
        yield member
        member.finish()


def read_member(archive: zipfile.ZipFile, name: str, unpacked: DecompressionCounter) -> bytes:
    """All bytes of a member of a zip; raises as :func:`open_member` does."""
    with open_member(archive, name, unpacked) as member:
        return member.read()


def _broken(name: str, error: BaseException, where: str) -> InvalidDataset:
    return InvalidDataset(
        expected=f"{name[:200]!r} as the directory of the zip describes it",
        got=f"a broken file ({first_line(error)})"[:300],
        where=where,
    )
