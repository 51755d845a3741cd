"""Records that this service is running, and notices a change of the database's schema.

``radii migrate`` sees running services by these records and refuses to change the schema. If it is changed anyway (by force, or by a
restored backup), the service answers 503 within two seconds to every request that would use the tables.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from radii.service.api.problems import answer_error
from radii.service.errors import OtherSchema
from radii.worker.backoff import RepeatedMessages
from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.clock import clock
from radii.worker.store.database import Database, new_id
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.folder_identity import DataFolderMissing, Folder, WrongFolder
from radii.worker.store.models.tables import Worker
from radii.worker.store.queue_stats import SERVICE

log = logging.getLogger("radii.service")

POLL_SECONDS = 2.0
"""Seconds between two looks at the schema."""
FOR_OPERATORS = ("/healthz", "/readyz", "/metrics", "/version")


class ServiceHeartbeat:
    """What a service knows of its database's schema: ``found`` is the revision that is there, where it is another one."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self.found: str | None = None
        self._folder: Folder | None = None
        self._repeats = RepeatedMessages()

    def compare_folder(self) -> None:
        """Raises ``DataFolderMissing`` or ``WrongFolder`` where the data folder is not that of the database."""
        if self._folder is not None:
            folder_identity.compare(self._settings, self._folder)

    @contextmanager
    def seen(self, *, shown: bool = True) -> Iterator[None]:
        """For as long as the block lasts, a thread looks at the schema and, with ``shown``, lists the service in the database."""
        stop = threading.Event()
        thread = threading.Thread(target=self._stay, args=(new_id("service") if shown else None, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5.0)

    def _stay(self, row_id: str | None, stop: threading.Event) -> None:
        shown = float("-inf")
        while not stop.is_set():
            self._tried(self._compare)
            self._tried(self._look_at_folder)
            if (
                row_id is not None
                and self.found is None
                and time.monotonic() - shown >= self._settings.housekeeping_seconds
            ):
                shown = time.monotonic()
                self._tried(lambda: self._show(row_id))
            stop.wait(POLL_SECONDS)
        if row_id is not None and self.found is None:
            self._tried(lambda: self._leave(row_id))

    def _compare(self) -> None:
        found = schema_version.current(self._database.engine) or "none"
        if found == schema_version.head():
            self.found = None
        elif self.found != found:
            self.found = found
            log.error("the database has another schema", extra={"found": found, "expected": schema_version.head()})

    def _look_at_folder(self) -> None:
        if self.found is not None:
            return
        with self._database.read() as session:
            self._folder = folder_identity.known(session)
        try:
            self.compare_folder()
        except (DataFolderMissing, WrongFolder) as error:
            if self._repeats.worth_logging(str(error)):
                log.error("%s", error, extra={"times": self._repeats.count})
        else:
            self._repeats.reset()

    def _show(self, row_id: str) -> None:
        with self._database.write() as session:
            row = session.get(Worker, row_id) or Worker(id=row_id, host=socket.gethostname(), pid=os.getpid())
            row.seen, row.info = clock(), {"role": SERVICE, "schema": schema_version.head()}
            session.add(row)

    def _leave(self, row_id: str) -> None:
        with self._database.write() as session:
            session.execute(delete(Worker).where(Worker.id == row_id))

    def _tried(self, act: Callable[[], None]) -> None:
        """A database that is away is told by those who need it; the next try is soon, whatever went wrong."""
        try:
            act()
        except SQLAlchemyError as error:
            log.debug("not seen: %s", error)
        except Exception as error:
            log.warning("not seen", extra={"error": f"{type(error).__name__}: {error}"[:300]})


class SameSchema:
    """ASGI middleware that answers 503 while the database has another schema."""

    def __init__(self, app: ASGIApp, *, heartbeat: ServiceHeartbeat) -> None:
        self.app, self._heartbeat = app, heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._heartbeat.found
        if scope["type"] != "http" or found is None or scope["path"] in FOR_OPERATORS:
            await self.app(scope, receive, send)
            return
        error = OtherSchema(
            expected=f"a database of schema {schema_version.head()}",
            got=f"one of {found}: start the version that it belongs to",
        )
        await answer_error(Request(scope), error)(scope, receive, send)
