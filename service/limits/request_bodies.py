"""How large a request's body may be, how slowly it may come, and whether all of it has arrived."""

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from radii.service.errors import BodyRefused, RequestTooSlow, TooLarge
from radii.service.limits.refusals import RefusalMetrics
from radii.worker.settings import Settings

JSON_BODY = 2**20
IMAGES = 16 * 2**20
UNRESERVED = 64 * 2**10
DRAINED = 64 * 2**10
"""A body that nobody reads and that is not larger is read and dropped, so that the connection can be used again."""


@dataclass(frozen=True)
class BodyLimit:
    """The largest body of the requests that match; None: that of an upload, which goes to the disk."""

    method: str
    path: "re.Pattern[str]"
    most: int | None


LIMITS = (
    BodyLimit("PUT", re.compile(r"/v1/uploads/.+"), None),
    BodyLimit("POST", re.compile(r"/v1/predictions/?"), IMAGES),
)
"""Of all other requests it is ``JSON_BODY``."""


def limit_of(scope: Scope) -> int | None:
    """The largest body of a request; None where it goes to the disk and the settings for uploads limit it."""
    for limit in LIMITS:
        if limit.method == scope["method"] and limit.path.fullmatch(scope["path"]):
            return limit.most
    return JSON_BODY


class RequestBody:
    """The body of one request while it is read."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings, refusals: RefusalMetrics) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        self.length = int(length[:20]) if length.isdecimal() else None
        self.chunked = "transfer-encoding" in headers
        self.most = limit_of(scope)
        self.complete = not (self.length or self.chunked)
        self._receive, self._settings, self._refusals = receive, settings, refusals
        self._taken, self._waited = 0, 0.0
        self._early: deque[Message] = deque()
        """What came while it was watched whether the client disconnects."""

    @property
    def reserved(self) -> int:
        """Bytes of memory that have to be reserved for it. A small body needs no reservation, so that those of a tenant do not wait
        for its slow large ones: the number of requests limits them."""
        if self.most is None or self.complete or (self.length is not None and self.length <= UNRESERVED):
            return 0
        return self.most if self.length is None else self.length

    @property
    def must_close(self) -> bool:
        """Whether the connection has to end with an answer that is given now."""
        return not self.complete and (self.length is None or self.length - self._taken > DRAINED)

    def check_length(self) -> None:
        """Raises :class:`TooLarge` where the head announces too large a body."""
        if self.most is not None and (self.length or 0) > self.most:
            self._refusals.count("body_size")
            raise TooLarge(expected=f"a body of at most {self.most:,} bytes here", got=f"{self.length:,} bytes")

    async def receive(self) -> Message:
        """The next message; raises :class:`BodyRefused` where the body is too large or too slow."""
        if self.complete:
            return self._early.popleft() if self._early else await self._receive()
        message = await self._in_time()
        self._taken += len(message.get("body", b""))
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self.most is not None and self._taken > self.most:
            self._refusals.count("body_size")
            expected, got = f"a body of at most {self.most:,} bytes here", f"{self._taken:,} bytes or more"
            raise BodyRefused(TooLarge(expected=expected, got=got))
        return message

    async def disconnected(self) -> None:
        """Returns when the client is gone. For requests whose body has been read."""
        if not self.complete:
            await asyncio.Event().wait()
        while True:
            message = await self._receive()
            self._early.append(message)
            if message["type"] == "http.disconnect":
                return

    async def _in_time(self) -> Message:
        """Only the time that is spent waiting for the client counts."""
        seconds, rate = self._settings.body_seconds, self._settings.body_rate
        left = min(seconds, seconds + self._taken / rate - self._waited)
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await self._receive()
        except TimeoutError:
            self._refusals.count("slow_body")
            expected = f"a body without breaks of {seconds:g} s (RADII_BODY_SECONDS) and, after that, "
            expected += f"{rate:,} bytes per second (RADII_BODY_RATE)"
            got = f"{self._taken:,} bytes in {self._waited + left:.0f} s"
            raise BodyRefused(RequestTooSlow(expected=expected, got=got)) from None
        finally:
            self._waited += time.monotonic() - began
