"""Process that decodes the images of requests, confined as the converter is: ``radii.worker.sandbox.decoder FD MEMORY UID REPORT``.

It imports what it needs before the first image arrives, and reports which restrictions are missing on the pipe ``REPORT``.
For each request it forks (a few milliseconds). The copy answers one request and ends, so that nothing that a file does to it
affects the next request. It gives up forks and threads before it reads, and is killed if it has not ended in time.

A request is a byte on the control socket with two descriptors: a connection and a file of images. The file becomes the
copy's standard input. The connection carries one line of JSON to the copy, and a line of JSON and the pixels back. The return
code of each copy that fails is written to the control socket as a ``REPORT``.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from radii.rs_core.data import image_uploads
from radii.rs_core.data.formats.image_files import Framing
from radii.rs_core.errors import InvalidImages, RadiiError
from radii.worker.isolation import seccomp, status_report
from radii.worker.isolation.confine import Confinement, confine, confine_copy
from radii.worker.isolation.identity import NOBODY
from radii.worker.isolation.limits import Limits, lower
from radii.worker.processes.parent_death import die_with_parent

MEMORY = 4 * 2**30
"""Bytes of address space of each copy, where nothing else is given."""
SECONDS = 10
"""For one request, of processor time and of any time."""
KILLED_AFTER = SECONDS + 1.0
"""Seconds after which a copy is killed that has not ended by itself."""
MOST_COPIES = 16
"""At one time. The service asks for fewer."""
AS_LONG_AS_IT_LASTS = 10**8
IMAGES = Path("/proc/self/fd/0" if sys.platform == "linux" else "/dev/fd/0")
"""The images of a copy's request."""
REPORT = struct.Struct("<h")
"""A return code, negative for a signal."""


def share(total: int, at_once: int) -> int:
    """Bytes of address space of each of ``at_once`` copies that have ``total`` together, and never more than ``MEMORY``."""
    return min(MEMORY, total // at_once)


def in_gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.3g} GiB"


def main() -> None:
    """Serves requests until the control socket closes."""
    descriptor, memory, uid, report = (int(given) for given in sys.argv[1:])
    control = socket.socket(fileno=descriptor)
    with os.fdopen(report, "wb") as stream:
        status_report.confine_and_report(confine, confinement(memory, uid), stream)
    copies = DecoderProcesses(control)
    while True:
        copies.wait()
        message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not message:
            return
        if (pid := os.fork()) == 0:
            control.close()
            _serve(*descriptors)
        copies.add(pid)
        for each in descriptors:
            os.close(each)


class DecoderProcesses:
    """The copies that have not ended. They are killed at their deadline, which code in a copy cannot change.

    The return code of each that fails is written to the control socket.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._until: dict[int, float] = {}

    def add(self, pid: int) -> None:
        """Takes in a copy that was just made."""
        self._until[pid] = time.monotonic() + KILLED_AFTER

    def wait(self) -> None:
        """Returns when there is something to read from the control socket and room for another copy."""
        while True:
            self._look()
            waiting = [self._control] if len(self._until) < MOST_COPIES else []
            if select.select(waiting, [], [], 0.1 if self._until else None)[0]:
                return

    def _look(self) -> None:
        """Reaps what has ended, and kills what is late. A process that is not reaped keeps its number."""
        for pid, until in list(self._until.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._until[pid]
                self._report(os.waitstatus_to_exitcode(status))
            elif time.monotonic() >= until:
                seccomp.kill(pid)

    def _report(self, code: int) -> None:
        if code:
            with contextlib.suppress(OSError):  # nobody reads, or has read for a long time
                self._control.send(REPORT.pack(code), socket.MSG_DONTWAIT)


def confinement(memory: int = MEMORY, uid: int = NOBODY) -> Confinement:
    """What the decoder may do: read its own code and fork. It writes no file, not even in memory."""
    limits = Limits(memory=memory, seconds=AS_LONG_AS_IT_LASTS, output=0)
    return Confinement(limits=limits, uid=uid, processes=True)


def _serve(asked: int, images: int | None = None) -> None:
    """One request, and the end of this copy."""
    code = 1
    try:
        die_with_parent()
        connection = socket.socket(fileno=asked)
        if images is not None:
            os.dup2(images, 0)
            os.close(images)
        lower(resource.RLIMIT_CPU, SECONDS)
        signal.alarm(SECONDS)
        os.dup2(1, 2)  # what a file makes a copy say is not for the service's log
        confine_copy()
        with connection, connection.makefile("rwb") as stream:
            _answer(stream)
        code = 0
    finally:
        os._exit(code)


def _answer(stream: BufferedIOBase) -> None:
    request: dict[str, Any] = json.loads(stream.readline())
    try:
        images = _read(request)
    except RadiiError as error:
        stream.write(json.dumps({"problem": error.problem()}).encode() + b"\n")
        return
    except MemoryError:
        memory = resource.getrlimit(resource.RLIMIT_AS)[0]
        expected = f"images that fit into {in_gib(memory)} when they are decoded"
        problem = InvalidImages(expected=expected, got="larger ones")
        stream.write(json.dumps({"problem": problem.problem()}).encode() + b"\n")
        return
    stream.write(json.dumps({"shape": images.shape, "dtype": str(images.dtype)}).encode() + b"\n")
    stream.write(images.tobytes())


def _read(request: dict[str, Any]) -> Any:
    return image_uploads.read(
        IMAGES,
        shape=tuple(request["shape"]),
        most=request["most"],
        framing=Framing(resize=request["resize"], center_crop=request["center_crop"]),
    )


if __name__ == "__main__":
    main()
