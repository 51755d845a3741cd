"""What the service refused because of a limit, counted by reason, and what its limits hold at the moment."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

REASONS = {
    "connections": "no free connection in the service",
    "address_connections": "too many connections of one address",
    "connection_rate": "too many new connections per second of one address",
    "evicted": "an idle or unfinished connection that made room for another one",
    "slow_head": "the head of a request did not arrive in time",
    "slow_body": "the body of a request did not arrive in time",
    "slow_reader": "the client did not take the answer",
    "malformed": "not HTTP, or a head that is too large",
    "credentials": "no valid API key",
    "body_size": "a body that is too large",
    "address_requests": "too many requests of one address at a time",
    "tenant_requests": "too many requests of one tenant at a time",
    "address_streams": "too many event streams of one address",
    "tenant_streams": "too many event streams of one tenant",
}


class RefusalMetrics:
    """The counter of one application, and gauges that are read when they are scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        text = "Requests and connections that a limit refused, by reason."
        self._count = Counter("radii_http_refused", text, ("reason",), registry=registry)
        for reason in REASONS:
            self._count.labels(reason)

    def count(self, reason: str) -> None:
        """One more; ``reason`` is one of ``REASONS``."""
        self._count.labels(reason).inc()

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that is read at each scrape."""
        Gauge(f"radii_{name}", text, registry=self._registry).set_function(read)
