"""An SQLite database that an earlier version put outside the data folder.

That version built the database's URL by pasting the path of the data folder into it. SQLAlchemy decodes ``%41`` in a URL and
takes ``?`` for the beginning of its query, so the file went to another path. This version uses the path as it is, and would
start with an empty database where the old one has all jobs and keys: it refuses instead.
"""

import shlex
from pathlib import Path

from sqlalchemy import make_url

from radii.worker.settings import Settings, sqlite_url
from radii.worker.store.folder.folder_identity import FILE, WrongFolder

MAGIC = b"SQLite format 3\0"
COMPANIONS = ("", "-wal", "-shm")
"""Endings of the files that SQLite keeps of one database; the last two only while it is in use, or after a crash."""


class MisplacedDatabase(WrongFolder):
    """The database of an earlier version lies outside the data folder."""

    title = "The database of an earlier version lies outside the data folder."

    def __init__(self, old: Path, right: Path) -> None:
        found = [(Path(f"{old}{ending}"), Path(f"{right}{ending}")) for ending in COMPANIONS]
        moves = [shlex.join(["mv", str(a), str(b)]) for a, b in found if a.exists()]
        super().__init__(
            f"The database of an earlier version lies outside the data folder: expected {right}, got {old}, which is where "
            f"that version put it because of % or ? in RADII_DATA. End all services and workers, then move it with "
            f"`{' && '.join(moves)}`. To start with an empty database instead, set RADII_DATABASE_URL to "
            f"{sqlite_url(right)}."
        )


def check(settings: Settings) -> None:
    """Raises :class:`MisplacedDatabase` where the data folder has no database and an earlier version put it elsewhere."""
    right = settings.data.absolute() / "radii.db"
    if settings.database_url is None and not right.exists() and (old := _former_path(right)) is not None:
        raise MisplacedDatabase(old, right)


def _former_path(right: Path) -> Path | None:
    """Where an earlier version put the database of this path, if that is another one and a database lies there. One in a data
    folder of its own belongs to that folder."""
    try:
        old = Path(make_url(f"sqlite:///{right}").database or right)
        if old == right or (old.parent / FILE).exists():
            return None
        with old.open("rb") as file:
            return old if file.read(len(MAGIC)) == MAGIC else None
    except (OSError, ValueError):  # ValueError: a path with a zero byte
        return None
