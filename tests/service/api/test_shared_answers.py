"""Scrapes of the metrics: however many ask at once, one is made."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from radii.service.api import shared_answers
from radii.service.api.shared_answers import SharedAnswer, SharedMetrics


class Counting(Collector):
    """Counts how often it is asked; answers once it is let go."""

    def __init__(self) -> None:
        self.asked, self.go = 0, threading.Event()

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        assert self.go.wait(30)
        yield GaugeMetricFamily("asked", "How often.", self.asked)


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def made(counting: Counting) -> SharedMetrics:
    registry = CollectorRegistry()
    registry.register(counting)
    return SharedMetrics(registry)


def test_scrapes_at_once_share_one_answer_and_a_client_that_leaves_does_not_end_it(
    made: SharedMetrics, counting: Counting
) -> None:
    async def ask() -> list[bytes]:
        waiting = [asyncio.create_task(made.answer()) for _ in range(100)]
        while not counting.asked:
            await asyncio.sleep(0.01)
        waiting.pop(0).cancel()
        counting.go.set()
        return await asyncio.gather(*waiting)

    answers = asyncio.run(ask())
    assert len(answers) == 99 and set(answers) == {answers[0]} and b"asked 1.0" in answers[0]


def test_a_scrape_after_the_other_is_made_anew(made: SharedMetrics, counting: Counting) -> None:
    counting.go.set()

    async def ask() -> list[bytes]:
        return [await made.answer(), await made.answer()]

    assert [b"asked 1.0" in answer for answer in asyncio.run(ask())] == [True, False]


def test_an_answer_that_took_long_is_kept_for_a_while(
    made: SharedMetrics, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting.go.set()
    now = iter([0.0, 1.0, 2.0, 5.0, 11.5, 11.5, 11.6])
    monkeypatch.setattr(shared_answers, "monotonic", lambda: next(now))

    async def ask() -> list[int]:
        found = []
        for _ in range(3):
            await made.answer()
            found.append(counting.asked)
        return found

    assert asyncio.run(ask()) == [1, 1, 2], "made in one second, so kept for nine"


def test_an_answer_that_is_not_kept_is_made_anew_however_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness: that the database is back must show at once."""
    monkeypatch.setattr(shared_answers, "LONG", 0.0)
    asked: list[int] = []

    async def ask() -> list[int]:
        shared = SharedAnswer(lambda: asked.append(1) or len(asked))
        at_once = await asyncio.gather(shared.answer(), shared.answer())
        return [*at_once, await shared.answer()]

    assert asyncio.run(ask()) == [1, 1, 2]
