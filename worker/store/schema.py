"""The schema's version: what the database has, what this code needs, and the way from one to the other (Alembic)."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

MIGRATIONS = Path(__file__).parents[2] / "migrations"
POSTGRES_LOCK = 7_231_113


class WrongSchema(RuntimeError):
    """The database has another schema than this version of radii works with."""

    def __init__(self, found: str | None) -> None:
        super().__init__(
            f"The database has another schema than this version of radii works with: expected {head()}, "
            f"got {found or 'none'}. Run `radii migrate` with the newer version, and use that version everywhere."
        )


def head() -> str:
    """The revision that this code needs."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head() or ""


def current(engine: Engine) -> str | None:
    """The revision that the database has; None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require(engine: Engine) -> None:
    """Raises :class:`WrongSchema` unless the database has the schema that this code needs."""
    found = current(engine)
    if found != head():
        raise WrongSchema(found)


def migrate(engine: Engine, revision: str = "head") -> None:
    """Brings the database to ``revision``, up or down ("base" is empty); several callers at once take turns."""
    with _turn(engine), engine.connect() as connection, _rebuilding(connection):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        found = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
        if found is not None and found not in known:
            raise WrongSchema(found)
        connection.rollback()
        upward = revision == "head" or (found or "") < revision != "base"
        (command.upgrade if upward else command.downgrade)(config, revision)
        connection.commit()


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
def _turn(engine: Engine) -> Iterator[None]:
    """One migration at a time: an advisory lock on Postgres, a file lock beside an SQLite database."""
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
