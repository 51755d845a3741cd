"""The rate at which an address may open connections, on average over ten seconds."""

import pytest

from radii.service.limits import connection_rates
from radii.service.limits.connection_rates import MOST_ADDRESSES, ConnectionRates


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(connection_rates.time, "monotonic", lambda: now[0])
    return now


def test_ten_seconds_worth_may_come_at_once_and_then_the_rate(clock: list[float]) -> None:
    rates = ConnectionRates(5.0)
    assert [rates.allow("a") for _ in range(52)] == [True] * 50 + [False] * 2
    clock[0] += 0.4
    assert [rates.allow("a") for _ in range(4)] == [True, True, False, False]
    clock[0] += 1_000
    assert sum(rates.allow("a") for _ in range(100)) == 50


def test_addresses_do_not_count_for_each_other(clock: list[float]) -> None:
    rates = ConnectionRates(0.1)
    assert [rates.allow(address) for address in ("a", "a", "b", "b")] == [True, False, True, False]


def test_as_many_addresses_are_remembered_as_fit(clock: list[float]) -> None:
    rates = ConnectionRates(0.1)
    assert all(rates.allow(str(number)) for number in range(MOST_ADDRESSES + 1))
    assert not rates.allow("1") and rates.allow("0"), "the first one was forgotten"
    assert len(rates._left) == MOST_ADDRESSES
