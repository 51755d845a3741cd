"""Answers to scrapes of the metrics: one is made at a time, and concurrent scrapes share it.

A waiting scrape holds no thread, so many scrapes at once cannot delay other requests. An answer that took long to make is kept
for a while: scrapes then take at most a tenth of the database's time.
"""

import asyncio
from time import monotonic

from prometheus_client import CollectorRegistry, generate_latest
from starlette.concurrency import run_in_threadpool

LONG = 0.25
"""Seconds from which on an answer took long to make."""
KEPT = 9
"""Times as long as it took to make, such an answer is kept."""


class Scrapes:
    """The answers of one event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._making: asyncio.Task[bytes] | None = None
        self._kept, self._kept_until = b"", 0.0

    async def answer(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        if monotonic() < self._kept_until:
            return self._kept
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
        # A client that goes away must not cancel what others wait for.
        return await asyncio.shield(self._making)

    async def _make(self) -> bytes:
        began = monotonic()
        made = await run_in_threadpool(generate_latest, self._registry)
        took = monotonic() - began
        if took > LONG:
            self._kept, self._kept_until = made, monotonic() + KEPT * took
        return made
