"""Answers that are the same for everybody, metrics and readiness: one is made at a time, and concurrent requests share it.

A waiting request holds no thread, so a large number of them cannot delay others. Metrics that took long to make are kept for a
while: scrapes then take at most a tenth of the database's time.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from starlette.concurrency import run_in_threadpool

LONG = 0.25
"""Seconds from which on an answer took long to make."""
KEPT = 9
"""Times as long as it took to make, such metrics are kept."""
T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """An answer that everybody gets, made in a thread. For one event loop.

    Args:
        make: Makes the answer.
        kept: An answer that took longer than ``LONG`` is kept for this many times as long as it took.
    """

    def __init__(self, make: Callable[[], T], *, kept: float = 0.0) -> None:
        self._make, self._times = make, kept
        self._making: asyncio.Task[T] | None = None
        self._kept: tuple[T, float] | None = None
        """The last answer that is kept, and until when."""

    async def answer(self) -> T:
        """The answer that is kept, that is being made, or a new one."""
        if self._kept is not None and monotonic() < self._kept[1]:
            return self._kept[0]
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._made())
        # A client that goes away must not cancel what others wait for.
        return await asyncio.shield(self._making)

    async def _made(self) -> T:
        began = monotonic()
        made = await run_in_threadpool(self._make)
        took = monotonic() - began
        self._kept = (made, monotonic() + self._times * took) if took > LONG else None
        return made


class SharedMetrics(SharedAnswer[bytes]):
    """The metrics of a registry in the text format of Prometheus."""

    def __init__(self, registry: CollectorRegistry, *, kept: float = KEPT) -> None:
        super().__init__(partial(generate_latest, registry), kept=kept)
