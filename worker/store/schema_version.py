"""The schema's version: what the database has, what this code needs, and the way from one to the other (Alembic)."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Select, inspect, literal_column, select, text

from radii.rs_core.errors import OperationError
from radii.worker.settings import SEEN_AT_LEAST
from radii.worker.store.clock import clock

MIGRATIONS = Path(__file__).parents[2] / "migrations"
VERSION_TABLE = "alembic_version"
POSTGRES_LOCK = 7_231_113
HELD = {"job": "jobs", "dataset": "data sets", "checkpoint": "checkpoints", "api_key": "keys"}
"""Tables of what people have given and asked for, and the words for it."""


class WrongSchema(OperationError):
    """The database has another schema than this version of radii works with."""

    title = "The database has another schema than this version of radii works with."

    def __init__(self, found: str | None) -> None:
        super().__init__(
            f"The database has another schema than this version of radii works with: expected {head()}, "
            f"got {found or 'none'}. {way_out(found)}."
        )


class StillRunning(OperationError):
    """The schema cannot be changed under workers and services that are running."""

    title = "The schema cannot be changed under workers and services that are running."

    def __init__(self, running: list[tuple[str, int]], seen: float) -> None:
        named = ", ".join(f"process {pid} on {host}" for host, pid in running[:5])
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        super().__init__(
            f"The database is not changed under workers and services that are running: expected none, got {named}{more}, seen "
            f"in the last {seen:.0f} s. End them with SIGTERM (workers hand back what they work on, and nothing is lost); "
            f"where they were killed, try again in {seen:.0f} s."
        )


class DowngradeRefused(OperationError):
    """A database does not go down to what is none of its own or older revisions."""

    title = "A database does not go down to what is none of its own or older revisions."

    def __init__(self, found: str | None, revision: str) -> None:
        older = [each for each in revisions() if found is not None and each <= found]
        span = [older[0], *(["..."] if len(older) > 2 else []), *older[1:][-1:]] if older else []
        expected = f"one of {' '.join(span)} or base" if older else "base"
        super().__init__(f"The schema is {found or 'empty'}; to go down, expected {expected}, got {revision!r}.")


@cache
def head() -> str:
    """The revision that this code needs."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head() or ""


@cache
def revisions() -> tuple[str, ...]:
    """Every revision that this code knows, oldest first."""
    return tuple(reversed([script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]))


def way_out(found: str | None) -> str:
    """What helps where a database has another revision than this code needs."""
    if found is None:
        return "Run `radii migrate`"
    if found in revisions():
        return "Make a backup (`radii backup FOLDER`), then run `radii migrate`, and use this version everywhere"
    return "It belongs to a newer version of radii: use that one"


def current(engine: Engine) -> str | None:
    """The revision that the database has; None for an empty one.

    Asked every few seconds for as long as a process lives, by plain SQL: Alembic describes its table anew each time, and the
    engine would keep what it has compiled for each.
    """
    with engine.connect() as connection:
        return _found(connection)


def _found(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return found


def require(engine: Engine) -> None:
    """Raises :class:`WrongSchema` unless the database has the schema that this code needs."""
    found = current(engine)
    if found != head():
        raise WrongSchema(found)


def check_down(engine: Engine, revision: str) -> None:
    """Raises :class:`DowngradeRefused` unless the database can go down to ``revision``, and :class:`WrongSchema` for one of a newer
    version."""
    found = current(engine)
    if found is not None and found not in revisions():
        raise WrongSchema(found)
    if revision != "base" and (found is None or revision not in revisions() or revision > found):
        raise DowngradeRefused(found, revision)


def holdings(engine: Engine) -> dict[str, int]:
    """How many of the things that cannot be made again the database has, whatever its revision: those of which it has any."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names()) & HELD.keys()
        counts = {
            HELD[name]: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in HELD if name in tables
        }
    return {what: count for what, count in counts.items() if count}


def migrate(engine: Engine, revision: str = "head", *, force: bool = False, seen: float = SEEN_AT_LEAST) -> str | None:
    """Brings the database to ``revision``, up or down ("base" is empty), and returns the one that it had; several callers at
    once take turns.

    Raises :class:`WrongSchema` for a database of a newer version and, but with ``force``, :class:`StillRunning` where a
    worker or service was seen in the last ``seen`` seconds: what one of the other version would write next might be
    refused, and its job fail of it.
    """
    with taking_turns(engine), engine.connect() as connection, _rebuilding(connection):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # configparser interpolates
        config.attributes["connection"] = connection
        found = _found(connection)
        if found is not None and found not in revisions():
            raise WrongSchema(found)
        if not force and found not in (None, head() if revision == "head" else revision):
            running = _running(connection, seen)
            if running:
                raise StillRunning(running, seen)
        connection.rollback()
        upward = revision == "head" or (found or "") < revision != "base"
        (command.upgrade if upward else command.downgrade)(config, revision)
        connection.commit()
    return found


def require_nobody(engine: Engine, seen: float) -> None:
    """Raises :class:`StillRunning` where a worker or service was seen in the last ``seen`` seconds."""
    with engine.connect() as connection:
        running = _running(connection, seen)
    if running:
        raise StillRunning(running, seen)


def _running(connection: Connection, seen: float) -> list[tuple[str, int]]:
    """Host and process of each worker and service that was seen lately, whatever its version."""
    query: Select[Any, Any] = select(literal_column("host"), literal_column("pid")).select_from(text("worker"))
    found = connection.execute(query.where(literal_column("seen") > clock() - seen))
    return [(str(host), int(pid)) for host, pid in found]


@contextmanager
def _rebuilding(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by building it anew: with foreign keys on, dropping the old one would delete its children."""
    if connection.dialect.name != "sqlite":
        yield
        return
    sqlite = connection.connection.driver_connection
    assert sqlite is not None
    sqlite.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
        broken = sqlite.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise RuntimeError(f"the migrated database has rows that refer to nothing: {broken[:5]}")
    finally:
        connection.rollback()
        sqlite.execute("PRAGMA foreign_keys = ON")


@contextmanager
def taking_turns(engine: Engine) -> Iterator[None]:
    """Holds a lock that admits one process at a time: an advisory lock on Postgres, a file lock beside an SQLite database."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            _advisory(connection, "pg_advisory_lock")
            try:
                yield
            finally:
                _advisory(connection, "pg_advisory_unlock")
        return
    folder = Path(engine.url.database or tempfile.gettempdir()).parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "migrate.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _advisory(connection: Connection, function: str) -> None:
    connection.execute(text(f"SELECT {function}({POSTGRES_LOCK})"))
    connection.commit()
