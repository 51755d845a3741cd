"""Exchanges messages with a confined process. All input from the process is bounded."""

import contextlib
import os
import selectors
import subprocess
import threading
import time

from radii.worker.isolation import status_report

ANSWER_LIMIT = 64 * 2**20
ERRORS_KEPT = 2**16
PIECE = 2**16


class TooLong(Exception):
    """The process has written more than an answer may have."""


class ProcessExchange:
    """Sends a request to a process and collects its answer, the end of its messages, its report and its last count.

    Args:
        process: Started with pipes for its three standard streams.
        request: What it gets on its standard input.
        progress: Descriptor of the pipe on which it writes its report (see ``status_report``), and then counts, one a line;
            closed by :meth:`close`.
        most: Bytes that the answer may have.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        request: bytes,
        progress: int | None = None,
        *,
        most: int = ANSWER_LIMIT,
    ) -> None:
        self._process, self._progress, self._most = process, progress, most
        self.answer, self.errors, self.report, self.count = bytearray(), b"", b"", 0
        assert process.stdout is not None and process.stderr is not None
        self._selector = selectors.DefaultSelector()
        self._streams = {process.stdout.fileno(): self._answered, process.stderr.fileno(): self._wrote_errors}
        if progress is not None:
            self._streams[progress] = self._progressed
        for descriptor in self._streams:
            self._selector.register(descriptor, selectors.EVENT_READ)
        threading.Thread(target=self._send, args=(request,), daemon=True).start()

    def ended(self, seconds: float) -> bool:
        """Reads for at most that long; returns whether the process has ended and everything is read.

        Raises:
            TooLong: The answer has more bytes than it may, or the report more than ``status_report.LONGEST``.
        """
        until = time.monotonic() + seconds
        while self._streams:
            ready = self._selector.select(max(0.0, until - time.monotonic()))
            for key, _ in ready:
                self._read(key.fd)
            if time.monotonic() >= until and self._streams:
                return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until - time.monotonic()))
        return self._process.poll() is not None

    def close(self) -> None:
        """Closes the pipes."""
        self._selector.close()
        if self._progress is not None:
            os.close(self._progress)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self, descriptor: int) -> None:
        piece = os.read(descriptor, PIECE)
        if piece:
            self._streams[descriptor](piece)
        else:
            self._selector.unregister(descriptor)
            del self._streams[descriptor]

    def _answered(self, piece: bytes) -> None:
        self.answer += piece
        if len(self.answer) > self._most:
            raise TooLong

    def _wrote_errors(self, piece: bytes) -> None:
        self.errors = (self.errors + piece)[-ERRORS_KEPT:]

    def _progressed(self, piece: bytes) -> None:
        if not self.report.endswith(b"\n"):
            line, end, piece = piece.partition(b"\n")
            self.report += line + end
            if len(self.report) > status_report.LONGEST:
                raise TooLong
        with contextlib.suppress(ValueError):
            self.count = max(0, int(piece.split()[-1][:15])) if piece.split() else self.count

    def _send(self, request: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._process.stdin as stream:
            stream.write(request)
