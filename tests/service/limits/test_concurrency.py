"""Places and turns: a tenant has so many, others have theirs, and what ends makes room."""

import time
from threading import Lock

import anyio
import pytest

from radii.service.errors import TooManyWait
from radii.service.limits.concurrency import FairThreads, TenantLimit


def test_a_tenant_has_its_places_and_gives_them_back_however_the_work_ends() -> None:
    places = TenantLimit(2, "comparisons")
    refused = pytest.raises(TooManyWait, match="at most 2 comparisons of yours at a time")
    with places.taken("a"), places.taken("a"), places.taken("b"), refused, places.taken("a"):
        raise AssertionError
    with pytest.raises(ValueError), places.taken("a"):
        raise ValueError
    with places.taken("a"), places.taken("a"):
        pass


def test_turns_are_so_many_at_once_and_one_tenant_cannot_take_all() -> None:
    turns, lock = FairThreads(4, 3), Lock()
    now: dict[str, int] = {"greedy": 0, "patient": 0}
    most: list[dict[str, int]] = []

    def work(tenant: str) -> None:
        with lock:
            now[tenant] += 1
            most.append(dict(now))
        time.sleep(0.05)
        with lock:
            now[tenant] -= 1

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for tenant in ["greedy"] * 12 + ["patient"] * 3:
                group.start_soon(turns.run, tenant, lambda tenant=tenant: work(tenant))  # type: ignore[misc]

    anyio.run(all_of_them)
    assert len(most) == 15 and not turns._each, "and nobody is remembered"
    assert max(seen["greedy"] for seen in most) == 3
    assert max(sum(seen.values()) for seen in most) == 4
    assert any(seen["patient"] for seen in most[:4]), "who comes last is among the first"
