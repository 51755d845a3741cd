"""The embedded mode: the same loop in worker processes of this machine, without a broker.

``python -m worker.local`` is one such process; it ends when it is told to, or when the process that started it is gone
(its standard input closes). ``Workers`` starts several and starts those again that die.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from worker import launch, logs
from worker.bell import Bell
from worker.loop import REFUSED, CannotStart, Slot, end
from worker.settings import Settings
from worker.store.schema import WrongSchema
from worker.store.session import Database
from worker.sweep import Rounds, Sweeping

log = logging.getLogger("radii.local")

RESTART_PAUSE = 2.0


def run_worker(settings: Settings, stop: threading.Event | None = None) -> None:
    """Works until ``stop`` is set. Raises ``WrongSchema`` or ``CannotStart`` where no work can be done."""
    slot = Slot(settings, Database(settings.url, patience=settings.patience), stop or threading.Event())
    slot.start()
    rounds = Rounds(slot)
    slot.tick = rounds.go_if_due
    try:
        with Sweeping(settings), Bell(settings.data) as bell:
            while not slot.stop.is_set():
                if not _worked(slot):
                    bell.wait(slot.stop, settings.poll)
    finally:
        end(slot)
    if rounds.refused is not None:
        raise rounds.refused


def _worked(slot: Slot) -> bool:
    """Whether there was something to do, and it could be tried."""
    try:
        slot.tick()
        return slot.work_once()
    except SQLAlchemyError as error:
        log.warning("database away, trying again", extra={"error": str(error)[:300]})
    except CannotStart as error:
        log.error("%s; trying again", error)
        slot.stop.wait(RESTART_PAUSE)
    return False


class Workers:
    """As many local workers as the settings say, for as long as the ``with`` block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._guards = [
            threading.Thread(target=self._guard, args=(number,), daemon=True)
            for number in range(settings.local_workers)
        ]

    def __enter__(self) -> "Workers":
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
        while not self._stop.is_set():
            try:
                worker = _started(settings)
            except OSError as error:
                log.warning("a local worker could not be started; trying again", extra={"error": str(error)})
                self._stop.wait(RESTART_PAUSE)
                continue
            while worker.poll() is None and not self._stop.wait(0.1):
                pass
            if worker.poll() is None:
                _end(worker, self._settings.cancel_grace)
            elif worker.returncode == REFUSED:
                return
            else:
                log.warning("a local worker ended and is started again", extra={"code": worker.returncode})
                self._stop.wait(RESTART_PAUSE)


def _started(settings: Settings) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        launch.command("worker.local", starts_python=True),
        stdin=subprocess.PIPE,
        env=launch.environment(os.environ | environment(settings)),
        start_new_session=True,  # a Ctrl-C is for the parent, which ends its workers in order
    )


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables that they are read from."""
    values = settings.model_dump(mode="json")
    return {f"RADII_{name.upper()}": str(value) for name, value in values.items() if value is not None}


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
    """One worker process."""
    launch.protect()
    settings = Settings()
    logs.configure(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_until_parent_is_gone, args=(stop,), daemon=True).start()
    try:
        run_worker(settings, stop)
    except WrongSchema as error:
        log.error("%s", error)
        sys.exit(REFUSED)
    except CannotStart as error:
        log.error("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
