"""Whose address counts: the header of a proxy is believed where the proxy is trusted, and nowhere else."""

from ipaddress import ip_network
from typing import Any

import pytest

from radii.service.limits.client_address import client_of, limit_key

PROXIES = (ip_network("10.0.0.0/24"), ip_network("2001:db8::1"))


def _scope(peer: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"type": "http", "client": None if peer is None else (peer, 1), "headers": raw}


@pytest.mark.parametrize(
    ("peer", "value", "client"),
    [
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        ("10.0.0.5", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.5", "203.0.113.7, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.5", "203.0.113.7, 198.51.100.9, 10.0.0.6", "198.51.100.9"),
        ("10.0.0.5", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.5", "[2001:db8:1::2]:4711", "2001:db8:1::2"),
        ("2001:db8::1", "2001:db8:1::2", "2001:db8:1::2"),
        ("::ffff:10.0.0.5", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.5", "198.51.100.9, made up", "10.0.0.5"),
        ("10.0.0.5", "made up, 10.0.0.6", "10.0.0.6"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", "1.2.3.4," + "10.0.0.6," * 10_000, "10.0.0.5"),
        (None, "198.51.100.9", "unknown"),
    ],
)
def test_the_rightmost_address_that_is_no_trusted_proxy_counts(peer: str | None, value: str, client: str) -> None:
    assert client_of(_scope(peer, ("X-Forwarded-For", value)), PROXIES, "x-forwarded-for") == client


def test_several_headers_are_one_list() -> None:
    scope = _scope("10.0.0.5", ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "198.51.100.9"))
    assert client_of(scope, PROXIES, "x-forwarded-for") == "198.51.100.9"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=198.51.100.9", "198.51.100.9"),
        ('for=203.0.113.7, For="[2001:db8:1::2]:80";proto=https;by=10.0.0.5', "2001:db8:1::2"),
        ("by=10.0.0.5", "10.0.0.5"),
        ("for=_hidden", "10.0.0.5"),
    ],
)
def test_the_other_header_can_be_chosen_and_then_is_the_only_one(value: str, client: str) -> None:
    scope = _scope("10.0.0.5", ("Forwarded", value), ("X-Forwarded-For", "192.0.2.66"))
    assert client_of(scope, PROXIES, "forwarded") == client
    assert client_of(scope, PROXIES, "x-forwarded-for") == "192.0.2.66"


def test_one_client_of_ipv6_is_a_network_and_one_of_ipv4_an_address() -> None:
    assert limit_key("2001:db8:1:2:3:4:5:6") == limit_key("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert limit_key("2001:db8:1:3::") != limit_key("2001:db8:1:2::")
    assert limit_key("::ffff:192.0.2.1") == limit_key("192.0.2.1") == "192.0.2.1"
    assert limit_key(None) == "unknown"
