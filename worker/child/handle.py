"""The loop's end of the pipe to a child process: lines of JSON both ways, no torch on this side.

The child (``radii.worker.child``) does the work. It may crash, hang or hold a GPU's memory; all of that ends with it. It reads
tasks from its standard input and answers on a pipe of its own, so that what libraries print cannot be taken for an
answer. Its life ends with the loop's: when its standard input closes, it exits.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from radii.worker.processes import launch
from radii.worker.processes.child_output import ProcessOutput
from radii.worker.processes.child_output import describe as describe
from radii.worker.settings import Settings

Message = dict[str, Any]

COMMAND = tuple(launch.command("radii.worker.child", starts_python=True))
WITHHELD = ("RADII_DATABASE_URL", "RADII_BROKER_URL", "RADII_API_KEY", "PGPASS", "PGSERVICE")
"""Beginnings of the names of variables that the child does not get: it needs no database, queue or service."""
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**30), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**30)}
"""For glibc's allocator, which else hands every large block back and faults its pages in again at the next step: a MACER
step of ResNet-20 took 2.3 times as long, other methods 1.1 to 1.2 times. The memory goes when the child ends."""


_STARTER = ThreadPoolExecutor(1, thread_name_prefix="starter")
"""A thread that lives as long as this process."""


class ChildEnded(Exception):
    """The child has ended by itself, or was ended: with which return code (negative: a signal)."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(describe(code))


def environment(settings: Settings) -> dict[str, str]:
    """The child's environment, without credentials; what the operator says of the allocator goes before ours."""
    own = {"RADII_DEVICE": settings.device, "RADII_WORKER_NUMBER": str(settings.worker_number)}
    if settings.architectures is not None:
        own["RADII_ARCHITECTURES"] = str(settings.architectures.absolute())
    given = {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)}
    return launch.environment(
        KEPT_MEMORY | {"TORCHINDUCTOR_CACHE_DIR": str(settings.compiled.absolute())} | given | own
    )


class Child:
    """A running ``radii.worker.child``. Not safe for several threads, but for ``kill``."""

    def __init__(self, settings: Settings) -> None:
        read_end, write_end = os.pipe()
        # The system ends a child that has asked for it (``processes.parent_death``) when the thread ends that has started it.
        self._process = _STARTER.submit(
            subprocess.Popen,
            [*COMMAND, str(write_end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(write_end,),
            env=environment(settings),
            start_new_session=True,  # a Ctrl-C is for the loop, which ends the child in order
        ).result()
        os.close(write_end)
        assert self._process.stderr is not None
        self.output = ProcessOutput(self._process.stderr)
        self._messages: queue.Queue[Message | None] = queue.Queue()
        threading.Thread(target=self._read, args=(os.fdopen(read_end),), daemon=True).start()
        self.heard = time.monotonic()
        self._lock, self._ended = threading.Lock(), False

    @property
    def pid(self) -> int:
        """The child's process number."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Raises :class:`ChildEnded` where nobody listens any more."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # it has gone, or was ended here and its input is closed
            raise ChildEnded(self.code()) from None

    def receive(self, timeout: float) -> Message | None:
        """The next message, or None after ``timeout`` seconds; raises :class:`ChildEnded`."""
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if message is None:
            raise ChildEnded(self.code())
        self.heard = time.monotonic()
        return message

    def silent_for(self) -> float:
        """Seconds since the last message."""
        return time.monotonic() - self.heard

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kills the child with everything that it started, and waits for nothing: any thread may. One that was ended is left
        alone: its number may be another process's by now."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self._ended:
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Ends the child at once, with everything that it started."""
        self.kill()
        with self._lock:
            self._ended = True
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def code(self) -> int | None:
        """The return code of a child that ends; None where it does not within a few seconds."""
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return None

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                try:
                    self._messages.put(json.loads(line))
                except ValueError:
                    break  # a line cut in the middle: the child died while it wrote
        self._messages.put(None)
