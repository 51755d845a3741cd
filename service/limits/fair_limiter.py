"""Shares of a limited resource among tenants: no tenant takes all of it, and those that hold least are served first."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class _Waiter:
    number: int
    amount: int
    granted: "asyncio.Future[None]"


class FairLimiter:
    """Hands out ``total`` units, at most ``each`` of them to one tenant. For one event loop; not thread-safe.

    Of the tenants that wait, the one that holds the fewest units is served first, its own requests in their order. A
    waiting tenant costs no thread.
    """

    def __init__(self, total: int, each: int) -> None:
        self.total, self.each = total, min(each, total)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._free, self._number = total, 0

    @property
    def in_use(self) -> int:
        """Units that are handed out."""
        return self.total - self._free

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def taken(self, tenant: str, amount: int = 1) -> AsyncIterator[None]:
        """Holds ``amount`` units for the length of the block."""
        await self.acquire(tenant, amount)
        try:
            yield
        finally:
            self.release(tenant, amount)

    async def acquire(self, tenant: str, amount: int = 1) -> None:
        """Waits for ``amount`` units. More than one tenant can have count as all that it can have."""
        amount, self._number = min(amount, self.each), self._number + 1
        if not self._waiting and self._fits(tenant, amount):
            self._take(tenant, amount)
            return
        waiter = _Waiter(self._number, amount, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(tenant, deque()).append(waiter)
        self._serve()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self.release(tenant, amount)
            elif waiter in self._waiting.get(tenant, ()):
                self._leave(tenant, waiter)
                self._serve()  # others may have waited behind this one
            raise

    def release(self, tenant: str, amount: int = 1) -> None:
        """Gives units back."""
        amount = min(amount, self.each)
        self._free += amount
        self._held[tenant] -= amount
        if not self._held[tenant]:
            del self._held[tenant]
        self._serve()

    def _serve(self) -> None:
        """Grants what can be granted. A large request at the head is not overtaken, or it might wait for ever."""
        while self._waiting:
            fit = [
                (self._held[tenant], queue[0].number, tenant)
                for tenant, queue in self._waiting.items()
                if self._held[tenant] + queue[0].amount <= self.each
            ]
            if not fit:
                return
            tenant = min(fit)[2]
            waiter = self._waiting[tenant][0]
            if waiter.granted.cancelled():
                self._leave(tenant, waiter)
                continue
            if waiter.amount > self._free:
                return
            self._leave(tenant, waiter)
            self._take(tenant, waiter.amount)
            waiter.granted.set_result(None)

    def _fits(self, tenant: str, amount: int) -> bool:
        return amount <= self._free and self._held[tenant] + amount <= self.each

    def _take(self, tenant: str, amount: int) -> None:
        self._held[tenant] += amount
        self._free -= amount

    def _leave(self, tenant: str, waiter: _Waiter) -> None:
        queue = self._waiting[tenant]
        queue.remove(waiter)
        if not queue:
            del self._waiting[tenant]
