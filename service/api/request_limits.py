"""Who sends a request and whether there is room for it: decided from its head, before a byte of its body is read."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager

from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radii.service.api.auth import Credentials
from radii.service.api.problems import answer_any
from radii.service.errors import KeyNeeded, ServiceError, TooManyRequests, TooManyStreams
from radii.service.limits.client_address import client_of, is_trusted, limit_key
from radii.service.limits.fair_limiter import FairLimiter
from radii.service.limits.refusals import RefusalMetrics
from radii.service.limits.request_bodies import RequestBody
from radii.service.limits.request_turns import ClientGone, RequestTurn, unless_gone
from radii.worker.settings import Settings

UNLIMITED = frozenset({"/healthz"})
"""Answers without a database, a thread or a body, so that supervisors hear of a service however busy it is."""

COMPUTED_AT_ONCE, COMPUTED_OF_ONE_TENANT = 2, 1
"""Reports, plots and comparisons that are made at a time. Each holds the GIL for seconds, which delays every other
request of the process."""


class RequestCapacity:
    """What one process has for requests: turns, memory for bodies, and counts by tenant and address."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.settings = settings
        self.refusals = RefusalMetrics(registry)
        self.turns = FairLimiter(settings.running_requests, settings.tenant_running_requests)
        self.bodies = FairLimiter(settings.body_memory, settings.tenant_body_memory)
        self.computing = FairLimiter(COMPUTED_AT_ONCE, COMPUTED_OF_ONE_TENANT)
        self._counts: dict[str, Counter[str]] = {"requests": Counter(), "streams": Counter()}
        self.refusals.gauge("http_requests_running", "Requests that are worked on.", lambda: self.turns.in_use)
        self.refusals.gauge("http_requests_waiting", "Requests that wait for a turn.", lambda: self.turns.waiting)
        self.refusals.gauge(
            "http_documents_waiting", "Reports, plots and comparisons that wait.", lambda: self.computing.waiting
        )
        self.refusals.gauge("http_bodies_waiting", "Bodies that wait for memory.", lambda: self.bodies.waiting)
        self.refusals.gauge("http_body_bytes", "Memory reserved for bodies.", lambda: self.bodies.in_use)
        self.open_streams = 0
        self.refusals.gauge("http_event_streams", "Open event streams.", lambda: self.open_streams)

    def request_from(self, address: str) -> AbstractContextManager[None]:
        """Counts a request of an address for the length of the block; raises :class:`TooManyRequests`."""
        most = self.settings.address_connections
        expected = f"at most {most:,} requests at a time of one address (RADII_ADDRESS_CONNECTIONS)"
        return self._counted("requests", f"address {address}", most, TooManyRequests, "address_requests", expected)

    def request_of(self, tenant_id: str) -> AbstractContextManager[None]:
        """Counts a request of a tenant for the length of the block; raises :class:`TooManyRequests`."""
        most = self.settings.tenant_requests
        expected = f"at most {most:,} requests of yours at a time (RADII_TENANT_REQUESTS)"
        return self._counted("requests", tenant_id, most, TooManyRequests, "tenant_requests", expected)

    @contextmanager
    def stream(self, tenant_id: str, address: str) -> Iterator[None]:
        """Counts an event stream for the length of the block; raises :class:`TooManyStreams`."""
        most = self.settings.address_streams
        expected = f"at most {most:,} event streams of one address (RADII_ADDRESS_STREAMS)"
        with self._counted("streams", f"address {address}", most, TooManyStreams, "address_streams", expected):
            most = self.settings.tenant_streams
            expected = f"at most {most:,} event streams of yours at a time (RADII_TENANT_STREAMS)"
            with self._counted("streams", tenant_id, most, TooManyStreams, "tenant_streams", expected):
                self.open_streams += 1
                try:
                    yield
                finally:
                    self.open_streams -= 1

    @contextmanager
    def _counted(
        self, of: str, whose: str, most: int, error: type[ServiceError], reason: str, expected: str
    ) -> Iterator[None]:
        counts = self._counts[of]
        if counts[whose] >= most:
            self.refusals.count(reason)
            raise error(expected=expected, got="one more; wait until one of them has ended")
        counts[whose] += 1
        try:
            yield
        finally:
            counts[whose] -= 1
            if not counts[whose]:
                del counts[whose]


class RequestLimits:
    """ASGI middleware: counts, credentials, memory for the body and the turn.

    The address is counted first, so that what waits for a look at the credentials is bounded, too. A request whose client
    disconnects while it waits is dropped.
    """

    def __init__(self, app: ASGIApp, *, room: RequestCapacity, credentials: Credentials) -> None:
        self.app, self._room, self._credentials = app, room, credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self.app(scope, receive, send)
            return
        _see_through_proxies(scope, self._room.settings)
        body = RequestBody(scope, receive, self._room.settings, self._room.refusals)
        closing = _closing(send, body)
        async with AsyncExitStack() as held:
            try:
                turn = await self._admit(scope, body, held)
            except ClientGone:
                return
            except Exception as error:
                await answer_any(Request(scope), error)(scope, receive, closing)
                return
            await self.app(scope, _pausing_receive(body, turn), _pausing_send(closing, turn))

    async def _admit(self, scope: Scope, body: RequestBody, held: AsyncExitStack) -> RequestTurn:
        """The request's turn, held like everything else until the request has ended; raises where there is no room."""
        room, address = self._room, limit_key(scope["client"][0] if scope.get("client") else None)
        held.enter_context(room.request_from(address))
        tenant_id = await unless_gone(self._tenant(scope, address), body.disconnected)
        body.check_length()
        if tenant_id is not None:
            held.enter_context(room.request_of(tenant_id))
        share = tenant_id or f"address {address}"
        release_body = await _reserved(room.bodies, share, body.reserved)
        held.callback(release_body)
        turn = RequestTurn(room.turns, share, release_body, body.disconnected)
        await held.enter_async_context(turn.running())
        scope["radii.tenant"], scope["radii.address"] = tenant_id, address
        return turn

    async def _tenant(self, scope: Scope, address: str) -> str | None:
        try:
            return await self._credentials.tenant_of(scope, address)
        except KeyNeeded:
            self._room.refusals.count("credentials")
            raise


async def _reserved(memory: FairLimiter, share: str, size: int) -> Callable[[], None]:
    """Waits for memory; what gives it back, once however often it is called."""
    if not size:
        return lambda: None
    await memory.acquire(share, size)
    left = [size]

    def release() -> None:
        if left:
            memory.release(share, left.pop())

    return release


def _see_through_proxies(scope: Scope, settings: Settings) -> None:
    """Behind a trusted proxy, address and scheme are those of its client."""
    if not scope.get("client") or not is_trusted(scope["client"][0], settings.proxies):
        return
    scope["client"] = client_of(scope, settings.proxies, settings.forwarded_header), 0
    scheme = Headers(scope=scope).get("x-forwarded-proto", "").strip()
    if scheme in ("http", "https"):
        scope["scheme"] = scheme


def _closing(send: Send, body: RequestBody) -> Send:
    """Ends the connection with an answer that comes before a large body has been read."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and body.must_close:
            MutableHeaders(scope=message)["Connection"] = "close"
        await send(message)

    return sending


def _pausing_receive(body: RequestBody, turn: RequestTurn) -> Receive:
    async def receive() -> Message:
        if body.complete:
            return await body.receive()
        async with turn.paused():
            return await body.receive()

    return receive


def _pausing_send(send: Send, turn: RequestTurn) -> Send:
    """No turn is held while a client takes its answer, or a few that read nothing would hold all of them."""

    async def sending(message: Message) -> None:
        turn.gone = None  # from now on the answer itself notices that
        if _is_made(message):
            turn.end()
        async with turn.paused():
            await send(message)

    return sending


def _is_made(message: Message) -> bool:
    """Whether nothing more has to be computed for an answer: its length is known, or this is its last message."""
    if message["type"] == "http.response.start":
        return "content-length" in Headers(raw=message["headers"])
    return message["type"] == "http.response.body" and not message.get("more_body", False)
