"""Content-addressed files under one folder: put, open, delete.

A blob is named by the SHA-256 of its content, so it is never written twice and never changes. ``put`` works in two
steps, so that the file appears in the same transaction as the row that refers to it: a ``Writer`` takes the bytes
(anywhere, for as long as it lasts), ``place`` moves them to their name. A bucket can take the folder's place behind
these functions.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, kw_only=True)
class SealedBlob:
    """Bytes that are complete and on disk, but have not got their name yet."""

    sha256: str
    size: int
    path: Path


class Writer:
    """Takes a stream of bytes into a new file of the blob folder; memory does not grow with it."""

    def __init__(self, root: Path) -> None:
        (root / "new").mkdir(parents=True, exist_ok=True)
        self.path = root / "new" / secrets.token_hex(16)
        self.size = 0
        self._hash = hashlib.sha256()
        self._file = self.path.open("xb")

    def write(self, piece: bytes) -> None:
        """Adds a piece; raises OSError where the disk is full."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def seal(self) -> SealedBlob:
        """Makes sure that every byte is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return SealedBlob(sha256=self._hash.hexdigest(), size=self.size, path=self.path)

    def discard(self) -> None:
        """Forgets what was written."""
        try:
            self._file.close()
        except OSError:
            pass  # the buffer's last bytes found no room; the file goes anyway
        finally:
            self.path.unlink(missing_ok=True)


@contextmanager
def writing(root: Path) -> Iterator[Writer]:
    """A writer whose file is gone where the block raises."""
    writer = Writer(root)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise


def seal_file(path: Path) -> SealedBlob:
    """A finished file of the blob folder's ``new`` corner, hashed; it is gone where the disk cannot take it."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return SealedBlob(sha256=digest.hexdigest(), size=path.stat().st_size, path=path)


def new_path(root: Path) -> Path:
    """A name in the corner of unfinished files, for a library that writes files itself."""
    (root / "new").mkdir(parents=True, exist_ok=True)
    return root / "new" / secrets.token_hex(16)


def place(root: Path, sealed: SealedBlob) -> None:
    """Gives the file its name: at once or not at all. Doing it again, after a transaction that failed, is no error."""
    target = path_of(root, sealed.sha256)
    if target.exists() and not sealed.path.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(sealed.path, target)
    sync_folder(target.parent)


def open_blob(root: Path, sha256: str) -> BinaryIO:
    """The blob for reading; its ``name`` is a path on this machine. Raises FileNotFoundError."""
    return path_of(root, sha256).open("rb")


def local_path(root: Path, sha256: str) -> Path:
    """A path on this machine by which a library can open the blob; raises FileNotFoundError."""
    with open_blob(root, sha256) as file:
        return Path(file.name)


def delete(root: Path, sha256: str) -> None:
    """Removes the blob; it may be gone already."""
    path_of(root, sha256).unlink(missing_ok=True)


def path_of(root: Path, sha256: str) -> Path:
    """Where a blob lies: two levels, so that no folder gets large."""
    return root / sha256[:2] / sha256


def clean_new(root: Path, older_than: float, now: float) -> int:
    """Removes unfinished files that nobody has touched for ``older_than`` seconds; returns how many."""
    stale = [path for path in (root / "new").glob("*") if age_of(path, now) > older_than]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def age_of(path: Path, now: float) -> float:
    """Seconds since the file was written; 0 where it has been moved or deleted meanwhile."""
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def free_bytes(root: Path) -> int:
    """Room left on the blob folder's disk."""
    root.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(root).free


def sync_folder(folder: Path) -> None:
    """Makes sure that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
