"""The embedded mode: the same loop in worker processes of this machine, without a broker.

``python -m radii.worker.embedded`` is one such process; it ends on SIGTERM, or when the process that started it is gone
(its standard input closes). ``EmbeddedWorkers`` starts several and starts those again that die.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from radii.rs_core.errors import OperationError
from radii.worker import library_caches, logs
from radii.worker.backoff import Backoff, RepeatedMessages
from radii.worker.housekeeping import HousekeepingThreads, WorkerHeartbeat
from radii.worker.loop import REFUSED, CannotStart, WorkerSlot, end
from radii.worker.processes import launch
from radii.worker.processes.child_output import ProcessOutput, describe, why_not_started
from radii.worker.queue.fifo import WakeupPipe
from radii.worker.settings import Settings
from radii.worker.settings_environment import environment
from radii.worker.store import start_failures
from radii.worker.store.database import Database, reason
from radii.worker.store.folder.folder_identity import DataFolderMissing, WrongFolder
from radii.worker.store.schema_version import WrongSchema

log = logging.getLogger("radii.local")

COMMAND = tuple(launch.command("radii.worker.embedded", starts_python=True))
STABLE = 60.0
"""Seconds after which a worker that ends had not failed to start: it is started again at once, as the first time."""


def run_worker(
    settings: Settings, stop: threading.Event | None = None, started: Callable[[], None] = lambda: None
) -> None:
    """Works until ``stop`` is set. Raises ``WrongSchema``, ``WrongFolder``, ``DataFolderMissing`` or ``CannotStart`` where no work can
    be done; calls ``started`` once it can."""
    slot = WorkerSlot(settings, Database(settings.url, patience=settings.patience), stop or threading.Event())
    slot.start()
    started()
    rounds = WorkerHeartbeat(slot)
    slot.tick = rounds.go_if_due
    try:
        with HousekeepingThreads(settings), WakeupPipe(settings.data) as wakeup:
            while not slot.stop.is_set():
                if not _worked(slot):
                    wakeup.wait(slot.stop, settings.poll)
    finally:
        end(slot)
    if rounds.refused is not None:
        raise rounds.refused


def _worked(slot: WorkerSlot) -> bool:
    """Whether there was something to do, and it could be tried."""
    try:
        slot.tick()
        return slot.work_once()
    except SQLAlchemyError as error:
        log.warning("database away, trying again", extra={"error": str(error)[:300]})
    except CannotStart as error:
        slot.pause(str(error))  # until its next try
    return False


class EmbeddedWorkers:
    """As many local workers as the settings say, for as long as the ``with`` block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop, self._repeats = threading.Event(), RepeatedMessages(settings.local_workers)
        self._guards = [
            threading.Thread(target=self._guard, args=(number,), daemon=True)
            for number in range(settings.local_workers)
        ]

    def __enter__(self) -> "EmbeddedWorkers":
        for guard in self._guards:
            guard.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for guard in self._guards:
            guard.join()

    def stop(self) -> None:
        """Tells them to end, and waits for nothing; the end of the block does."""
        self._stop.set()

    def any_left(self) -> bool:
        """Whether any worker is kept running; none is once each has said that it cannot work here."""
        return any(guard.is_alive() for guard in self._guards)

    def _guard(self, number: int) -> None:
        """Keeps one worker running."""
        settings = self._settings.model_copy(update={"worker_number": number})
        backoff, repeats = Backoff(), self._repeats
        while not self._stop.is_set():
            began = time.monotonic()
            why = self._one(settings)
            if why is None:
                return
            if time.monotonic() - began > STABLE:
                backoff.reset()
                repeats.reset()
            pause = backoff.pause()
            if not self._stop.is_set() and repeats.worth_logging(why):
                log.error("%s Trying again.", why, extra={"times": repeats.count, "pause": round(pause, 1)})
            self._stop.wait(pause)

    def _one(self, settings: Settings) -> str | None:
        """Runs one worker to its end: a sentence about what went wrong, or None where it is not to be started again."""
        try:
            worker = LocalWorker(settings)
        except OSError as error:
            return f"A local worker could not be started: {error}."
        while worker.runs() and not self._stop.wait(0.1):
            pass
        if worker.runs():
            worker.end(self._settings.cancel_grace)
            return None
        return worker.report(settings)


class LocalWorker:
    """A process of ``radii.worker.embedded`` and what it says: whether it has started, or why it cannot.

    What it writes to its standard error is held back until it has started.
    """

    def __init__(self, settings: Settings) -> None:
        read_end, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*COMMAND, str(write_end)],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(write_end,),
                env=launch.environment(environment(settings)),
                start_new_session=True,  # a Ctrl-C is for the parent, which ends its workers in order
            )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        assert self._process.stderr is not None
        self._output = ProcessOutput(self._process.stderr)
        self._started, self._why = False, ""
        self._listener = threading.Thread(target=self._listen, args=(os.fdopen(read_end),), daemon=True)
        self._listener.start()

    def runs(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def end(self, grace: float) -> None:
        """Closes its input, which asks it to hand back its shard; kills it where it does not in time."""
        _end(self._process, grace)

    def report(self, settings: Settings) -> str | None:
        """How a process ended by itself, as a sentence; None where it has said that it is of no use to start it again."""
        self._listener.join(1.0)
        how, tail = describe(self._process.returncode), self._output.tail()
        if self._process.returncode == REFUSED:
            self._output.release()
            return None
        if self._started:
            return f"A local worker {how} and is started again."
        why = self._why or f"No work can be done here: {why_not_started(how, tail)}."
        if not self._why:  # it came to nothing before it could say anything itself
            note_failure(settings, why)
        return why

    def _listen(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                said = json.loads(line)
                self._why = str(said.get("why", self._why))
                if said.get("started"):
                    self._started = True
                    self._output.release()


def note_failure(settings: Settings, why: str) -> None:
    """Stores why this worker cannot start, where ``/readyz`` and ``radii doctor`` read it. They report an absent database or
    another schema themselves."""
    with contextlib.suppress(SQLAlchemyError):
        database = Database(settings.url, patience=settings.patience)
        try:
            with database.write() as session:
                start_failures.note(session, settings.worker_number, why)
        finally:
            database.close()


def _end(worker: "subprocess.Popen[bytes]", grace: float) -> None:
    """Closes its input, which asks it to hand back its shard; ends it where it does not in time."""
    assert worker.stdin is not None
    with contextlib.suppress(OSError):
        worker.stdin.close()
    try:
        worker.wait(timeout=grace + 5.0)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _until_parent_is_gone(stop: threading.Event) -> None:
    # Not through sys.stdin: a thread that waits inside a buffered reader makes the interpreter abort when it ends.
    while os.read(0, 4096):
        pass
    stop.set()


def main() -> None:
    """One worker process; it says on the descriptor of its argument that it has started, or why it cannot."""
    launch.protect()
    settings = Settings()
    logs.configure(settings)
    library_caches.keep_in(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_until_parent_is_gone, args=(stop,), daemon=True).start()
    told = os.fdopen(int(sys.argv[1]), "w") if len(sys.argv) > 1 else None
    code = run_process(lambda: run_worker(settings, stop, lambda: _tell(told, started=True)), settings, told)
    sys.exit(code)


def run_process(run: Callable[[], None], settings: Settings, told: IO[str] | None = None) -> int:
    """Runs a worker to its end and returns the process's code; an error that ends it is one sentence in the log."""
    try:
        run()
        return 0
    except (WrongSchema, WrongFolder) as error:
        log.error("%s", error)
        return REFUSED
    except (CannotStart, DataFolderMissing, SQLAlchemyError) as error:
        why = str(error) if isinstance(error, OperationError) else f"The database cannot be used: {reason(error)}."
        log.error("%s", why)
        note_failure(settings, why)
        _tell(told, why=why)
        return 1


def _tell(told: IO[str] | None, **said: object) -> None:
    if told is not None:
        with contextlib.suppress(OSError):
            told.write(json.dumps(said) + "\n")
            told.flush()


if __name__ == "__main__":
    main()
