"""Runs one shard in a child process: sends the task, commits results, and decides which failures count against the shard.

Every commit checks the fence. A session that has lost its lease writes nothing more, and a child whose lease cannot be renewed is
killed even while the loop is blocked (``lease_watchdog``).
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from radii.rs_core.errors import BeyondStorage, MissingFile, RadiiError, StorageUsedUp, no_room
from radii.rs_core.exception_text import cause_of
from radii.worker import task_message
from radii.worker.child.handle import Child, ChildEnded, Message
from radii.worker.commit import GOES_ON, PendingResults, ShardEnding, abandon, write
from radii.worker.kinds import registry
from radii.worker.lease_watchdog import LeaseWatchdog
from radii.worker.processes.child_output import describe
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import counters, resources, shards, urgent_jobs
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.folder_identity import DataFolderMissing, WrongFolder
from radii.worker.store.shards import Claim, LeaseLost

T = TypeVar("T")

log = logging.getLogger("radii.worker")

LAST = ("done", "failed", "stopped")
"""Types of the message that ends a shard."""
URGENT_POLL = 0.25
"""Seconds between two queries for an urgent shard, while another one is in work; and as long this one is worked on first."""
BETWEEN_TURNS = 0.1
"""Seconds between two commits of an urgent shard, which comes to a turn's end every few milliseconds at first."""
LEASE_SHARE = 2 / 3
"""Of a lease after which, without a renewal, nothing more is tried."""


class ShardAbandoned(LeaseLost):
    """Nothing more is to be written, though nobody has refused it yet."""


class ShardHandedBack(Exception):
    """The shard is to be handed back before its child has begun with it."""


class Slot(Protocol):
    """What a shard's way through a child needs of the place where it is worked on; ``radii.worker.loop.WorkerSlot`` has more."""

    settings: Settings
    database: Database
    stop: threading.Event
    environment: dict[str, Any]
    child: Child | None

    def tick(self) -> None:
        """Does what must not wait for the end of the shard."""

    def drop_child(self) -> None:
        """Ends the child, so that the next shard gets a new one."""

    def count(self, name: str) -> None:
        """Adds one to a counter of the metrics; nothing is counted while the database is away."""


class ShardSession:
    """One shard's way through a child."""

    def __init__(self, slot: Slot, claim: Claim, child: Child) -> None:
        self.slot, self.claim, self.child = slot, claim, child
        self.settings, self.database = slot.settings, slot.database
        self.kind = registry.KINDS[claim.kind]
        self.pending = PendingResults(kind=self.kind)
        self.committed = self.begun = time.monotonic()
        self.progressed = False
        self.turn, self.looked, self.making_way = claim.turn, self.begun, False
        self.stopping_since: float | None = None
        self.watchdog = LeaseWatchdog(child, self.settings.lease * LEASE_SHARE, lambda: self.committed)

    def run(self) -> None:
        """Sends the task and commits what comes back, until the shard is done, handed back, lost or failed."""
        with self.watchdog:
            self._run()

    def _run(self) -> None:
        try:
            task_message.require_files(self.database, self.settings, self.claim)
            task = task_message.task(self.database, self.settings, self.claim, beat=self._beat)
            self.pending.resumed = task_message.resumed(task)
            self.child.heard = time.monotonic()
            self.child.send(task)
            last = self._listen()
        except ShardHandedBack:
            self._commit(ShardEnding(release=True))
            return
        except (DataFolderMissing, WrongFolder) as error:
            self._folder_lost(error)
            return
        except RadiiError as error:
            self._failed(error.problem(), retry=False)
            return
        except OSError as error:
            self._cannot_keep(error)
            return
        except ChildEnded as ended:
            self._child_died(ended)
            return
        if last["type"] == "failed" and last.get("input"):
            self._blame("ran out of memory even with one noisy copy at a time")
            self._pause()  # what took it may be another process, and pass
        elif last["type"] == "failed" and (smaller := self._smaller(last)) is not None:
            self._commit(ShardEnding(smaller=smaller))
            self.slot.drop_child()
        elif last["type"] == "failed":
            self._failed(last["problem"], retry=last.get("retry", False), full=last.get("no_room", False))
        elif last["type"] == "done":
            self._commit(ShardEnding(done=last))
            log.info("done, as far as this turn goes" if last.get("more") else "done")
        else:
            self._commit(ShardEnding(release=True))
            log.info("handed back")

    def _smaller(self, last: Message) -> Message | None:
        """What changes in the job's execution after a child that ran out of memory; None where nothing helps, or it failed otherwise."""
        return self.kind.smaller(self.claim.spec, self.claim.execution) if last.get("out_of_memory") else None

    def _failed(self, problem: Message, *, retry: bool, full: bool = False) -> None:
        """Logs and commits what has gone wrong; where it may pass, the worker waits a little.

        Where files are missing, that is what has gone wrong, whatever the child made of it.
        """
        try:
            task_message.require_files(self.database, self.settings, self.claim)
        except (DataFolderMissing, WrongFolder) as error:
            self._folder_lost(error)
            return
        except MissingFile as error:
            problem, retry, full = error.problem(), False, False
        except SQLAlchemyError:
            pass  # the commit below says so
        self._log_failure(problem, retry=retry or full)
        self._commit(ShardEnding(no_room=problem) if full else ShardEnding(failed=problem, retry=retry))
        if retry:
            self._pause()

    def _log_failure(self, problem: Message, *, retry: bool) -> None:
        """One line about what went wrong; ``logs.about`` adds the job and the shard."""
        first = (str(problem.get("detail") or problem.get("title")).splitlines() or [""])[0]
        kind = str(problem.get("type", "")).rsplit(":", 1)[-1]
        more = {"kind": kind, "error": first[:500], "attempt": self.claim.attempt, "tried_again": retry}
        log.warning("the work failed", extra=more)

    def _folder_lost(self, error: DataFolderMissing | WrongFolder) -> None:
        """Hands the shard back: without the data folder, nothing can be said of the job."""
        log.error("handed back: %s", error)
        self.slot.drop_child()
        with contextlib.suppress(OSError):
            abandon(self.pending, None)
        self.pending.snapshots.clear()  # results need no files, and are kept
        self._commit(ShardEnding(release=True))
        self._pause()

    def _cannot_keep(self, error: OSError) -> None:
        """A file could not be made, or given its name. The child may still be working on this shard, so it is ended before the
        next one."""
        self.slot.drop_child()
        abandon(self.pending, None)
        self.pending = self.pending.emptied()
        self._failed(cannot_keep(error), retry=True, full=no_room(error))

    def _listen(self) -> Message:
        """Messages up to the last one of the shard."""
        while True:
            message = self.child.receive(timeout=min(0.2, self.settings.renewal))
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
            if time.monotonic() - self.committed >= self.settings.renewal or self._turned():
                self._commit()
            self._watch()
            self._make_way()

    def _agree(self, found: dict[str, Any]) -> None:
        """Tells the child how the job is run, which its first worker decides."""
        execution = self._write(lambda session: shards.agree(session, self.claim, found))
        self.child.send({"type": "execution", "claim": task_message.name_of(self.claim), "execution": execution})

    def _turned(self) -> bool:
        """Whether somebody waits for what is pending: the first answer of an urgent shard, or a better one."""
        if self.pending.turn is None:
            return False
        self.turn = self.pending.turn
        return not self.progressed or time.monotonic() - self.committed >= BETWEEN_TURNS

    def _make_way(self) -> None:
        """Has the child stop where an urgent shard waits that nobody is free to take, if something comes of this claim even
        so: one that is handed back again and again gets on all the same."""
        if self.stopping_since is not None or self.slot.stop.is_set():
            return  # the shard is handed back in any case, and this worker may not claim another one
        now = time.monotonic()
        if self.making_way or not self.kind.keeps_votes or now - self.looked < URGENT_POLL:
            return
        self.looked = now
        if not (self.progressed or self.pending.holds_results()):
            return
        device_type = str(self.slot.environment["device_type"])
        with contextlib.suppress(SQLAlchemyError):
            with self.database.read() as session:
                waits = urgent_jobs.waits(session, self.claim, self.turn, device_type)
            if waits:
                with self.database.write() as session:
                    self.making_way = urgent_jobs.calls(session, self.claim, self.turn, device_type)
        if self.making_way:
            log.info("makes way for an urgent job")
            self.child.send({"type": "stop"})

    def _watch(self) -> None:
        """Stops the child where it is wanted, and ends it where it does not stop or is not heard of."""
        if self.slot.stop.is_set():
            self._ask_to_stop()
        waited = time.monotonic() - self.stopping_since if self.stopping_since is not None else 0.0
        grace = self.settings.stop_grace if self.slot.stop.is_set() else self.settings.cancel_grace
        if waited > grace or self.child.silent_for() > self.settings.child_silence:
            log.info("the child did not stop in time and is ended", extra={"silent": round(self.child.silent_for(), 1)})
            self.slot.drop_child()
            raise ChildEnded(None)

    def _ask_to_stop(self) -> None:
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            if self.slot.child is not None:  # else it has been ended, and this is its last commit
                self.child.send({"type": "stop"})

    def _pause(self) -> None:
        self.slot.stop.wait(self.settings.retry_pause)

    def _commit(self, ending: ShardEnding = GOES_ON) -> None:
        """Writes what is pending, and what ends the shard."""
        done = ending.done

        def work(session: Session) -> shards.ClaimDirective:
            return write(session, self.settings, self.claim, self.pending, time.monotonic() - self.begun, ending)

        try:
            standing = self._write(work)
            if standing == "ended":
                raise ShardAbandoned(f"job {self.claim.job_id} has ended")
        except LeaseLost:
            abandon(self.pending, done)
            raise
        except (DataError, IntegrityError, ProgrammingError, StorageUsedUp, BeyondStorage) as error:
            abandon(self.pending, done)
            if ending.failed:
                raise
            self.pending = self.pending.emptied()
            self._commit(ShardEnding(failed=error.problem() if isinstance(error, RadiiError) else _refused(error)))
            return
        self.progressed = self.progressed or self.pending.holds_results()
        superseded, self.pending = self.pending.superseded, self.pending.emptied()
        self.committed = self.begun = time.monotonic()
        self._discard(superseded)
        if done:
            self._ring_for_those_that_waited()
            if done.get("more"):
                broker.wake_workers(self.settings)
        if standing == "stop" and ending == GOES_ON:
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
                if time.monotonic() - self.committed > self.settings.lease * LEASE_SHARE:
                    raise ShardAbandoned(f"no renewal of {self.claim.job_id}: {error}") from error
                log.warning("database away, trying again", extra={"error": str(error)[:300]})
                time.sleep(min(1.0, self.settings.lease / 20))

    def _discard(self, superseded: list[str]) -> None:
        """Deletes snapshots that are behind; what stays because of an error goes with the next cleaning."""
        for sha256 in superseded:
            with contextlib.suppress(SQLAlchemyError, OSError), self.database.write() as session:
                resources.discard(session, self.settings.blobs, sha256)

    def _ring_for_those_that_waited(self) -> None:
        """Wakes workers for jobs that waited for this one to succeed; housekeeping does so if the wake-up is lost."""
        with contextlib.suppress(SQLAlchemyError):
            with self.database.read() as session:
                waited = shards.awakened(session, self.claim.job_id)
            broker.wake_workers(self.settings, waited)

    def _beat(self) -> None:
        """Keeps the lease during work of the loop itself; raises :class:`ShardHandedBack` where the work is to stop."""
        self.slot.tick()
        if time.monotonic() - self.committed >= self.settings.renewal:
            self._commit()
        if self.slot.stop.is_set() or self.stopping_since is not None:
            raise ShardHandedBack

    def _child_died(self, ended: ChildEnded) -> None:
        """A child that was not asked to stop has something against the input that it was at."""
        if self.stopping_since is None:
            self._log_death(ended)
        if self.stopping_since is None and self._folder_is_lost():
            return
        if self.watchdog.killed:
            log.warning("killed: its lease was not renewed in time")
            self.slot.drop_child()
            self._commit(ShardEnding(release=True))
            return
        if self.stopping_since is None:
            self.slot.count(counters.CHILDREN_DIED)
        self._blame(describe(ended.code), killed=ended.code == -signal.SIGKILL)

    def _log_death(self, ended: ChildEnded) -> None:
        """How the child ended, what it was at, and the last lines that it wrote."""
        tail = self.child.output.tail()
        more = {"how": describe(ended.code), "at": list(self.pending.at), "attempt": self.claim.attempt}
        log.warning("child died", extra=more | ({"stderr": "\n".join(tail)} if tail else {}))

    def _folder_is_lost(self) -> bool:
        """A file that is mapped and goes away with its disk ends the child, and the input has no part in it."""
        try:
            folder_identity.check(self.settings, self.database)
        except (DataFolderMissing, WrongFolder) as error:
            self._folder_lost(error)
            return True
        except SQLAlchemyError:
            pass
        return False

    def _blame(self, how: str, *, killed: bool = False) -> None:
        """Keeps what the child had sent, counts its end against the input it was at, and hands the shard back; ``killed``
        from outside, it may have been for want of memory."""
        self.slot.drop_child()
        at = list(self.pending.at)
        held = self.progressed or self.pending.holds_results()
        self._commit()
        asked = self.stopping_since is not None
        if len(at) > 1 and not asked:
            self._commit(ShardEnding(alone=True))  # one of several inputs, and nobody knows which
        elif held or asked:
            self._commit(ShardEnding(release=True))
        else:
            self.pending.death, self.pending.killed = how, killed
            self._commit()


def unexpected(
    error: Exception, title: str = "The loop of the worker failed in a way that radii does not know."
) -> Message:
    """The problem of an error that has nothing to do with the network or the data."""
    detail = f"{cause_of(error)}."
    return {"type": "urn:radii:problem:unexpected", "title": title, "status": 500, "detail": detail}


def cannot_keep(error: OSError) -> Message:
    """The problem of files that cannot be written, or read, beside the child."""
    return unexpected(error, "The files of the job could not be kept.")


def _refused(error: Exception) -> dict[str, Any]:
    """The problem of results that the database will never take."""
    return {
        "type": "urn:radii:problem:unstorable",
        "title": "The results cannot be stored.",
        "status": 500,
        "detail": f"The database refused the results: {str(error).splitlines()[0]}"[:1000],
    }
