"""Parent side of the decoder: sends images and accepts only pixels of the expected shape and type."""

import contextlib
import fcntl
import io
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from io import BufferedIOBase
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import Shape
from radii.rs_core.errors import InvalidImages, RadiiError
from radii.rs_core.exception_text import first_line
from radii.worker.isolation import status_report as reports
from radii.worker.isolation.identity import NOBODY
from radii.worker.processes import launch
from radii.worker.processes.child_output import ProcessOutput, describe, last_words
from radii.worker.sandbox import decoder
from radii.worker.sandbox.decoder import REPORT

log = logging.getLogger("radii.decoder")

SECONDS = 12.0
"""For a whole answer: a little more than the time after which the decoder kills a copy."""
DTYPES = ("uint8", "float32")
SEALS = 0x000F
"""No other size, no writing, no other seals (``linux/fcntl.h``)."""
REPORTED = 1.0
"""Seconds in which the decoder has reported how a copy ended, and the system how the decoder did."""


class Ended(Exception):
    """No answer has come, or one that a decoder does not give."""


class Decoder:
    """A decoder that is ready. Any thread may use it; it is started when it is first needed, or by :meth:`start`.

    Args:
        memory: Bytes of address space of each request's copy of the decoder.
        uid: User and group of the decoder where the service is root's.
    """

    def __init__(self, memory: int = decoder.MEMORY, uid: int = NOBODY) -> None:
        self._memory, self._uid = memory, uid
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._output: ProcessOutput | None = None
        self._control: socket.socket | None = None
        self._report: IO[bytes] | None = None

    def start(self) -> None:
        """Starts the process where there is none; does not wait until it is ready."""
        with self._lock:
            self._started()

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def decode(
        self,
        data: bytes,
        *,
        shape: Shape,
        most: int,
        resize: int | None = None,
        center_crop: int | None = None,
    ) -> NDArray[Any]:
        """Images (N, C, H, W), uint8 or float32 in [0, 1], of ``shape`` (C, H, W); see ``data.image_uploads.read``, whose errors it
        raises. :class:`InvalidImages`, too, where the bytes have ended the decoder; :class:`NotConfined` where the decoder
        could not be confined."""
        request = {"shape": shape, "most": most, "resize": resize, "center_crop": center_crop}
        message = json.dumps(request).encode() + b"\n"
        why = ""
        for _ in range(2):
            try:
                with _file(data) as images:
                    return self._answered(message, images, shape, most)
            except Ended as ended:
                why = str(ended)
            self._wait_for_report()
            with self._lock:
                if self._runs():
                    break  # it was the images that ended their copy, and nothing else that ended all
        log.warning("images were not decoded", extra={"why": why, "bytes": len(data)})
        limits = f"{decoder.SECONDS} s and {decoder.in_gib(self._memory)} of memory"
        raise InvalidImages(expected=f"images that can be decoded in {limits}", got="ones that ended the decoder")

    def _answered(self, message: bytes, images: int, shape: Shape, most: int) -> NDArray[Any]:
        until = time.monotonic() + SECONDS
        with self._asked(images) as connection, io.BufferedReader(_Answer(connection, until)) as stream:
            with contextlib.suppress(OSError):
                connection.settimeout(SECONDS)
                connection.sendall(message)
                stream.peek(1)
            self._check_report()  # there is a copy, or the decoder has ended: it has written its report
            try:
                return _pixels(stream, shape, most)
            except OSError as error:
                raise Ended(f"no answer came ({first_line(error)})") from None

    def _check_report(self) -> None:
        """Reads the decoder's report where that is still to be done; raises :class:`Ended` where there is none yet."""
        with self._lock:
            report = self._report
            if report is None:
                return
            if not select.select([report], [], [], 0)[0]:
                raise Ended
            self._report = None
            try:
                with report:
                    reports.check(report.read(reports.LONGEST))
            except RadiiError:
                self._end()
                raise
            except ValueError:  # it has ended before
                raise Ended from None

    def _asked(self, *files: int) -> socket.socket:
        """A connection to a fresh copy of the decoder, which gets these descriptors."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            for attempt in (1, 2):
                control = self._started()
                try:
                    socket.send_fds(control, [b"\0"], [theirs.fileno(), *files])
                    return ours
                except OSError as error:  # it has ended since
                    self._log_end()
                    self._end()
                    if attempt == 2:
                        ours.close()
                        raise Ended(f"the decoder ended before it was asked: {error}") from error
        raise AssertionError

    def _wait_for_report(self) -> None:
        """Waits a little for what the decoder has to say of a copy, or for its own end."""
        control = self._control
        if control is not None:
            poll = select.poll()
            with contextlib.suppress(OSError, ValueError):  # another thread has closed it
                poll.register(control, select.POLLIN)
                poll.poll(REPORTED * 1000)

    def _runs(self) -> bool:
        """Whether the decoder still holds its end of the control socket. The kernel closes it before the process ends. Logs
        what the decoder has reported of its copies."""
        if self._control is None:
            return False
        try:
            while reports := self._control.recv(REPORT.size * 1000, socket.MSG_DONTWAIT):
                for (code,) in REPORT.iter_unpack(reports[: len(reports) // REPORT.size * REPORT.size]):
                    log.warning("a copy of the decoder %s", describe(code))
            return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _started(self) -> socket.socket:
        if self._control is not None and self._runs():
            return self._control
        self._log_end()
        self._end()
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        self._control, self._report = ours, os.fdopen(reader, "rb")
        given = (theirs.fileno(), self._memory, self._uid, writer)
        try:
            self._process = subprocess.Popen(
                launch.command("radii.worker.sandbox.decoder", *map(str, given)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(), writer),
                env=launch.bare_environment(),
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(writer)
        assert self._process.stderr is not None
        self._output = ProcessOutput(self._process.stderr)
        return ours

    def _log_end(self) -> None:
        """Logs how the decoder ended that nobody has closed, and the last thing that it wrote."""
        if self._process is None or self._output is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(REPORTED)
        said = last_words(self._output.tail())
        log.warning("the decoder %s", describe(self._process.returncode), extra={"stderr": said} if said else {})

    def _end(self) -> None:
        for each in (self._control, self._report):
            if each is not None:
                each.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._control = self._process = self._output = self._report = None


class _Answer(io.RawIOBase):
    """Reads a connection until a deadline on the monotonic clock; then raises :class:`TimeoutError`."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[int]:
    """A file that holds ``data`` and has no name: on Linux in memory, and nobody can change it any more."""
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            yield file.fileno()
        return
    with open(os.memfd_create("images", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", buffering=0) as memory:
        left = memoryview(data)
        while left:
            left = left[memory.write(left) :]
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
        yield memory.fileno()


def _pixels(stream: BufferedIOBase, shape: Shape, most: int) -> NDArray[Any]:
    """Parses an answer. Raises :class:`Ended` unless it has the expected dtype, shape and length."""
    try:
        answer: dict[str, Any] = json.loads(stream.readline(2**20))
        if "problem" in answer:
            raise RadiiError.from_problem(answer["problem"])
        count, *found = answer["shape"]
        right = tuple(found) == tuple(shape) and 1 <= count <= most and answer["dtype"] in DTYPES
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, RadiiError):
            raise
        raise Ended("an answer came that no decoder gives") from None
    size = count * prod(shape) * np.dtype(answer["dtype"]).itemsize if right else -1
    data = stream.read(size) if right else b""
    if len(data) != size:
        raise Ended("the answer was cut short, or has another shape than the images")
    images = np.frombuffer(data, dtype=answer["dtype"]).reshape(count, *shape)
    if images.dtype == np.float32 and not bool(((images >= 0) & (images <= 1)).all()):
        raise Ended("an answer came with pixels outside [0, 1]")
    return images
