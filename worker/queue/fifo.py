"""The bell of the embedded mode: a named pipe in the data folder, which wakes workers that wait for a shard.

Each byte in it wakes one worker, or the next one that has nothing to do. It carries nothing else, and may be lost: whoever
waits looks by himself, too, after the time of the settings. Where the folder's file system has no pipes, only that is left.
"""

import contextlib
import os
import select
import stat
import threading
import time
from pathlib import Path

NAME = "bell"
STEP = 0.1
"""Seconds after which a worker that waits sees that it is to end."""
NO_WAIT = os.O_NONBLOCK | os.O_CLOEXEC


class Bell:
    """A worker's end, open as long as the ``with`` block lasts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._pipe: int | None = None

    def __enter__(self) -> "Bell":
        with contextlib.suppress(OSError):
            if not self._path.exists():
                with contextlib.suppress(FileExistsError):
                    os.mkfifo(self._path)
            if stat.S_ISFIFO(self._path.stat().st_mode):
                # For writing, too: a pipe that nobody has open for that is at its end, and its readers wait no more.
                self._pipe = os.open(self._path, os.O_RDWR | NO_WAIT)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """Returns when the bell has rung, ``stop`` is set, or ``seconds`` are over."""
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


def ring(folder: Path, count: int = 1) -> None:
    """Wakes up to ``count`` of the workers that wait; where none is there, or none can hear, nothing happens."""
    with contextlib.suppress(OSError):
        pipe = os.open(folder / NAME, os.O_WRONLY | NO_WAIT)
        try:
            os.write(pipe, b"\0" * count)
        finally:
            os.close(pipe)
