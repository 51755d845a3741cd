"""Claim, drive a child, commit: the same for every kind of job, embedded or under Celery. Loads no torch.

One ``Slot`` is one place where work can be done (a GPU, or some cores), with at most one child. The loop renews the
shard's lease while the child is heard of, writes its results in small transactions that check the fence, and ends the
child when it must. Where the loop itself loses its lease it writes nothing more.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from rs_core.errors import RadiiError
from rs_core.models import table as architectures
from worker import assignment, broker, logs
from worker.commit import Pending, abandon, write
from worker.process import Child, ChildEnded, Message, describe
from worker.settings import Settings
from worker.store import counters, schema, shards
from worker.store.clock import clock
from worker.store.session import Database, new_id
from worker.store.shards import Claim, LeaseLost
from worker.store.tables import Worker

T = TypeVar("T")

log = logging.getLogger("radii.worker")

PRECISION = "fp32"
LAST = ("done", "failed", "stopped", "smaller")
"""Types of the message that ends a shard."""
REFUSED = 3
"""Return code of a worker process that cannot work here; it is not to be started again."""


class CannotStart(RuntimeError):
    """A child process did not come up: the worker cannot do any work on this machine."""


class GivenUp(LeaseLost):
    """Nothing more is to be written, though nobody has refused it yet."""


class HandedBack(Exception):
    """The shard is to be handed back before its child has begun with it."""


@dataclass
class Slot:
    """One place where work is done. ``stop`` asks it to hand back its shard and return."""

    settings: Settings
    database: Database
    stop: threading.Event = field(default_factory=threading.Event)
    id: str = field(default_factory=lambda: new_id("worker"))
    environment: dict[str, Any] = field(default_factory=dict)
    child: Child | None = None
    idle_since: float = field(default_factory=time.monotonic)
    tick: Callable[[], None] = lambda: None
    """Called now and then, also while a shard is in work: sweeping and being seen must not wait for its end."""

    def work_once(self) -> bool:
        """Does one shard, if there is one to do; True where there was.

        The child is started before the claim: a lease is not to run out while a child loads its libraries.
        """
        if self.environment and not self._waiting():
            self._cool_down()
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
            )
        if claim is None:
            return False
        with logs.about(job=claim.job_id, shard=claim.number):
            self._work_on(claim, child)
        return True

    def _work_on(self, claim: Claim, child: Child) -> None:
        log.info("claimed", extra={"attempt": claim.attempt})
        try:
            Drive(self, claim, child).run()
        except LeaseLost as error:
            log.warning("lease lost", extra={"why": str(error)})
            self.drop_child()
            if not isinstance(error, GivenUp):
                self.count(counters.WRITES_REFUSED)
        finally:
            self.idle_since = time.monotonic()

    def drop_child(self) -> None:
        """Ends the child, if there is one."""
        if self.child is not None:
            self.child.end()
            self.child = None

    def register(self) -> None:
        """Writes, or renews, the row by which the worker is seen."""
        with self.database.write() as session:
            row = session.get(Worker, self.id)
            if row is None:
                row = Worker(id=self.id, host=socket.gethostname(), pid=os.getpid())
                session.add(row)
            row.seen, row.info = clock(), self.environment | {"schema": schema.head()}

    def start(self) -> None:
        """Checks the schema and that a child comes up; raises ``schema.WrongSchema`` or :class:`CannotStart`."""
        schema.require(self.database.engine)
        try:
            architectures.use(self.settings.architectures)
        except RadiiError as error:
            raise CannotStart(f"the file of RADII_ARCHITECTURES cannot be used: {error}") from None
        self._ready_child()
        self.register()

    def _ready_child(self) -> Child:
        """The warm child, or a new one once it has said that it is ready."""
        if self.child is not None and self.child.alive():
            return self.child
        self.drop_child()
        self.child = Child(self.settings)
        try:
            hello = self.child.receive(self.settings.child_start)
        except ChildEnded as ended:
            raise CannotStart(f"the worker's child process {describe(ended.code)} when it started") from None
        if hello is None:
            self.drop_child()
            raise CannotStart(f"the worker's child process was not ready in {self.settings.child_start:.0f} s")
        self.environment = {"provenance": hello["provenance"], "device_type": hello["device_type"]}
        return self.child

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


class Drive:
    """One shard's way through a child."""

    def __init__(self, slot: Slot, claim: Claim, child: Child) -> None:
        self.slot, self.claim, self.child = slot, claim, child
        self.settings, self.database = slot.settings, slot.database
        self.pending = Pending()
        self.committed = self.begun = time.monotonic()
        self.progressed = False
        self.stopping_since: float | None = None

    def run(self) -> None:
        """Sends the task and commits what comes back, until the shard is done, handed back, lost or failed."""
        try:
            task = assignment.task(self.database, self.settings, self.claim, beat=self._beat)
            self.pending.resumed = assignment.resumed(task)
            self.child.heard = time.monotonic()
            self.child.send(task)
            last = self._listen()
        except HandedBack:
            self._commit(release=True)
            return
        except RadiiError as error:
            self._commit(failed=error.problem())
            return
        except OSError as error:
            self._commit(failed=_cannot_prepare(error), retry=True)
            self.slot.stop.wait(self.settings.retry_pause)
            return
        except ChildEnded as ended:
            self._child_died(ended)
            return
        if last["type"] == "failed" and last.get("input"):
            self._blame("ran out of memory even with one noisy copy at a time")
        elif last["type"] == "smaller":
            self._commit(smaller=last["forward_batch"])
            self.slot.drop_child()
        elif last["type"] == "failed":
            self._commit(failed=last["problem"], retry=last.get("retry", False))
            if last.get("retry"):
                self.slot.stop.wait(self.settings.retry_pause)
        elif last["type"] == "done":
            self._commit(done=last)
        else:
            self._commit(release=True)

    def _listen(self) -> Message:
        """Messages up to the last one of the shard."""
        while True:
            message = self.child.receive(timeout=min(0.2, self.settings.commit))
            if message is not None:
                if message["type"] in LAST:
                    return message
                if message["type"] == "tuned":
                    self._agree(message["execution"])
                elif message["type"] == "memory":
                    self.slot.environment["memory"] = message["memory"]
                else:
                    self.pending.add(message)
            self.slot.tick()
            if time.monotonic() - self.committed >= self.settings.commit:
                self._commit()
            self._watch()

    def _agree(self, found: dict[str, Any]) -> None:
        """Tells the child how the job is run, which its first worker decides."""
        execution = self._write(lambda session: shards.agree(session, self.claim, found))
        self.child.send({"type": "execution", "claim": assignment.name_of(self.claim), "execution": execution})

    def _watch(self) -> None:
        """Stops the child where it is wanted, and ends it where it does not stop or is not heard of."""
        if self.slot.stop.is_set():
            self._ask_to_stop()
        waited = time.monotonic() - self.stopping_since if self.stopping_since is not None else 0.0
        if waited > self.settings.cancel_grace or self.child.silent_for() > self.settings.child_silence:
            log.warning("child ended", extra={"silent": self.child.silent_for()})
            self.slot.drop_child()
            raise ChildEnded(None)

    def _ask_to_stop(self) -> None:
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            self.child.send({"type": "stop"})

    def _commit(
        self,
        *,
        done: Message | None = None,
        failed: dict[str, Any] | None = None,
        retry: bool = False,
        release: bool = False,
        alone: bool = False,
        smaller: int | None = None,
    ) -> None:
        """Writes what is pending, and what ends the shard."""
        try:
            standing = self._write(
                lambda session: write(
                    session,
                    self.settings,
                    self.claim,
                    self.pending,
                    time.monotonic() - self.begun,
                    done=done,
                    failed=failed,
                    retry=retry,
                    release=release,
                    alone=alone,
                    smaller=smaller,
                )
            )
            if standing == "ended":
                raise GivenUp(f"job {self.claim.job_id} has ended")
        except LeaseLost:
            abandon(self.pending, done)
            raise
        except (DataError, IntegrityError, ProgrammingError) as error:
            abandon(self.pending, done)
            if failed:
                raise
            self.pending = self.pending.emptied()
            self._commit(failed=_refused(error))
            return
        self.progressed = self.progressed or self.pending.holds_results()
        self.pending = self.pending.emptied()
        self.committed = self.begun = time.monotonic()
        if done:
            self._ring_for_those_that_waited()
            if done.get("more"):
                broker.ring(self.settings)
        if standing == "stop" and not (done or failed or release or alone or smaller):
            self._ask_to_stop()

    def _write(self, work: Callable[[Session], T]) -> T:
        """One transaction; a database that is away is asked again until two thirds of the lease are over."""
        while True:
            try:
                with self.database.write() as session:
                    return work(session)
            except (LeaseLost, DataError, IntegrityError, ProgrammingError):
                raise
            except SQLAlchemyError as error:
                if time.monotonic() - self.committed > self.settings.lease * 2 / 3:
                    raise GivenUp(f"no renewal of {self.claim.job_id}: {error}") from error
                log.warning("database away, trying again", extra={"error": str(error)[:300]})
                time.sleep(min(1.0, self.settings.lease / 20))

    def _ring_for_those_that_waited(self) -> None:
        """What could not be claimed until this job had succeeded; where that is not heard, the sweep rings."""
        with contextlib.suppress(SQLAlchemyError):
            with self.database.read() as session:
                waited = shards.awakened(session, self.claim.job_id)
            broker.ring(self.settings, waited)

    def _beat(self) -> None:
        """Keeps the lease during work of the loop itself; raises :class:`HandedBack` where the work is to stop."""
        self.slot.tick()
        if time.monotonic() - self.committed >= self.settings.commit:
            self._commit()
        if self.slot.stop.is_set() or self.stopping_since is not None:
            raise HandedBack

    def _child_died(self, ended: ChildEnded) -> None:
        """A child that was not asked to stop has something against the input that it was at."""
        log.warning("child died", extra={"how": describe(ended.code), "at": list(self.pending.at)})
        if self.stopping_since is None:
            self.slot.count(counters.CHILDREN_DIED)
        self._blame(describe(ended.code))

    def _blame(self, how: str) -> None:
        """Keeps what the child had sent, counts its end against the input it was at, and hands the shard back."""
        self.slot.drop_child()
        asked = self.stopping_since is not None
        at = list(self.pending.at)
        held = self.progressed or self.pending.holds_results()
        self._commit()
        if len(at) > 1 and not asked:
            self._commit(alone=True)  # one of several inputs, and nobody knows which
        elif held or asked:
            self._commit(release=True)
        else:
            self.pending.death = how
            self._commit()


def _cannot_prepare(error: OSError) -> dict[str, Any]:
    """The problem of files that cannot be written, or read, before a child can begin."""
    return {
        "type": "urn:radii:problem:unexpected",
        "title": "The files of the job could not be prepared.",
        "status": 500,
        "detail": f"{type(error).__name__}: {error}"[:2000],
    }


def _refused(error: Exception) -> dict[str, Any]:
    """The problem of results that the database will never take."""
    return {
        "type": "urn:radii:problem:unstorable",
        "title": "The results cannot be stored.",
        "status": 500,
        "detail": f"The database refused the results: {str(error).splitlines()[0]}"[:1000],
    }


def end(slot: Slot) -> None:
    """The slot's last act: no child and no row stay behind."""
    slot.drop_child()
    with contextlib.suppress(SQLAlchemyError), slot.database.write() as session:
        row = session.get(Worker, slot.id)
        if row is not None:
            session.delete(row)
