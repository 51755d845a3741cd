"""A service is seen while it runs, as workers are, and notices when its database gets another schema.

So `radii migrate` finds it. Where the schema is changed under it all the same (by force, or by a restored backup), it
answers 503 within two seconds to everything that would read or write the tables, instead of going on with the wrong ones.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import OtherSchema
from service.problems import answer_error
from worker.settings import Settings
from worker.store import schema
from worker.store.backlog import SERVICE
from worker.store.clock import clock
from worker.store.session import Database, new_id
from worker.store.tables import Worker

log = logging.getLogger("radii.service")

LOOK = 2.0
"""Seconds between two looks at the schema."""
FOR_OPERATORS = ("/healthz", "/readyz", "/metrics", "/version")


class Presence:
    """A thread that shows the service and looks at the schema; ``found`` is the revision that is wrong, where it is."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings, self._id = database, settings, new_id("service")
        self._stop, self._shown = threading.Event(), float("-inf")
        self._thread = threading.Thread(target=self._stay, daemon=True)
        self.found: str | None = None

    def start(self) -> None:
        """Begins to be seen."""
        self._thread.start()

    def close(self) -> None:
        """Is not to be seen any longer."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _stay(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(LOOK)
        if self.found is None:
            self._tried(self._leave)

    def _look(self) -> None:
        before = self.found
        self._tried(self._compare)
        if self.found is not None:
            if before is None:
                log.error("the database has another schema", extra={"found": self.found, "expected": schema.head()})
        elif time.monotonic() - self._shown >= self._settings.sweep:
            self._tried(self._show)

    def _compare(self) -> None:
        found = schema.current(self._database.engine) or "none"
        self.found = None if found == schema.head() else found

    def _show(self) -> None:
        with self._database.write() as session:
            row = session.get(Worker, self._id) or Worker(id=self._id, host=socket.gethostname(), pid=os.getpid())
            row.seen, row.info = clock(), {"role": SERVICE, "schema": schema.head()}
            session.add(row)
        self._shown = time.monotonic()

    def _leave(self) -> None:
        with self._database.write() as session:
            if row := session.get(Worker, self._id):
                session.delete(row)

    def _tried(self, act: Callable[[], None]) -> None:
        """A database that is away is told by those who need it; the next try is soon."""
        try:
            act()
        except SQLAlchemyError as error:
            log.debug("not seen: %s", error)


class SameSchema:
    """ASGI middleware that answers 503 while the database has another schema."""

    def __init__(self, app: ASGIApp, *, presence: Presence) -> None:
        self.app, self._presence = app, presence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._presence.found
        if scope["type"] != "http" or found is None or scope["path"] in FOR_OPERATORS:
            await self.app(scope, receive, send)
            return
        error = OtherSchema(
            expected=f"a database of schema {schema.head()}",
            got=f"one of {found}: start the version that it belongs to",
        )
        await answer_error(Request(scope), error)(scope, receive, send)
