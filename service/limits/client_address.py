"""The address of a client, also behind reverse proxies, and the key under which its limits are counted.

A header such as ``X-Forwarded-For`` is believed only where the connection comes from a trusted proxy. Each proxy appends
the address that it saw, so the entry that counts is the right-most one that is not a trusted proxy itself. Only one
header is read: a proxy that appends to one of them passes the other on as the client has sent it.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope

Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"
MOST_HOPS = 50
"""Entries of the header that are looked at, from the right."""
IPV6_PREFIX = 64
"""A host in IPv6 usually has a whole network of this size, so that a limit for one address would not limit anything."""


def is_trusted(host: str | None, proxies: Sequence[Network]) -> bool:
    """Whether a connection from this address is one of a trusted proxy."""
    address = _parsed(host or "")
    return address is not None and any(address in network for network in proxies)


def client_of(scope: Scope, proxies: Sequence[Network], header: str) -> str:
    """The address of the client that sent a request.

    Args:
        scope: ASGI scope of the request.
        proxies: Networks of the trusted proxies.
        header: Name of the only header that is believed, ``x-forwarded-for`` or ``forwarded``.
    """
    peer = scope["client"][0] if scope.get("client") else UNKNOWN
    if not is_trusted(peer, proxies):
        return peer
    values = ",".join(Headers(scope=scope).getlist(header))
    hops = values.split(",")[-MOST_HOPS:]
    nearest = peer
    for hop in reversed(hops):
        host = _for_parameter(hop) if header == "forwarded" else hop.strip()
        address = _parsed(_without_port(host))
        if address is None:  # whatever stands to the left of it could be made up
            return nearest
        nearest = str(address)
        if not is_trusted(nearest, proxies):
            return nearest
    return nearest


def limit_key(host: str | None) -> str:
    """What one client has in common: the address in IPv4, the /64 network in IPv6."""
    address = _parsed(host or "")
    if address is None:
        return host or UNKNOWN
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)


def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _for_parameter(hop: str) -> str:
    """The node in one entry of a ``Forwarded`` header (RFC 7239); empty where it has none."""
    for part in hop.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
