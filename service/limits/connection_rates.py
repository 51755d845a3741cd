"""How fast client addresses may open connections.

A connection costs the event loop some tenths of a millisecond before anything is known of its request. An address that opens
thousands of them in a second would take all of its time.
"""

import time
from collections import OrderedDict

SECONDS = 10.0
"""The rate is an average over this many seconds: a burst may have as many connections as this time allows."""
MOST_ADDRESSES = 10_000
"""Addresses that are remembered; those that were heard of longest ago are forgotten first."""


class ConnectionRates:
    """A token bucket for each address.

    Args:
        rate: Connections per second, on average over ``SECONDS``.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._full = rate, max(1.0, rate * SECONDS)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Connections that an address may still open, and when that was so."""

    def allow(self, address: str) -> bool:
        """Counts a connection of an address; False where it comes too fast."""
        now = time.monotonic()
        left, since = self._left.pop(address, (self._full, now))
        left = min(self._full, left + (now - since) * self._rate)
        allowed = left >= 1.0
        self._left[address] = (left - 1.0 if allowed else left, now)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return allowed
