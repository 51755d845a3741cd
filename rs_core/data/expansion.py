"""How much a compressed file may grow when it is unpacked: one rule for every archive and image. Torch-free.

Deflate shrinks zeros a thousandfold, so that a file of one megabyte can ask for a gigabyte of memory, disk and time. Honest
images shrink by a factor below 20. A file may unpack to :data:`MAX_RATIO` times its size; a small one to :data:`FREE` bytes
in any case, so that a few blank images are no reason to refuse it. The bytes are counted as they come, since a directory
or a header can lie.
"""

import zipfile
import zlib
from pathlib import Path

from rs_core.causes import first_line
from rs_core.errors import InvalidDataset

MAX_RATIO = 200
FREE = 64 * 2**20
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


def read_member(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    """A member of a zip, in no more memory than its directory announces, and with its checksum verified.

    ``ZipFile.read`` unpacks the whole stream and then cuts it to the announced size: a stream that is longer than it says
    takes all the memory that it needs.

    Raises:
        InvalidDataset: The member is damaged, encrypted, or not as long as the directory says.
    """
    try:
        info = archive.getinfo(name)
        with archive.open(info) as file:
            content = file.read(info.file_size)
            file.read(1)  # reaches the end, where the checksum is compared
    except BROKEN as error:
        raise InvalidDataset(
            expected=f"{name[:200]!r} as the directory of the zip describes it",
            got=f"a broken file ({first_line(error)})"[:300],
            where=where,
        ) from None
    if len(content) != info.file_size:
        raise InvalidDataset(
            expected=f"{info.file_size:,} bytes in {name[:200]!r}, as the directory of the zip says",
            got=f"{len(content):,}",
            where=where,
        )
    return content
