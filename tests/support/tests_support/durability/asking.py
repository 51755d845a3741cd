"""Who asks the API all the time, and keeps what it answered."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx

PATIENCE = 60.0
"""Seconds for an answer: more than a service waits for the lock of an SQLite database."""


class Asker:
    """Asks for these pages in turn and, with a body, submits a job after them. What it was promised stands in ``taken``, and
    the seconds until the answer that came latest in ``slowest``."""

    def __init__(self, address: str, pages: Sequence[str], body: dict[str, Any] | None = None) -> None:
        self.statuses: Counter[int] = Counter()
        self.without_retry = 0
        self.slowest = 0.0
        self.taken: list[str] = []
        self._address, self._pages, self._body = address, pages, body
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    @contextmanager
    def asking(self) -> Iterator["Asker"]:
        """Inside, it asks."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(timeout=60)

    def other_than(self, *statuses: int) -> int:
        """How many answers were none of these; one that did not come is none of them."""
        return sum(number for status, number in self.statuses.items() if status not in statuses)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._address, timeout=PATIENCE) as client:
            for turn in count():
                if self._stop.wait(0.1):
                    return
                began = time.monotonic()
                try:
                    self._keep(self._answer(client, turn % (len(self._pages) + (self._body is not None))))
                except httpx.TransportError:
                    self.statuses[0] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)

    def _answer(self, client: httpx.Client, number: int) -> httpx.Response:
        if number < len(self._pages):
            return client.get(self._pages[number])
        return client.post("/v1/jobs", json=self._body)

    def _keep(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] += 1
        self.without_retry += answer.status_code == 503 and "Retry-After" not in answer.headers
        if answer.status_code == 202:
            self.taken.append(answer.json()["id"])
