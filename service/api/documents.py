"""Reports, plots, comparisons and files of rows are made in a process of their own.

Each of them holds the GIL for up to seconds, which would delay every request of the process that answers everything else.
A route of a class that is here passes its request on to the same application in the other process (``document_process``),
over a socket that only this user can reach, and passes the answer back as it comes.
"""

import contextlib
import logging
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from radii.service.errors import DocumentsUnavailable
from radii.service.limits.request_turns import ClientGone, unless_client_gone, waiting
from radii.worker import settings_environment
from radii.worker.backoff import Backoff
from radii.worker.child.handle import describe
from radii.worker.processes import launch
from radii.worker.settings import Settings

log = logging.getLogger("radii.documents")

SECONDS = 600.0
"""For which the other process may say nothing about one document."""
STABLE = 60.0
"""Seconds after which a process that ends had not failed to start: it is started again at once."""
OF_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that are not passed on (RFC 9110, section 7.6.1)."""
OF_A_BODY = frozenset({"content-length", "content-type", "content-encoding", "expect"})
"""Headers of a request that are not passed on, since its body is not."""
OF_A_SERVER = frozenset({"date", "server"})


class DocumentProcess:
    """The other process. It is started by the first request that needs it, or by :meth:`start`, and again when it has ended.

    For the thread of one event loop.

    Args:
        settings: Of the service.
        require_key: Whether requests need a key.
    """

    def __init__(self, settings: Settings, *, require_key: bool) -> None:
        self._settings, self._require_key = settings, require_key
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._backoff, self._began, self._not_before = Backoff(first=0.5, longest=10.0), 0.0, 0.0

    @property
    def pid(self) -> int | None:
        """Of the process; None where there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the process where none runs; does not wait until it is ready.

        Raises:
            DocumentsUnavailable: It has ended, and is not to be started again yet.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._note_end()
        if time.monotonic() < self._not_before:
            raise self._unavailable()
        self._folder = Path(tempfile.mkdtemp(prefix="radii-documents-"))  # readable by this user alone
        path = str(self._folder / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(socket.SOMAXCONN)  # requests wait there until the process has imported what it needs
            self._process = subprocess.Popen(
                launch.command(
                    "radii.service.api.document_process", str(listener.fileno()), str(int(self._require_key))
                ),
                stdin=subprocess.DEVNULL,
                pass_fds=(listener.fileno(),),
                env=launch.environment(settings_environment.environment(self._settings)),
                start_new_session=True,  # a Ctrl-C is for this process, which ends the other one
            )
        # There is no TLS on this socket; to read the certificates of the system would hold up the event loop.
        self._transport = httpx.AsyncHTTPTransport(verify=False, uds=path, limits=httpx.Limits(max_connections=None))
        self._began = time.monotonic()

    async def answer(self, request: Request) -> Response:
        """What the other process answers to a request without a body.

        Raises:
            DocumentsUnavailable: The process could not be started, or has ended meanwhile.
        """
        self.start()
        assert self._transport is not None
        url = httpx.URL("http://documents", raw_path=_target(request))
        headers = _without(request.headers.raw, OF_ONE_CONNECTION | OF_A_BODY)
        timeouts = {"timeout": httpx.Timeout(SECONDS).as_dict()}
        try:
            found = await self._transport.handle_async_request(
                httpx.Request(request.method, url, headers=headers, extensions=timeouts)
            )
        except httpx.TransportError as error:
            log.error("a document was not made", extra={"error": f"{type(error).__name__}: {error}"[:300]})
            raise self._unavailable() from None
        answer = StreamingResponse(_pieces(found), found.status_code)
        answer.raw_headers = _without(found.headers.raw, OF_ONE_CONNECTION | OF_A_SERVER)
        return answer

    async def close(self) -> None:
        """Ends the process."""
        if self._transport is not None:
            await self._transport.aclose()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def _note_end(self) -> None:
        """Logs how the process has ended; one that did not last is not started again at once."""
        if self._process is None:
            return
        lasted = time.monotonic() - self._began
        if lasted > STABLE:
            self._backoff.reset()
        else:
            self._not_before = time.monotonic() + self._backoff.pause()
        log.error(
            "the process that makes documents %s",
            describe(self._process.returncode),
            extra={"lasted": round(lasted, 1), "pid": self._process.pid},
        )
        self._forget()

    def _forget(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = self._transport = None

    def _unavailable(self) -> DocumentsUnavailable:
        return DocumentsUnavailable(
            expected="reports, plots and files to be made in a process of their own",
            got="its end; it is started again, so try again in a few seconds",
        )


async def _pieces(found: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(found.stream, httpx.AsyncByteStream)
    try:
        async for piece in found.stream:
            yield piece
    except httpx.TransportError as error:
        log.error("a document was not sent to its end", extra={"error": f"{type(error).__name__}: {error}"[:300]})
        raise  # so that the client's connection ends early, too
    finally:
        await found.aclose()


def _without(headers: Sequence[tuple[bytes, bytes]], names: frozenset[str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower().decode("latin-1") not in names]


def _target(request: Request) -> bytes:
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return path + b"?" + query if query else path


NOBODY_READS_THIS = Response(status_code=204)
"""The answer to a client that has left."""


class FileRoute(APIRoute):
    """A route that reads many rows: answered by the other process, where there is one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, or one that passes the request on."""
        handle = super().get_route_handler()

        async def passed_on(request: Request) -> Response:
            documents: DocumentProcess | None = request.app.state.documents
            if documents is None:
                return await handle(request)
            async with waiting():
                try:
                    return await unless_client_gone(documents.answer(request))
                except ClientGone:
                    return NOBODY_READS_THIS

        return passed_on


class DocumentRoute(FileRoute):
    """A route that computes for seconds. Few of them run at a time, and one of a tenant; the others wait, without a thread."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of :class:`FileRoute`, in its turn."""
        handle = super().get_route_handler()

        async def in_turn(request: Request) -> Response:
            async with contextlib.AsyncExitStack() as held:
                computing, tenant_id = request.app.state.room.computing, request.scope["radii.tenant"]
                async with waiting():
                    try:
                        await unless_client_gone(computing.acquire(tenant_id))
                    except ClientGone:
                        return NOBODY_READS_THIS
                held.callback(computing.release, tenant_id)
                return await handle(request)

        return in_turn
