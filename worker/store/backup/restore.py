"""Restores a backup (``create``) into an empty database; its blobs are added to those that are there.

The copy of the database is compared with its hash before anything is written. Blobs come first and the database last, all
of it or nothing, so that a restore that was cut off is simply run again: blobs that are there already are read, compared and
kept. While it runs, a marker file is in the data folder (``restore_marker``), and nothing else starts there.
"""

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, inspect, text

from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.backup import restore_marker
from radii.worker.store.backup.create import (
    MANIFEST,
    POSTGRES,
    SQLITE,
    BackupContents,
    CannotCopy,
    copy_blobs,
    digest_of,
    named,
    owners_of,
    run_client,
    sync,
)
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.permissions import make_private

T = TypeVar("T")

AGAIN = "Run it again when that is mended: the database is as empty as before, and files that were copied stay"


def restore(settings: Settings, source: Path) -> BackupContents:
    """Brings a backup into an empty place: nothing in the database, but what a restore that was cut off has brought, and its
    blobs beside those that are there. Jobs that were in work go on where the backup has them; its workers and services are
    not seen here. Raises :class:`CannotCopy`."""
    manifest = _manifest(source)
    _check_schema(manifest["schema"])
    dump = _sound_database(source, manifest, sqlite=settings.url.startswith("sqlite"))
    make_private(settings)
    database = Database(settings.url)
    try:
        _check_place(settings, database.engine)
        _or_again(lambda: restore_marker.begin(settings, database.engine, source))
        there = _files(source)
        size, damaged, _ = _or_again(lambda: copy_blobs(source / "blobs", settings.blobs, there))
        _or_again(lambda: _put_database(dump, database.engine, settings))
        _forget_workers(database)
        wanted = named(database)
        # The backup lacks these; the folder may still have them.
        _, _, missing = copy_blobs(source / "blobs", settings.blobs, wanted - there)
        damaged = [sha256 for sha256 in damaged if sha256 in wanted]
        owners = owners_of(database, [*damaged, *missing])
        _own_identity(settings, database)
        restore_marker.end(settings)
    finally:
        database.close()
    count = len(wanted) - len(damaged) - len(missing)
    lacking = {"damaged": tuple(damaged), "missing": tuple(missing)}
    return BackupContents(schema=manifest["schema"], blobs=count, size=size, owners=owners, **lacking)


def _check_place(settings: Settings, engine: Engine) -> None:
    """The database is empty, which one that has gone down to nothing is, too, or a restore that was cut off has filled it."""
    tables = set(inspect(engine).get_table_names())
    empty = tables <= {schema_version.VERSION_TABLE} and schema_version.current(engine) is None
    if not empty and not restore_marker.left(settings, engine):
        raise CannotCopy(
            "expected a database without tables, got one that has some: name another folder (RADII_DATA) or an empty "
            "database (RADII_DATABASE_URL)"
        )


def _own_identity(settings: Settings, database: Database) -> None:
    """What was restored is a service of its own: processes that still run on the original, or on another database with this
    folder, must not mix with it. A backup of an older schema gets its identity when it is brought to the present one."""
    if schema_version.current(database.engine) == schema_version.head():
        folder_identity.bind(settings, database, adopt=True)
    else:
        (settings.data / folder_identity.FILE).unlink(missing_ok=True)


def _forget_workers(database: Database) -> None:
    with database.write() as session:
        session.execute(text("DELETE FROM worker"))


def _manifest(source: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((source / MANIFEST).read_text())
        return found | {"schema": str(found["schema"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise CannotCopy(f"expected a folder that `radii backup` has made to its end, got {source}") from None


def _check_schema(revision: str) -> None:
    if revision > schema_version.head():
        raise CannotCopy(
            f"expected a backup of schema {schema_version.head()} or older, got one of {revision}: use its version"
        )


def _sound_database(source: Path, manifest: dict[str, Any], *, sqlite: bool) -> Path:
    """The copy of the database, which is of the right kind and as it was written (older backups have no hash of it)."""
    dump = source / (SQLITE if sqlite else POSTGRES)
    if not dump.exists():
        raise CannotCopy(_of_another_kind(source, dump.name, sqlite=sqlite))
    announced = manifest.get("database", {}).get("sha256")
    if announced is not None and (found := digest_of(dump)) != announced:
        raise CannotCopy(
            f"expected {dump.name} of SHA-256 {announced}, as {MANIFEST} says, got {found}: it has been damaged since, and "
            "nothing was restored of it; use another backup"
        )
    return dump


def _of_another_kind(source: Path, expected: str, *, sqlite: bool) -> str:
    if not (source / (POSTGRES if sqlite else SQLITE)).exists():
        return f"expected {expected} in {source}, as `radii backup` writes it, got a backup without that file"
    if sqlite:
        return "this is a backup of Postgres: set RADII_DATABASE_URL to an empty database of it"
    return "this is a backup of SQLite: leave RADII_DATABASE_URL unset"


def _files(source: Path) -> set[str]:
    """The blobs that the backup has."""
    return {path.name for path in (source / "blobs").glob("??/*") if re.fullmatch("[0-9a-f]{64}", path.name)}


def _or_again(act: Callable[[], T]) -> T:
    try:
        return act()
    except (OSError, sqlite3.Error, CannotCopy) as error:
        raise CannotCopy(f"{error}. {AGAIN}") from None


def _put_database(dump: Path, engine: Engine, settings: Settings) -> None:
    if engine.dialect.name != "sqlite":
        again = ["--clean", "--if-exists"] if inspect(engine).get_table_names() else []
        run_client(["pg_restore", "--no-owner", "--single-transaction", *again, str(dump)], settings.url)
        return
    # One transaction of SQLite's: cut off, it leaves the database as it was.
    uri = f"{dump.absolute().as_uri()}?mode=ro&immutable=1"
    with sqlite3.connect(uri, uri=True) as kept, engine.connect() as connection:
        target = connection.connection.driver_connection
        assert target is not None
        kept.backup(target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = Path(str(engine.url.database))
    sync(path)
    blob_files.sync_folder(path.parent)
