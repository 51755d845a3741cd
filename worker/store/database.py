"""Connections: SQLite (WAL) and Postgres behind the same two context managers.

``read`` never commits; ``write`` commits when its block ends well. Query functions take the session that these give and
never commit themselves. On SQLite a writing transaction takes the write lock when it begins, so that it never has to be
begun again in the middle.

On Postgres nobody waits for ever: a writing transaction that stands still, as that of a frozen process or of a machine
behind a cut line does, is ended by the server after ``PATIENCE``, and with it go its locks; who waits for a lock, or for a
line that is dead, is told so after about as long. SQLite has one lock for all writers, and nobody who could take it away: a
process that is frozen between the beginning and the end of a writing transaction holds up all others until it goes on or is
killed; they get an error after ``BUSY_TIMEOUT_MS`` and try again. SQLite lets a writer that waits for its lock sleep for up
to a tenth of a second. The writers of one process therefore wait for a lock of the process first, which wakes them at once.
"""

import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from radii.rs_core.storable_text import storable

BUSY_TIMEOUT_MS = 30_000
PATIENCE = 30.0
"""Seconds for which a writing transaction may stand still, and for which another one waits for its locks."""
LINE = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
LINE |= {"tcp_user_timeout": 25_000}
"""How soon a dead connection to Postgres is noticed (seconds; the last one milliseconds), where the URL does not say."""

KINDS = ("postgresql", "postgres", "sqlite")


class Database:
    """An engine with a reading and a writing face. ``patience``: see ``PATIENCE``."""

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        self.engine = make_engine(url, patience=patience)
        self._writing = self.engine.execution_options(radii_write=True)
        self._turns = _turns_of(self.engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session whose changes are dropped."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls back where the block raises.

        On SQLite a thread must not write inside such a block by another session: it would wait for itself. That raises
        ``RuntimeError`` at once.
        """
        turn = nullcontext() if self._turns is None else self._turns.taken()
        with turn, Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


class _Turns:
    """Which thread of this process writes to one SQLite database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writer: int | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Waits for the turn; raises what SQLite raises where its lock does not come free in time."""
        if self._writer == threading.get_ident():
            raise RuntimeError("expected one writing transaction of a thread at a time, got one inside another")
        began = time.monotonic()
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))
        self._writer = threading.get_ident()
        _waited.seconds = time.monotonic() - began
        try:
            yield
        finally:
            self._writer = None
            self._lock.release()


_waited = threading.local()
"""``seconds``: how long this thread has waited for its turn, which SQLite's own wait is shortened by."""
_turns: dict[str, _Turns] = {}
"""By file: several :class:`Database` of a process may be of the same one."""
_turns_lock = threading.Lock()


def _turns_of(engine: Engine) -> _Turns | None:
    if engine.dialect.name != "sqlite":
        return None
    file = engine.url.database
    if file is None or file in ("", ":memory:"):
        return _Turns()
    with _turns_lock:
        return _turns.setdefault(os.path.realpath(file), _Turns())


def _to_json(value: Any) -> str:
    """JSON that both databases store: PostgreSQL refuses NUL and lone surrogates."""
    text = json.dumps(value)
    return json.dumps(storable(value)) if any(sign in text for sign in SUSPECT) else text


def _from_json(text: str | bytes) -> Any:
    """A stored value, without what no answer can repeat; versions before this one stored it on SQLite."""
    text = text if isinstance(text, str) else text.decode()
    value = json.loads(text)
    return storable(value) if any(sign in text for sign in SUSPECT) else value


SUSPECT = ("\\ud", "\\uD", "\\u0000")
"""In JSON of ASCII: the escapes of a surrogate, which may be one of a pair, and of NUL."""
JSON: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": _from_json}


def make_engine(url: str, *, patience: float = PATIENCE) -> Engine:
    """An engine for an ``sqlite:///`` or ``postgresql://`` URL (psycopg 3). Raises ``ArgumentError`` for any other."""
    scheme, given, _ = url.partition("://")
    if not given or scheme.partition("+")[0] not in KINDS:
        got = f"{scheme}://" if given else "one without ://"
        raise ArgumentError(f"expected a postgresql:// or sqlite:// URL, got {got}")
    if url.startswith("sqlite"):
        arguments = {"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
        engine = create_engine(url, connect_args=arguments, **JSON)
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
        return engine
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            url = "postgresql+psycopg://" + url.removeprefix(plain)
    asked = make_url(url)
    line = {name: str(value) for name, value in LINE.items() if name not in asked.query}
    asked = asked.update_query_dict(line)
    engine = create_engine(asked, pool_pre_ping=True, pool_size=10, max_overflow=20, pool_timeout=10, **JSON)
    limit = f"{max(1, round(patience * 1000))}ms"
    limits = f"SET LOCAL lock_timeout = '{limit}'; SET LOCAL idle_in_transaction_session_timeout = '{limit}'"
    event.listen(engine, "begin", lambda connection: _on_postgres_begin(connection, limits))
    return engine


def _on_sqlite_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say, in _on_sqlite_begin
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # what was answered stays answered, also where the power fails
        "foreign_keys = ON",
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _on_sqlite_begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("radii_write", False):
        connection.exec_driver_sql("BEGIN")
        return
    waited, _waited.seconds = getattr(_waited, "seconds", 0.0), 0.0
    if waited < 1.0:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {max(1, BUSY_TIMEOUT_MS - round(1000 * waited))}")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _on_postgres_begin(connection: Connection, limits: str) -> None:
    # Readers hold nobody up, and may take their time: a report of millions of rows is sent as fast as it is read.
    if connection.get_execution_options().get("radii_write", False):
        connection.exec_driver_sql(limits)


def reason(error: Exception) -> str:
    """The first line of what a database has said."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def way_out(error: Exception) -> str:
    """What helps against an error of a database, where that is known."""
    if isinstance(error, ArgumentError):
        return "set RADII_DATABASE_URL to such a URL, or leave it unset for SQLite"
    absent = re.search(r'FATAL: +database "(.+)" does not exist', str(getattr(error, "orig", None) or error))
    return f"`createdb {absent[1]}` makes it, on the server of RADII_DATABASE_URL" if absent else ""


def new_id(prefix: str) -> str:
    """A fresh identifier, sortable by the millisecond of its creation: ``job_0193...``."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"
