"""Who may read the data folder: the user that runs radii, and its group where the operator allows it.

Blobs, the SQLite database and backups hold what users have uploaded and the hashes of their keys. A process that works on
the folder calls :func:`make_private` before it writes; its child processes inherit the umask that this sets.
"""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radii.worker.settings import Settings

log = logging.getLogger("radii.folder")

OURS = ("blobs", "compiled", "radii.db*", "*.lock", "tuning.json*", "wakeup*", "bell*", "restore.unfinished*")
"""What is made in the folder, as far as others could read it in a folder of an earlier version."""
OTHERS, GROUP_AND_OTHERS = 0o007, 0o077
"""The permission bits that are taken away."""


def denied(settings: Settings) -> int:
    """The permission bits that no file in the folder may have; also the umask that gives such files.

    Returns:
        ``0o007`` with ``RADII_GROUP_ACCESS``, else ``0o077``.
    """
    return OTHERS if settings.group_access else GROUP_AND_OTHERS


def make_private(settings: Settings) -> None:
    """Makes the data folder where there is none, sets this process's umask, and closes to others what is open to them.

    A folder that holds other things than ours keeps its own permissions; what is ours in it does not.

    Raises:
        OSError: The folder cannot be made.
    """
    os.umask(denied(settings))
    if not settings.data.exists():
        settings.data.mkdir(parents=True, exist_ok=True)
        return
    opened = [path for path in _ours(settings.data) if _open_to_others(path, settings)]
    closed = [path for path in opened if _close(path, settings)]
    if closed:
        log.warning(
            "other users of this machine could read files of the data folder; their permissions were taken away",
            extra={"folder": str(settings.data), "closed": len(closed)},
        )
    if len(closed) < len(opened):
        log.warning(
            "other users of this machine can read files of the data folder that belong to another user than this process; "
            "run `chmod -R go= FOLDER` as their owner, or set RADII_GROUP_ACCESS=true where a group shares the folder",
            extra={"folder": str(settings.data), "open": len(opened) - len(closed)},
        )


def open_to_others(settings: Settings) -> list[Path]:
    """What is ours in the folder and can be read or written by users who should not.

    Returns:
        The folder itself, or files and folders at its top level; nothing where the folder is closed, since what is below
        cannot be reached then.
    """
    if not settings.data.is_dir() or not _open_to_others(settings.data, settings):
        return []
    return [path for path in _ours(settings.data) if _open_to_others(path, settings)]


@contextmanager
def private_files(settings: Settings) -> Iterator[None]:
    """Inside the block, files that this process makes are as private as those of the data folder."""
    before = os.umask(denied(settings))
    try:
        yield
    finally:
        os.umask(before)


def _ours(folder: Path) -> list[Path]:
    """What is made in the folder, and the folder itself where it holds nothing else."""
    found = sorted({path for pattern in OURS for path in folder.glob(pattern)})
    return [folder, *found] if len(found) == len(list(folder.iterdir())) else found


def _open_to_others(path: Path, settings: Settings) -> bool:
    try:
        return bool(stat.S_IMODE(path.lstat().st_mode) & denied(settings)) and not path.is_symlink()
    except FileNotFoundError:
        return False


def _close(path: Path, settings: Settings) -> bool:
    try:
        path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~denied(settings))
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return True
