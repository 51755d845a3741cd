"""The identity of the data folder: a file in the folder and a row in the database hold the same random identifier.

Services and workers that share a database must share its files, too. Each compares the two identifiers before it works and
repeatedly while it runs: with another folder every job would fail on missing files, and cleaning would delete the files of the
folder's owner.

The database decides which folder it is. The first process that finds neither row nor file writes the row (not confirmed),
then the file, then confirms the row, under the lock of migrations: other processes wait meanwhile, and the next process after a
crash continues from what it finds. A database and a folder of an older version have no identity yet: they are taken to belong together
where the files that the database names are there.

A copy of a folder has the identity of the original. That is right for a copy with a database of its own. Where a copy is used
with the database of the original, files that only the original has are reported as missing, one by one (``MissingFile``).
"""

import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect, make_url, select
from sqlalchemy.orm import Session

from radii.rs_core.errors import OperationError
from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database, new_id
from radii.worker.store.models.tables import Blob, DataFolder

FILE = "radii-folder.json"
ONLY = 1
"""Number of the only row."""
COMPARED = 1_000
"""Blobs whose files are looked for where no identity tells."""


class DataFolderMissing(OperationError):
    """The data folder of the database is not there."""

    title = "The data folder of the database is not there."
    status = 503


class WrongFolder(OperationError):
    """The data folder is not the one of the database."""

    title = "The data folder is not the one of the database."
    status = 503


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What the database knows of its folder: the identifier, and where the folder was first used."""

    id: str
    path: str
    host: str

    def __str__(self) -> str:
        return f"{self.id} (first used as {self.path} on {self.host})"


def known(session: Session) -> Folder | None:
    """The folder that the database belongs to; None where it has none yet, or where the schema is older."""
    if not inspect(session.connection()).has_table(DataFolder.__tablename__):
        return None
    row = session.get(DataFolder, ONLY)
    return Folder(id=row.id, path=row.path, host=row.host) if row is not None and row.confirmed else None


def compare(settings: Settings, expected: Folder) -> None:
    """Raises :class:`DataFolderMissing` where the folder has no identity or cannot be read, :class:`WrongFolder` where it is another
    one."""
    found = _read(settings.data, expected)
    if found is None:
        raise DataFolderMissing(
            f"The data folder of the database is not there: expected {expected}, got {_shown(settings)} without the file "
            f"{FILE}. Mount the disk or the network share, or set RADII_DATA (or --data) to the folder of the database. "
            f"{_adopt(settings)}"
        )
    if found != expected.id:
        raise WrongFolder(
            f"The data folder is not the one of the database: expected {expected}, got {found} at {_shown(settings)}. Set "
            f"RADII_DATA (or --data) to the folder of the database, or RADII_DATABASE_URL to the database of the folder. "
            f"{_adopt(settings)}"
        )


def check(settings: Settings, database: Database) -> Folder | None:
    """Compares folder and database, and returns what the database knows; see :func:`compare` for what is raised."""
    with database.read() as session:
        expected = known(session)
    if expected is not None:
        compare(settings, expected)
    return expected


def bind(settings: Settings, database: Database, *, adopt: bool = False) -> Folder:
    """Makes sure that folder and database have one identity, and returns it.

    Args:
        adopt: give both a new identity, whatever they say. Other databases of the folder and other folders of the database
            are refused from then on.

    Raises:
        DataFolderMissing: The database has a folder, and this one has no identity.
        WrongFolder: The two belong to others, or the folder lacks the files that the database names.
    """
    if not adopt:
        with database.read() as session:
            expected = known(session)
        if expected is not None and _read(settings.data, expected) == expected.id:
            return expected
    with schema_version.taking_turns(database.engine):
        return _new(settings, database) if adopt else _bound(settings, database)


def _bound(settings: Settings, database: Database) -> Folder:
    """:func:`bind`, while nobody else does."""
    with database.read() as session:
        row, expected = session.get(DataFolder, ONLY), known(session)
        named, there = _witnesses(session, settings)
    if row is not None and expected is None and _read(settings.data) == row.id:  # the first start was cut off
        return _confirmed(database)
    plausible = 2 * there >= named > 0
    if expected is not None:
        if plausible or (named == 0 and _holds_database(settings)):
            _write(settings.data, expected.id)
        compare(settings, expected)
        return expected
    return _first(settings, database, named=named, there=there, plausible=plausible)


def _first(settings: Settings, database: Database, *, named: int, there: int, plausible: bool) -> Folder:
    """The first identity of a database, new or of an older version."""
    found = _read(settings.data)
    if named and not plausible:
        raise WrongFolder(
            f"The data folder is not the one of the database: expected the {named:,} files that the database names, got "
            f"{there:,} of them at {_shown(settings)}. Set RADII_DATA (or --data) to the folder of the database. "
            f"{_adopt(settings)}"
        )
    if not named and not _holds_database(settings) and (found is not None or _has_blobs(settings)):
        raise WrongFolder(
            f"The data folder belongs to another database: expected a new folder for a new database, got "
            f"{found or 'one with files'} at {_shown(settings)}. Set RADII_DATA (or --data) to a new folder, or "
            f"RADII_DATABASE_URL to the database of this one. {_adopt(settings)}"
        )
    return _new(settings, database, found)


def _new(settings: Settings, database: Database, identity: str | None = None) -> Folder:
    """Gives database and folder one identity: the row first, so that a file is never without one, then the file."""
    folder = Folder(
        id=identity or new_id("folder"), path=str(settings.data.absolute())[:4096], host=socket.gethostname()
    )
    with database.write() as session:
        row = session.get(DataFolder, ONLY) or DataFolder(number=ONLY)
        row.id, row.path, row.host, row.confirmed = folder.id, folder.path, folder.host, False
        session.add(row)
    _write(settings.data, folder.id)
    return _confirmed(database)


def _confirmed(database: Database) -> Folder:
    with database.write() as session:
        row = session.get_one(DataFolder, ONLY)
        row.confirmed = True
        return Folder(id=row.id, path=row.path, host=row.host)


def _read(folder: Path, expected: Folder | None = None) -> str | None:
    """The identity that the folder holds, or None; raises :class:`DataFolderMissing` where it cannot be read."""
    path = folder / FILE
    try:
        return str(json.loads(path.read_text())["folder"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        why = error.strerror or str(error)
    except (ValueError, KeyError, TypeError):
        why = "it is not what radii has written"
    wanted = f"expected {expected}" if expected is not None else "expected an identity"
    raise DataFolderMissing(
        f"The data folder cannot be identified: {wanted}, got {path.absolute()}, which cannot be read: {why}."
    )


def _write(folder: Path, identity: str) -> None:
    """Writes the file, at once or not at all, and safe on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.{secrets.token_hex(8)}"
    note = "The identity of this data folder. The database holds the same one. Leave this file where it is."
    with part.open("x") as file:
        file.write(json.dumps({"folder": identity, "note": note}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / FILE)
    blob_files.sync_folder(folder)


def _witnesses(session: Session, settings: Settings) -> tuple[int, int]:
    """How many files the database names, of the latest ``COMPARED``, and how many of these are in the folder."""
    names = list(session.scalars(select(Blob.sha256).order_by(Blob.created.desc()).limit(COMPARED)))
    return len(names), sum(blob_files.path_of(settings.blobs, sha256).exists() for sha256 in names)


def _has_blobs(settings: Settings) -> bool:
    return next(settings.blobs.glob("??/*"), None) is not None


def _holds_database(settings: Settings) -> bool:
    """Whether the database is the SQLite file of this very folder."""
    url = make_url(settings.url)
    file = url.database if url.get_backend_name() == "sqlite" else None
    return bool(file) and Path(str(file)).resolve().parent == settings.data.resolve()


def _shown(settings: Settings) -> str:
    return str(settings.data.absolute())


def _adopt(settings: Settings) -> str:
    return (
        f"If {_shown(settings)} is to be the folder of this database from now on, end all services and workers and run "
        "`radii migrate --adopt-folder`."
    )
