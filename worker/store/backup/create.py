"""A copy of everything: the database as it is at one moment, and the blobs that it names.

The database is copied first, then its blobs; they never change, and while the backup runs none is deleted
(``blobs.gc_locks``). The manifest comes last, with the hash of the database's copy: a folder without one is no backup. Every
blob is compared with its name, which is its hash, on the way: a file that has rotted is told, in the backup and not on the
day of need.

``restore`` is the way back.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, make_url, select
from sqlalchemy.orm import Session

from radii.rs_core.errors import OperationError
from radii.worker.settings import Settings, sqlite_url
from radii.worker.store import schema_version as schema
from radii.worker.store.backup import restore_marker
from radii.worker.store.blobs import blob_files as blobs
from radii.worker.store.blobs import gc_locks
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity, misplaced_database
from radii.worker.store.folder.permissions import denied, private_files
from radii.worker.store.models.tables import Blob, Checkpoint, Dataset

MANIFEST = "backup.json"
SQLITE, POSTGRES = "radii.db", "radii.pgdump"
PIECE = 2**20
ASKED = 500
"""Files whose owners are asked for."""


class CannotCopy(OperationError):
    """The backup or restore cannot be made."""

    title = "The backup or restore cannot be made."


@dataclass(frozen=True, kw_only=True)
class BackupContents:
    """What was copied; ``damaged`` and ``missing`` are blobs that the database names and that could not be; ``owners`` says
    of these what they belong to, where a data set or checkpoint does."""

    schema: str
    blobs: int
    size: int
    damaged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)


def back_up(settings: Settings, target: Path) -> BackupContents:
    """Copies database and blobs into the new folder ``target``, also while the service runs. Raises :class:`CannotCopy`."""
    restore_marker.check(settings)
    misplaced_database.check(settings)
    _check_places(settings, target)
    with private_files(settings):
        return _backed_up(settings, target)


def _backed_up(settings: Settings, target: Path) -> BackupContents:
    database = Database(settings.url)
    try:
        revision = schema.current(database.engine)
        if revision is None:
            raise CannotCopy("expected a database with tables, got an empty one")
        folder_identity.check(settings, database)
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(0o777 & ~denied(settings))
        with gc_locks.hold(settings.blobs, database):
            file, wanted = _copy_database(database, settings, target)
            size, damaged, missing = copy_blobs(settings.blobs, target / "blobs", wanted)
        owners = owners_of(database, [*damaged, *missing])
    finally:
        database.close()
    count = len(wanted) - len(damaged) - len(missing)
    manifest = {"schema": revision, "made": time.time(), "blobs": count, "size": size}
    _write_manifest(target, manifest | {"database": {"file": file.name, "sha256": sync(file)}})
    lacking = {"damaged": tuple(damaged), "missing": tuple(missing)}
    return BackupContents(schema=revision, blobs=count, size=size, owners=owners, **lacking)


def _check_places(settings: Settings, target: Path) -> None:
    """Whatever can be seen to be wrong before anything is made."""
    hint = "is it the one of RADII_DATA (or --data)?"
    if not settings.data.is_dir():
        raise CannotCopy(f"expected a data folder, got {settings.data}, which is none: {hint}")
    file = make_url(settings.url).database if settings.url.startswith("sqlite") else None
    if file is not None and not Path(file).exists():
        raise CannotCopy(f"expected a database in {file}, got none: {hint}")
    place, blob_folder = target.resolve(), settings.blobs.resolve()
    if place == settings.data.resolve() or place.is_relative_to(blob_folder):
        raise CannotCopy(f"expected a folder apart from the data folder and its files, got {target}")
    wrong = "which is a file" if target.is_file() else "which holds something"
    if target.is_file() or (target.exists() and any(target.iterdir())):
        raise CannotCopy(f"expected a folder that is empty or not there yet, got {target}, {wrong}")


def owners_of(database: Database, names: Sequence[str]) -> dict[str, str]:
    """What blobs belong to: a data set or a checkpoint, by name and identifier; no more than anybody reads."""
    found: dict[str, str] = {}
    with database.read() as session:
        for word, table in (("data set", Dataset), ("checkpoint", Checkpoint)):
            query = select(table.sha256, table.name, table.id).where(table.sha256.in_(names[:ASKED])).order_by(table.id)
            found |= {str(sha256): f"{word} {name}, {row_id}" for sha256, name, row_id in session.execute(query)}
    return found


def named(database: Database) -> set[str]:
    """The blobs of the database."""
    with Session(database.engine) as session:
        return set(session.scalars(select(Blob.sha256)))


def copy_blobs(source: Path, target: Path, wanted: Iterable[str]) -> tuple[int, list[str], list[str]]:
    """Copies blobs from one folder to another, safe on the disk, but those that are there already and sound. Returns the
    bytes that were copied, the blobs that are damaged in ``source``, and those that it lacks."""
    size, damaged, missing = 0, [], []
    for sha256 in sorted(wanted):
        into = blobs.path_of(target, sha256)
        if into.exists() and digest_of(into) == sha256:
            continue
        part = into.with_name(into.name + ".part")
        into.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(blobs.path_of(source, sha256), part)
        except FileNotFoundError:
            part.unlink(missing_ok=True)
            missing.append(sha256)
            continue
        if sync(part) != sha256:
            part.unlink()
            damaged.append(sha256)
            continue
        size += part.stat().st_size
        part.replace(into)
        blobs.sync_folder(into.parent)
    return size, damaged, missing


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def sync(path: Path) -> str:
    """Makes sure that a file is on the disk, and reads it back: its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return digest_of(path)


def run_client(command: list[str], url: str) -> None:
    """Runs one of Postgres' client programs on the database of ``url``, whose password nobody sees in a list of processes.
    Raises :class:`CannotCopy`."""
    if shutil.which(command[0]) is None:
        raise CannotCopy(f"expected {command[0]}, of Postgres' client programs, on this machine; it is not there")
    parts = make_url(url)
    password = parts.password or parts.query.get("password")
    plain = parts.set(drivername="postgresql").difference_update_query(["password"])._replace(password=None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    command = [command[0], "--dbname", plain.render_as_string(hide_password=False), *command[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise CannotCopy(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")


def _copy_database(database: Database, settings: Settings, target: Path) -> tuple[Path, set[str]]:
    """The copy's file, and the blobs that it names (of Postgres: and some that came meanwhile)."""
    if database.engine.dialect.name == "sqlite":
        _copy_sqlite(database.engine, target / SQLITE)
        kept = Database(sqlite_url((target / SQLITE).absolute()))
        try:
            return target / SQLITE, named(kept)
        finally:
            kept.close()
    before = named(database)
    run_client(["pg_dump", "--format=custom", "--no-owner", "--file", str(target / POSTGRES)], settings.url)
    return target / POSTGRES, before | named(database)


def _copy_sqlite(engine: Engine, target: Path) -> None:
    with engine.connect() as connection, sqlite3.connect(target) as copy:
        source = connection.connection.driver_connection
        assert source is not None
        source.backup(copy)


def _write_manifest(target: Path, manifest: dict[str, object]) -> None:
    part = target / f"{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=2) + "\n")
    sync(part)
    part.replace(target / MANIFEST)
    blobs.sync_folder(target)
