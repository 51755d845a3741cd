"""A copy of everything: the database as it is at one moment, and the blobs that it names.

The database is copied first. Blobs never change and are deleted an hour after nothing refers to them any more, so that those
that the copy names are still there when it is their turn. Every blob is compared with its name, which is its hash, on the
way: a file that has rotted is told, in the backup and not on the day of need.
"""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, inspect, make_url, select
from sqlalchemy.orm import Session

from worker.settings import Settings
from worker.store import blobs, schema
from worker.store.session import Database
from worker.store.tables import Blob

MANIFEST = "backup.json"
SQLITE, POSTGRES = "radii.db", "radii.pgdump"
PIECE = 2**20


class CannotCopy(Exception):
    """A backup or restore cannot be made; the message says why, and what was expected."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What was copied; ``damaged`` and ``missing`` are blobs that the database names and that could not be."""

    schema: str
    blobs: int
    size: int
    damaged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def back_up(settings: Settings, target: Path) -> Copied:
    """Copies database and blobs into the new folder ``target``, also while the service runs. Raises :class:`CannotCopy`."""
    if target.exists() and any(target.iterdir()):
        raise CannotCopy(f"expected a folder that is empty or not there yet, got {target}, which holds something")
    target.mkdir(parents=True, exist_ok=True)
    database = Database(settings.url)
    try:
        revision = schema.current(database.engine)
        if revision is None:
            raise CannotCopy("expected a database with tables, got an empty one")
        before = _named(database)
        if database.engine.dialect.name == "sqlite":
            _copy_sqlite(database.engine, target / SQLITE)
            kept = Database(f"sqlite:///{(target / SQLITE).absolute()}")
            try:
                wanted = _named(kept)
            finally:
                kept.close()
        else:
            _run(["pg_dump", "--format=custom", "--no-owner", "--file", str(target / POSTGRES), _libpq(settings.url)])
            wanted = before | _named(database)
    finally:
        database.close()
    copied = _copy_blobs(settings.blobs, target / "blobs", wanted, revision)
    manifest = {"schema": revision, "made": time.time(), "blobs": copied.blobs, "size": copied.size}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return copied


def restore(settings: Settings, source: Path) -> Copied:
    """Brings a backup into an empty place: no tables in the database, and its blobs beside those that are there. Jobs that
    were in work go on where the backup has them. Raises :class:`CannotCopy`."""
    try:
        revision = json.loads((source / MANIFEST).read_text())["schema"]
    except (OSError, ValueError, KeyError):
        raise CannotCopy(f"expected a folder that `radii backup` has made, got {source}") from None
    if revision > schema.head():
        raise CannotCopy(
            f"expected a backup of schema {schema.head()} or older, got one of {revision}: use its version"
        )
    settings.data.mkdir(parents=True, exist_ok=True)
    database = Database(settings.url)
    try:
        if inspect(database.engine).get_table_names():
            raise CannotCopy("expected a database without tables, got one that has some")
        if database.engine.dialect.name == "sqlite":
            _put_sqlite(source / SQLITE, database.engine)
        else:
            if not (source / POSTGRES).exists():
                raise CannotCopy(f"expected a backup of a Postgres database ({POSTGRES}), got one of SQLite")
            _run(
                [
                    "pg_restore",
                    "--no-owner",
                    "--exit-on-error",
                    "--dbname",
                    _libpq(settings.url),
                    str(source / POSTGRES),
                ]
            )
        wanted = _named(database)
    finally:
        database.close()
    return _copy_blobs(source / "blobs", settings.blobs, wanted, revision)


def _named(database: Database) -> dict[str, int]:
    """The blobs of the database and their sizes."""
    with Session(database.engine) as session:
        return {sha256: size for sha256, size in session.execute(select(Blob.sha256, Blob.size))}


def _copy_sqlite(engine: Engine, target: Path) -> None:
    with engine.connect() as connection, sqlite3.connect(target) as copy:
        source = connection.connection.driver_connection
        assert source is not None
        source.backup(copy)


def _put_sqlite(source: Path, engine: Engine) -> None:
    if not source.exists():
        raise CannotCopy(f"expected a backup of an SQLite database ({SQLITE}), got one of Postgres")
    with sqlite3.connect(source) as kept, engine.connect() as connection:
        target = connection.connection.driver_connection
        assert target is not None
        kept.backup(target)


def _copy_blobs(source: Path, target: Path, wanted: dict[str, int], revision: str) -> Copied:
    damaged, missing, size = [], [], 0
    for sha256 in sorted(wanted):
        into = blobs.path_of(target, sha256)
        if into.exists():
            continue
        part = into.with_name(into.name + ".part")
        into.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with part.open("wb") as file:
                for piece in _pieces(blobs.path_of(source, sha256)):
                    digest.update(piece)
                    file.write(piece)
                    size += len(piece)
        except FileNotFoundError:
            part.unlink(missing_ok=True)
            missing.append(sha256)
            continue
        if digest.hexdigest() != sha256:
            part.unlink()
            damaged.append(sha256)
            continue
        part.replace(into)
    count = len(wanted) - len(damaged) - len(missing)
    return Copied(schema=revision, blobs=count, size=size, damaged=tuple(damaged), missing=tuple(missing))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _run(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise CannotCopy(f"expected {command[0]}, of Postgres' client programs, on this machine; it is not there")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotCopy(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")


def _libpq(url: str) -> str:
    """The URL as Postgres' own programs read it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
