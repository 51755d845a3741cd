"""Limits on connections, applied before there is a request: how many, from where, and how long a head may take.

uvicorn limits neither the connections of one address nor the time that the head of a request takes. The registry here
decides about each new connection, and the protocol is uvicorn's with timers. When a limit is reached, the
oldest idle or incomplete connection of the address with the most connections is closed.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from radii.service.errors import MalformedRequest, RequestTooSlow, ServiceError, ServiceFull, TooManyConnections
from radii.service.limits.client_address import is_trusted, limit_key
from radii.service.limits.connection_rates import ConnectionRates
from radii.service.limits.refusals import RefusalMetrics
from radii.service.schemas.responses import PROBLEM_MEDIA_TYPE
from radii.worker.settings import Settings

MOST_HEAD = 64 * 2**10
"""Bytes of a request's head."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 32 * 2**20
"""How long, and how much, is still read from a client that was answered before it had sent all: if the connection were
closed at once, the client's system would drop the answer unread."""
MOST_LINGERING = 200
ACCEPTED_AT_ONCE = 8
"""Connections that are accepted in one step of the event loop, so that a flood of them does not hold up requests."""


class Connections:
    """The open connections by address."""

    def __init__(self, settings: Settings, refusals: RefusalMetrics, most: int | None = None) -> None:
        self.settings, self.refusals = settings, refusals
        self.most = min(settings.max_connections, most or settings.max_connections)
        self.lingering = 0
        self._rates = ConnectionRates(settings.address_connection_rate)
        most_new = f"{settings.address_connection_rate:g} new connections per second of one address"
        self.too_fast = _answer(
            TooManyConnections(
                expected=f"at most {most_new} (RADII_ADDRESS_CONNECTION_RATE)",
                got="more; reuse connections, and behind a reverse proxy set RADII_TRUSTED_PROXIES",
            )
        )
        """The answer to a connection beyond the rate; made once, since there may be thousands in a second."""
        self._by_address: dict[str, dict[LimitedProtocol, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, new: "LimitedProtocol", host: str | None) -> ServiceError | None:
        """Registers a connection; the problem where there is no room for it."""
        key = limit_key(host)
        own = self._by_address.get(key, {})
        limited = not is_trusted(host, self.settings.proxies)
        if limited and len(own) >= self.settings.address_connections and not self._make_room(own):
            self.refusals.count("address_connections")
            most = (
                f"at most {self.settings.address_connections:,} connections of one address (RADII_ADDRESS_CONNECTIONS)"
            )
            got = f"one more from {key}; behind a reverse proxy, set RADII_TRUSTED_PROXIES"
            return TooManyConnections(expected=most, got=got)
        if self._count >= self.most and not any(map(self._make_room, self._largest_first())):
            self.refusals.count("connections")
            most = f"at most {self.most:,} connections (RADII_MAX_CONNECTIONS)"
            return ServiceFull(expected=most, got="one more; try again later")
        self._by_address.setdefault(key, {})[new] = None
        self._count += 1
        return None

    def comes_too_fast(self, host: str | None) -> bool:
        """Whether its address opens connections faster than it may. Counts the connection."""
        if is_trusted(host, self.settings.proxies) or self._rates.allow(limit_key(host)):
            return False
        self.refusals.count("connection_rate")
        return True

    def forget(self, gone: "LimitedProtocol", host: str | None) -> None:
        """Removes a connection."""
        key = limit_key(host)
        own = self._by_address.get(key, {})
        if gone in own:
            del own[gone]
            self._count -= 1
        if not own:
            self._by_address.pop(key, None)

    def _largest_first(self) -> Iterator[dict["LimitedProtocol", None]]:
        return iter(sorted(self._by_address.values(), key=len, reverse=True))

    def _make_room(self, connections: dict["LimitedProtocol", None]) -> bool:
        """Closes the oldest of these that does no work; False where all do."""
        oldest = next((one for one in connections if one.does_no_work()), None)
        if oldest is None:
            return False
        self.refusals.count("evicted")
        oldest.evict()
        return True


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a place in the registry and limits of time; see :func:`server_config`."""

    registry: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a place, or answers that there is none."""
        if self.registry.comes_too_fast((transport.get_extra_info("peername") or (None,))[0]):
            transport.set_protocol(asyncio.Protocol())  # what it sends is dropped
            transport.write(self.registry.too_fast)
            transport.close()
            return
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._raw = transport
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._received, self._closing = False, False
        refused = self.registry.admit(self, self._host)
        if refused is None:
            self._expect_head()
        else:
            self._refuse(refused)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives the place back."""
        self.registry.forget(self, self._host)
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Notices where the head of the next request has begun and where it is complete."""
        self._received = True
        super().data_received(data)
        if self._closing:
            return
        if self.does_no_work():
            if self.timeout_keep_alive_task is None:
                self._expect_head()
        else:
            self._cancel_head()

    def pause_writing(self) -> None:
        """The client is slow to take the answer: one looks again and again whether it takes enough."""
        super().pause_writing()
        if self._stall_timer is None:
            self._watch_reader()

    def resume_writing(self) -> None:
        """It took most of what was waiting."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answers with a problem where the bytes are not HTTP or the head is too large."""
        self.registry.refusals.count("malformed")
        if not self.does_no_work():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self._raw.abort()
                return
        self._refuse(
            MalformedRequest(expected=f"HTTP/1.1 with a head of at most {MOST_HEAD:,} bytes", got="something else")
        )

    def on_response_complete(self) -> None:
        """The next head may be there already, in part."""
        super().on_response_complete()
        self._received = bool(self.conn.trailing_data[0])

    def does_no_work(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def evict(self) -> None:
        """Closes a connection that does no work, and gives its place back at once."""
        self.registry.forget(self, self._host)
        self._cancel_timers()
        self._raw.abort()

    def body_pending(self) -> bool:
        """Whether a part of a request's body has not arrived."""
        return self.conn.their_state is h11.SEND_BODY

    @property
    def _host(self) -> str | None:
        return self.client[0] if self.client else None

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.registry.settings.head_seconds, self._head_is_late)

    def _cancel_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_timers(self) -> None:
        self._cancel_head()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self.registry.refusals.count("slow_head")
        if not self._received or self.body_pending():  # nothing was asked, or it was answered already
            self._raw.abort()
            return
        seconds = f"{self.registry.settings.head_seconds:g} s (RADII_HEAD_SECONDS)"
        self._refuse(RequestTooSlow(expected=f"the head of a request within {seconds}", got="a part of it"))

    def _watch_reader(self) -> None:
        waits = self._raw.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(self.registry.settings.response_seconds, self._look_at_reader, waits)

    def _look_at_reader(self, waited: int) -> None:
        """Ends the connection of a client that has taken nothing, or hardly anything, of its answer since the last look."""
        settings = self.registry.settings
        if waited - self._raw.get_write_buffer_size() >= settings.response_rate * settings.response_seconds:
            self._watch_reader()
            return
        self.registry.refusals.count("slow_reader")
        self._raw.abort()

    def _refuse(self, error: ServiceError) -> None:
        """Answers without the application, and closes."""
        self._raw.write(_answer(error))
        self.linger()

    def linger(self) -> None:
        """Ends the answer; what the client still sends is read for a moment and dropped."""
        if self._closing:
            return
        self._closing = True
        self._cancel_timers()
        self._unset_keepalive_if_required()
        if self.registry.lingering >= MOST_LINGERING or not self._raw.can_write_eof():
            self._raw.close()
            return
        self._raw.set_protocol(_Drain(self))
        self._raw.resume_reading()
        self._raw.write_eof()


class _Drain(asyncio.Protocol):
    """Reads and drops, for a moment, what a client still sends; then the connection is lost to its own protocol."""

    def __init__(self, of: LimitedProtocol) -> None:
        self._of, self._left = of, LINGER_BYTES
        self._timer = of.loop.call_later(LINGER_SECONDS, of._raw.abort)
        of.registry.lingering += 1

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._of._raw.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._of.registry.lingering -= 1
        self._of.connection_lost(exc)


class _Lingering:
    """A transport that does not close while the client still sends a body that nobody reads."""

    def __init__(self, transport: asyncio.Transport, protocol: LimitedProtocol) -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Closes, in a moment where there is a body on its way."""
        if self._protocol.body_pending() and not self._transport.is_closing():
            self._protocol.linger()
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be in a moment."""
        return self._protocol._closing or self._transport.is_closing()


def server_config(app: FastAPI, most: int | None = None, **more: Any) -> uvicorn.Config:
    """How uvicorn serves an application of :func:`radii.service.api.app.create_app`, with its limits.

    Args:
        app: The application, whose settings have the limits.
        most: Connections that the system allows, where that is fewer than the settings say.
        more: Further arguments of ``uvicorn.Config``.
    """
    settings: Settings = app.state.settings
    refusals: RefusalMetrics = app.state.room.refusals
    registry = Connections(settings, refusals, most)
    refusals.gauge("http_connections", "Open connections.", lambda: len(registry))
    return uvicorn.Config(
        app,
        http=type("LimitedProtocol", (LimitedProtocol,), {"registry": registry}),
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # RequestLimits does that, with the settings
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=settings.keep_alive,
        h11_max_incomplete_event_size=MOST_HEAD,
        **more,
    )


def _answer(error: ServiceError) -> bytes:
    """A problem as a whole HTTP answer."""
    body = json.dumps(error.problem()).encode()
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{name}: {value}" for name, value in {**headers, **error.headers}.items()]
    head = f"HTTP/1.1 {error.status} {STATUS_PHRASES[error.status].decode()}"
    return "\r\n".join([head, *lines, "", ""]).encode() + body
