"""The turn of a request: it is worked on while it has one, and gives it to others while it only waits.

Turns are handed out by a :class:`FairLimiter`, so that many requests of one tenant do not take all threads and all of
the interpreter's time. A request has no turn while it waits for its client (a body, a slow reader) or for a job.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from radii.service.limits.fair_limiter import FairLimiter

T = TypeVar("T")
_current: ContextVar["RequestTurn | None"] = ContextVar("radii_turn", default=None)


PATIENCE = 0.5
"""Seconds after which one looks whether the client of a request that waits is still there: most do not wait that long."""


class ClientGone(Exception):
    """The client has disconnected while its request waited to be begun."""


class RequestTurn:
    """The turn of one request of ``share``, a tenant or, without one, an address.

    Args:
        limiter: Hands out the turns.
        share: Whose share of the turns it is.
        release_body: Gives back the memory that is reserved for the body.
        gone: Returns when the client has disconnected; None where that cannot be told.
    """

    def __init__(
        self,
        limiter: FairLimiter,
        share: str,
        release_body: Callable[[], None] = lambda: None,
        gone: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._limiter, self._share, self.release_body, self.gone = limiter, share, release_body, gone
        self._pauses, self._held, self._ended = 0, False, False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Waits for the turn and holds it for the length of the block; :func:`waiting` finds it there."""
        token = _current.set(self)
        try:
            if self.gone is None:
                await self._take()
            else:
                await unless_gone(self._take(), self.gone)
            yield
        finally:
            self.end()
            _current.reset(token)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Gives the turn back for the length of the block. Several tasks of one request may be inside at a time."""
        self._pauses += 1
        self._give_back()
        cancelled = True
        try:
            yield
            cancelled = False
        except Exception:
            cancelled = False
            raise
        finally:
            self._pauses -= 1
            if not (cancelled or self._pauses or self._ended):
                await self._take()

    def end(self) -> None:
        """Gives the turn back permanently: the answer is complete and only has to be sent."""
        self._ended = True
        self._give_back()

    async def _take(self) -> None:
        if self._held:
            return
        await self._limiter.acquire(self._share)
        if self._held or self._ended:  # another task of the request was faster, or it is over
            self._limiter.release(self._share)
        else:
            self._held = True

    def _give_back(self) -> None:
        if self._held:
            self._held = False
            self._limiter.release(self._share)


async def unless_gone(work: Coroutine[Any, Any, T], gone: Callable[[], Awaitable[None]]) -> T:
    """What ``work`` returns; raises :class:`ClientGone` where ``gone`` returns first."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({working}, timeout=PATIENCE)
        if not working.done():
            leaving = asyncio.ensure_future(gone())
            try:
                await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()


@asynccontextmanager
async def waiting(*, without_body: bool = False) -> AsyncIterator[None]:
    """Lets others run while the current request waits; ``without_body``: what it has read is not in memory any more."""
    turn = _current.get()
    if turn is None:
        yield
        return
    if without_body:
        turn.release_body()
    async with turn.paused():
        yield


async def unless_client_gone(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns; raises :class:`ClientGone` where the client of the current request disconnects first."""
    turn = _current.get()
    return await (work if turn is None or turn.gone is None else unless_gone(work, turn.gone))


@asynccontextmanager
async def noticing_disconnect(act: Callable[[], None]) -> AsyncIterator[None]:
    """Calls ``act`` where the client of the current request disconnects inside the block, so that nobody waits for a
    client that is gone."""
    turn = _current.get()
    if turn is None or turn.gone is None:
        yield
        return
    gone = turn.gone

    async def watch() -> None:
        await gone()
        act()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
