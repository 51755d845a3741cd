"""Claim, drive a child, commit: the same for every kind of job, embedded or under Celery. Loads no torch.

One ``WorkerSlot`` is one place where work can be done (a GPU, or some cores), with at most one child. ``shard_session`` runs
a claimed shard in the child.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from radii.rs_core.errors import OperationError, RadiiError
from radii.rs_core.models import registry as architectures
from radii.worker import logs
from radii.worker.backoff import Backoff, RepeatedMessages
from radii.worker.child.handle import Child, ChildEnded
from radii.worker.isolation import availability
from radii.worker.processes.child_output import describe, last_words, why_not_started
from radii.worker.settings import Settings
from radii.worker.shard_session import ShardAbandoned, ShardSession, unexpected
from radii.worker.store import counters, schema_version, shards, start_failures
from radii.worker.store.clock import clock
from radii.worker.store.database import Database, new_id
from radii.worker.store.folder import folder_identity, misplaced_database
from radii.worker.store.folder.folder_identity import DataFolderMissing, Folder, WrongFolder
from radii.worker.store.models.tables import Worker
from radii.worker.store.shards import Claim, LeaseLost

log = logging.getLogger("radii.worker")

PRECISION = "fp32"
AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""What a database that is away raises: it tells nothing of the shard."""
LONGEST_AHEAD = 10.0
"""Seconds of urgent shards after which a worker takes another one first, so that those wait, but not for ever."""
REFUSED = 3
"""Return code of a worker process that cannot work here; it is not to be started again."""


class CannotStart(OperationError):
    """A child process did not come up: the worker cannot do any work on this machine."""

    title = "A child process did not come up: the worker cannot do any work on this machine."
    status = 503


@dataclass
class WorkerSlot:
    """One place where work is done. ``stop`` asks it to hand back its shard and return."""

    settings: Settings
    database: Database
    stop: threading.Event = field(default_factory=threading.Event)
    id: str = field(default_factory=lambda: new_id("worker"))
    environment: dict[str, Any] = field(default_factory=dict)
    child: Child | None = None
    idle_since: float = field(default_factory=time.monotonic)
    tick: Callable[[], None] = lambda: None
    """Called regularly, also during work on a shard: recording that the worker is alive must not wait for its end."""
    ahead: float = 0.0
    """Seconds of urgent shards since the last other one."""
    folder: Folder | None = None
    """The data folder of the database, once the slot has started."""
    paused: str | None = None
    """Why the slot takes no shards for now: a data folder that is away, or a child that does not come up."""
    folder_error: DataFolderMissing | WrongFolder | None = None
    repeats: RepeatedMessages = field(default_factory=RepeatedMessages)
    backoff: Backoff = field(default_factory=Backoff)
    next_start: float = float("-inf")
    """When a child is started again that did not come up."""

    def work_once(self) -> bool:
        """Does one shard, if there is one to do; True where there was.

        The child is started before the claim: a lease is not to run out while a child loads its libraries.
        """
        self._cool_down()  # first: a database that is away is no reason to keep a device's memory
        if self.environment and not self._waiting():
            return False
        if time.monotonic() < self.next_start or not self.folder_is_there():
            return False
        child = self._ready_child()
        if self.stop.is_set():
            return False
        with self.database.write() as session:
            claim = shards.claim(
                session,
                lease=self.settings.lease,
                device_type=self.environment["device_type"],
                execution={"precision": PRECISION, "threads": self._threads(), "device_type": self._device_type()},
                provenance=self.environment["provenance"],
                others_first=self.ahead >= LONGEST_AHEAD,
            )
        if claim is None:
            return False
        begun = time.monotonic()
        with logs.about(job=claim.job_id, shard=claim.number):
            self._work_on(claim, child)
        self.ahead = self.ahead + time.monotonic() - begun if claim.urgent else 0.0
        return True

    def _work_on(self, claim: Claim, child: Child) -> None:
        log.info("claimed", extra={"attempt": claim.attempt})
        try:
            ShardSession(self, claim, child).run()
        except LeaseLost as error:
            log.warning("lease lost", extra={"why": str(error)})
            self.drop_child()
            if not isinstance(error, ShardAbandoned):
                self.count(counters.WRITES_REFUSED)
        except AWAY:
            self.drop_child()
            raise
        except Exception as error:
            log.exception("the loop could not work on a shard")
            self.drop_child()
            self._lose(claim, error)
        finally:
            self.idle_since = time.monotonic()

    def _lose(self, claim: Claim, error: Exception) -> None:
        """Hands back a shard that the loop itself failed at; where it always does, the job ends with what is wrong."""
        with contextlib.suppress(LeaseLost), self.database.write() as session:
            shards.lose(session, claim, unexpected(error))
        self.stop.wait(self.settings.retry_pause)

    def drop_child(self) -> None:
        """Ends the child, if there is one."""
        if self.child is not None:
            self.child.end()
            self.child = None
            self.environment.pop("memory", None)

    def folder_is_there(self) -> bool:
        """Compares the data folder with the database's; while it is another one or away, the slot takes no shards."""
        if self.folder is None:
            return True
        try:
            folder_identity.compare(self.settings, self.folder)
        except (DataFolderMissing, WrongFolder) as error:
            self.folder_error = error
            self.pause(str(error))
            return False
        if self.folder_error is not None:
            self.folder_error = None
            self.go_on()
        return True

    def pause(self, why: str) -> None:
        """Notes and logs why no shards are taken, less often each time."""
        self.paused = why
        if self.repeats.worth_logging(why):
            log.error("no shards are taken for now: %s", why, extra={"times": self.repeats.count})

    def go_on(self) -> None:
        """Shards are taken again."""
        if self.paused is not None:
            log.info("shards are taken again")
        self.paused = None
        self.repeats.reset()

    def register(self) -> None:
        """Writes, or renews, the row by which the worker is seen."""
        with self.database.write() as session:
            row = session.get(Worker, self.id)
            if row is None:
                row = Worker(id=self.id, host=socket.gethostname(), pid=os.getpid())
                session.add(row)
            paused = {"paused": self.paused} if self.paused is not None else {}
            row.seen, row.info = clock(), self.environment | {"schema": schema_version.head()} | paused
            start_failures.forget(session, self.settings.worker_number)

    def start(self) -> None:
        """Checks the schema, the data folder and that a child comes up. Raises ``WrongSchema``, ``WrongFolder``, ``DataFolderMissing``
        or :class:`CannotStart`."""
        misplaced_database.check(self.settings)
        schema_version.require(self.database.engine)
        self.folder = folder_identity.bind(self.settings, self.database)
        try:
            architectures.use(self.settings.architectures)
        except RadiiError as error:
            raise CannotStart(f"the file of RADII_ARCHITECTURES cannot be used: {error}") from None
        availability.log_missing_soon(self.settings.sandbox_uid)
        self._ready_child()
        with contextlib.suppress(OperationalError):  # the next round does it
            self.register()

    def _ready_child(self) -> Child:
        """The warm child, or a new one once it has said that it is ready."""
        if self.child is not None and self.child.alive():
            return self.child
        self._log_idle_end()
        self.drop_child()
        self.child = Child(self.settings)
        try:
            hello = self.child.receive(self.settings.child_start)
        except ChildEnded as ended:
            raise self._not_started(why_not_started(describe(ended.code), self.child.output.tail())) from None
        if hello is None:
            limit = f"was not ready in {self.settings.child_start:g} s (RADII_CHILD_START)"
            self.child.kill()
            raise self._not_started(why_not_started(limit, self.child.output.tail()))
        self.child.output.release()
        self.backoff.reset()
        if self.paused is not None:
            self.go_on()
        self.environment = {"provenance": hello["provenance"], "device_type": hello["device_type"]}
        return self.child

    def _log_idle_end(self) -> None:
        """Logs how the warm child ended, if there was one: it was at no shard whose report would say so."""
        if self.child is not None:
            said = last_words(self.child.output.tail())
            log.warning("the idle child %s", describe(self.child.code()), extra={"stderr": said} if said else {})

    def _not_started(self, why: str) -> CannotStart:
        """Notes when a child is started again, and makes the sentence."""
        self.drop_child()
        self.next_start = time.monotonic() + self.backoff.pause()
        return CannotStart(f"No work can be done here: {why}.")

    def count(self, name: str) -> None:
        """Counts a mishap; where the database is away, it stays uncounted."""
        with contextlib.suppress(SQLAlchemyError), self.database.write() as session:
            counters.add(session, name)

    def _waiting(self) -> bool:
        with self.database.read() as session:
            return shards.waiting(session, self._device_type())

    def _cool_down(self) -> None:
        if self.child is not None and time.monotonic() - self.idle_since > self.settings.keep_warm:
            self.drop_child()

    def _threads(self) -> int:
        share = (os.cpu_count() or 1) // max(1, self.settings.local_workers)
        return self.settings.threads or max(1, share)

    def _device_type(self) -> str:
        return str(self.environment["device_type"])


def end(slot: WorkerSlot) -> None:
    """The slot's last act: no child and no row stay behind."""
    slot.drop_child()
    with contextlib.suppress(SQLAlchemyError), slot.database.write() as session:
        row = session.get(Worker, slot.id)
        if row is not None:
            session.delete(row)
