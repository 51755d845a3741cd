"""Shares of a limiter: bounded in total and for each tenant, fair among those that wait, and never lost."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from radii.service.limits.fair_limiter import FairLimiter


def _run(act: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(act(), 20))  # type: ignore[arg-type]


def test_one_tenant_has_its_share_and_leaves_the_rest_to_others() -> None:
    async def act() -> None:
        limiter, now, most = FairLimiter(4, 3), Counter[str](), Counter[str]()

        async def work(tenant: str) -> None:
            async with limiter.taken(tenant):
                now[tenant] += 1
                most[tenant] = max(most[tenant], now[tenant])
                most["all"] = max(most["all"], now.total())
                await asyncio.sleep(0.001)
                now[tenant] -= 1

        await asyncio.gather(*[work(tenant) for tenant in ["greedy"] * 50 + ["patient"] * 5 + ["other"] * 5])
        assert (most["greedy"], most["all"], limiter.in_use, limiter.waiting) == (3, 4, 0, 0)

    _run(act)


def test_a_tenant_that_comes_last_does_not_wait_behind_those_that_hold_more() -> None:
    async def act() -> None:
        limiter, order = FairLimiter(2, 2), list[str]()

        async def work(tenant: str) -> None:
            async with limiter.taken(tenant):
                order.append(tenant)
                await asyncio.sleep(0)

        await asyncio.gather(*[work("greedy") for _ in range(20)], work("patient"))
        assert "patient" in order[:4], order

    _run(act)


def test_a_large_request_is_not_overtaken_for_ever_by_small_ones() -> None:
    async def act() -> None:
        limiter = FairLimiter(10, 8)
        await limiter.acquire("a", 3)
        large = asyncio.create_task(limiter.acquire("b", 8))
        await asyncio.sleep(0)
        small = asyncio.create_task(limiter.acquire("c", 1))
        await asyncio.sleep(0)
        assert not large.done() and not small.done(), "the small one came later, and fits only now"
        limiter.release("a", 3)
        await asyncio.sleep(0)
        assert large.done() and small.done()

    _run(act)


def test_more_than_a_tenant_can_have_is_all_that_it_can_have() -> None:
    async def act() -> None:
        limiter = FairLimiter(10, 8)
        async with limiter.taken("a", 100):
            assert limiter.in_use == 8
        assert limiter.in_use == 0

    _run(act)


def test_units_of_cancelled_requests_come_back_whenever_they_are_cancelled() -> None:
    async def act() -> None:
        limiter = FairLimiter(2, 2)
        await limiter.acquire("a", 2)
        waiting = [asyncio.create_task(limiter.acquire(name)) for name in "abcab"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
        limiter.release("a", 2)  # grants some of those that are cancelled before they have run again
        waiting[2].cancel()
        waiting[3].cancel()
        waiting[4].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        granted = sum(not task.cancelled() for task in waiting)
        assert (limiter.in_use, limiter.waiting) == (granted, 0) == (0, 0)

    _run(act)
