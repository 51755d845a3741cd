"""The process in which images of requests are decoded, confined as the converter is: ``worker.decoder FD MEMORY UID``.

It has imported what it needs before the first image comes. For each request it makes a copy of itself (a fork takes a few
milliseconds), which reads one request from a socket, answers and ends: nothing that a stranger's file does to a decoder is
there when the next one comes. A copy gives up copies and threads, too, before it reads. The request is a line of JSON and
the bytes of the images, the answer a line and pixels. The return code of each copy that fails is
written to the control socket, as a ``REPORT``.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import struct
import sys
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from rs_core.data import pictures
from rs_core.data.photos import Framing
from rs_core.errors import InvalidImages, RadiiError
from worker.isolation.confine import Confinement, confine, confine_copy
from worker.isolation.identity import NOBODY
from worker.isolation.limits import Limits
from worker.orphans import die_with_parent

MEMORY = 4 * 2**30
"""Bytes of address space of each copy, where nothing else is given."""
SECONDS = 10
"""For one request, of processor time and of any time."""
LARGEST = 2**30
"""Bytes of a file that the process may write: it writes in memory alone."""
AS_LONG_AS_IT_LASTS = 10**8
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
    descriptor, memory, uid = (int(given) for given in sys.argv[1:])
    control = socket.socket(fileno=descriptor)
    confine(confinement(memory, uid))
    signal.signal(signal.SIGCHLD, lambda *_: _report_ends(control))
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            _serve(socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def confinement(memory: int = MEMORY, uid: int = NOBODY) -> Confinement:
    """What the decoder may do: read its own code."""
    limits = Limits(memory=memory, seconds=AS_LONG_AS_IT_LASTS, output=LARGEST)
    return Confinement(limits=limits, uid=uid, processes=True)


def _report_ends(control: socket.socket) -> None:
    """Reaps the copies that have ended, and reports those that failed."""
    with contextlib.suppress(ChildProcessError):  # there is no other
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if code := os.waitstatus_to_exitcode(ended[1]):
                with contextlib.suppress(OSError):  # nobody reads them, or has not for a long time
                    control.send(REPORT.pack(code), socket.MSG_DONTWAIT)


def _serve(connection: socket.socket) -> None:
    """One request, and the end of this copy."""
    code = 1
    try:
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
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
        images = _read(stream, request)
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


def _read(stream: BufferedIOBase, request: dict[str, Any]) -> Any:
    """The images of the request; its bytes are a file in memory, as the readers of formats want one."""
    descriptor = os.memfd_create("images")
    with open(descriptor, "wb", closefd=False) as file:
        left = request["size"]
        while left and (piece := stream.read(min(left, 2**20))):
            file.write(piece)
            left -= len(piece)
    return pictures.read(
        Path(f"/proc/self/fd/{descriptor}"),
        shape=tuple(request["shape"]),
        most=request["most"],
        framing=Framing(resize=request["resize"], center_crop=request["center_crop"]),
    )


if __name__ == "__main__":
    main()
