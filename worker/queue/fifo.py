"""Wakes embedded workers that wait for a shard: a named pipe in the data folder.

Each byte wakes one worker, or the next one that becomes idle. A byte carries no data and may be lost: a waiting worker also queries
the database from time to time (``RADII_POLL``). On a file system without pipes, workers only query.
"""

import contextlib
import os
import select
import stat
import threading
import time
from pathlib import Path

NAME = "wakeup"
STEP = 0.1
"""Seconds after which a worker that waits sees that it is to end."""
NO_WAIT = os.O_NONBLOCK | os.O_CLOEXEC


class WakeupPipe:
    """A worker's end of the pipe, open as long as the ``with`` block lasts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._pipe: int | None = None

    def __enter__(self) -> "WakeupPipe":
        with contextlib.suppress(OSError):
            if not self._path.exists():
                with contextlib.suppress(FileExistsError):
                    os.mkfifo(self._path)
            if stat.S_ISFIFO(self._path.stat().st_mode):
                # For writing, too: a pipe that no process has open for writing is at its end, and its readers do not wait.
                self._pipe = os.open(self._path, os.O_RDWR | NO_WAIT)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """Returns when the worker is woken, ``stop`` is set, or ``seconds`` are over."""
        deadline = time.monotonic() + seconds
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if self._pipe is None:
                stop.wait(left)
            elif self._heard(self._pipe, min(left, STEP)):
                return

    def _heard(self, pipe: int, seconds: float) -> bool:
        ready, _, _ = select.select([pipe], [], [], seconds)
        try:
            return bool(ready) and bool(os.read(pipe, 1))
        except BlockingIOError:  # another worker was faster
            return False


def wake(folder: Path, count: int = 1) -> None:
    """Wakes up to ``count`` waiting workers; does nothing where none waits or there is no pipe."""
    with contextlib.suppress(OSError):
        pipe = os.open(folder / NAME, os.O_WRONLY | NO_WAIT)
        try:
            os.write(pipe, b"\0" * count)
        finally:
            os.close(pipe)
