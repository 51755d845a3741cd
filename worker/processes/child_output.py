"""What a child process writes to its standard error: passed on line by line, and the last lines kept for the report on how
it ended.

Until the child reports that it is ready, its lines are held back: if it never does, one sentence replaces its traceback.
"""

import re
import signal
import sys
import threading
from collections import deque
from typing import IO

from radii.extras import how_to_install

HELD = 200
KEPT = 20
LONGEST = 500
"""Lines that are held back, lines that are kept for a report, and characters of each of these."""
WORKER_PACKAGES = ("torch", "torchvision", "safetensors", "mpmath")
"""What the extra ``torch`` installs, by the names that are imported."""
ABSENT = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'")
EXCEPTION = re.compile(r"^(?:\w+\.)*[A-Z]\w+: .")
"""How the last line of a traceback begins."""


class ProcessOutput:
    """Reads one stream to its end in a thread of its own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._held: deque[bytes] | None = deque(maxlen=HELD)
        self._tail: deque[str] = deque(maxlen=KEPT)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Passes on what was held back, and from now on each line at once."""
        with self._lock:
            held, self._held = self._held or (), None
            for line in held:
                _pass_on(line)

    def tail(self, seconds: float = 1.0) -> list[str]:
        """The last lines of a process that has ended; a process that it started and that still runs may hold the stream open."""
        self._thread.join(seconds)
        with self._lock:
            return list(self._tail)

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                text = line.decode(errors="replace").rstrip()
                with self._lock:
                    if text:
                        self._tail.append(text[:LONGEST])
                    if self._held is None:
                        _pass_on(line)
                    else:
                        self._held.append(line)


def _pass_on(line: bytes) -> None:
    try:
        sys.stderr.write(line.decode(errors="backslashreplace"))
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody reads the log any more; the child is not to stop over that


def describe(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "was ended"
    if code < 0:
        name = next((f" ({each.name})" for each in signal.Signals if each == -code), "")
        return f"was ended by signal {-code}{name}"
    return f"ended with code {code}"


def written(errors: bytes) -> dict[str, str]:
    """The last lines of a standard error that was collected, as the ``extra`` of a record about its process; empty where there are none."""
    lines = errors.decode(errors="replace").strip().splitlines()[-KEPT:]
    return {"stderr": "\n".join(line[:LONGEST] for line in lines)} if lines else {}


def last_words(tail: list[str]) -> str:
    """The line of a tail that says most: the exception of a traceback, else the last line; empty where there is none."""
    exceptions = [line for line in tail if EXCEPTION.match(line)]
    return (exceptions or tail or [""])[-1]


def why_not_started(how: str, tail: list[str]) -> str:
    """Why a process did not come up, and what helps where that is known.

    Args:
        how: how it ended, in words.
        tail: the last lines of its standard error.
    """
    said = last_words(tail)
    absent = ABSENT.search(said)
    if absent is not None and absent[1].split(".")[0] in WORKER_PACKAGES:
        return f"the package {absent[1]} is not installed; install it with `{how_to_install('server,torch')}`"
    if absent is not None:
        return f"the module {absent[1]} cannot be imported; install radii again, with the versions of constraints.txt"
    return f"the process {how}" + (f": {said}" if said else "")
