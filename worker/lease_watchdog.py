"""Kills a child process whose lease was not renewed in time, even while the worker's loop is blocked."""

import threading
import time
from collections.abc import Callable

from radii.worker.child.handle import Child

STEPS = 20


class LeaseWatchdog:
    """Kills the child once ``seconds`` have gone by since ``renewed()``, in a thread of its own.

    A database that hangs neither answers nor refuses: the loop stays inside a call of its driver, and others take over a
    shard whose child still has the device.
    """

    def __init__(self, child: Child, seconds: float, renewed: Callable[[], float]) -> None:
        self._child, self._seconds, self._renewed = child, seconds, renewed
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.killed = False

    def __enter__(self) -> "LeaseWatchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _watch(self) -> None:
        while not self._done.wait(self._seconds / STEPS):
            if time.monotonic() - self._renewed() > self._seconds:
                self.killed = True
                self._child.kill()
                return
