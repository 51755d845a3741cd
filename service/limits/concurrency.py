"""Per-tenant concurrency limits. A request over the limit is rejected with 429. Image decoding is queued instead; a queued
request uses no thread."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from radii.service.errors import TooManyWait
from radii.service.limits.request_turns import waiting

T = TypeVar("T")

DECODED_AT_ONCE = 4
"""Requests whose images are decoded at a time."""
OF_ONE_TENANT = 3
"""Of these at most so many are of one tenant."""
JOINED_AT_ONCE = 4
"""Uploads in parts that are joined at a time, of all tenants."""
SEALED_AT_ONCE = 4
"""Large uploads that are made durable (``fsync``) at a time, of all tenants."""


class TenantLimit:
    """So many for each tenant, in any thread; ``what`` names them in errors."""

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, tenant_id: str) -> Iterator[None]:
        """A place for as long as the block lasts. Raises :class:`TooManyWait` where the tenant has no more."""
        with self._lock:
            if self._taken[tenant_id] >= self._most:
                raise TooManyWait(
                    expected=f"at most {self._most} {self._what} of yours at a time", got="one more than that"
                )
            self._taken[tenant_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[tenant_id] -= 1
                self._taken += Counter()  # without those that have none


class FairThreads:
    """Threads for work that takes a processor; the service's own stay free."""

    def __init__(self, at_once: int = DECODED_AT_ONCE, of_one_tenant: int = OF_ONE_TENANT) -> None:
        self._all = CapacityLimiter(at_once)
        self._of_one_tenant = of_one_tenant
        self._each: dict[str, CapacityLimiter] = {}
        self._here: Counter[str] = Counter()
        """Requests that are at work or wait, by tenant; the limiter of a tenant that has none is not kept."""

    async def run(self, tenant_id: str, work: Callable[[], T]) -> T:
        """What ``work`` returns, in a thread, when it is the tenant's turn."""
        each = self._each.setdefault(tenant_id, CapacityLimiter(self._of_one_tenant))
        self._here[tenant_id] += 1
        try:
            async with waiting(), each:
                return await to_thread.run_sync(work, limiter=self._all)
        finally:
            self._here[tenant_id] -= 1
            if not self._here[tenant_id]:
                del self._here[tenant_id], self._each[tenant_id]
