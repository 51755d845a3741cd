"""Requests that are tried again: the HTTP half of the Python client.

Connection failures and the statuses 429, 502, 503 and 504 are tried again, with pauses that double from half a second
to 30 s, or as long as the answer's ``Retry-After`` says: so often and, if that is not yet so long, for so many seconds as
the caller wants, who is told of it. A request that makes something carries an ``Idempotency-Key``
that stays the same over its tries, so that it makes one thing however often it arrives.
"""

import contextlib
import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from radii.service.client.errors import ApiError, ClientError, Unreachable

FIRST_TRIES = 1
"""How often a connection is tried again where this address has never answered: more likely wrong than restarting."""

RETRIED = frozenset({429, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LONGEST_RETRY_AFTER = 300.0

Content = Callable[[], AbstractContextManager[Any]]
"""Opens a request's body, once for every try."""
Waiting = Callable[[ClientError, float], object]
"""Is told why a request has to wait, and how many seconds until its next try."""


class HttpConnection:
    """One service's address, key and connections.

    ``reached``: whether the address has answered before, so that a service that does not is away, not elsewhere.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        keep_trying: float = 0.0,
        waiting: Waiting | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._timeout, self.reached = timeout, False
        self._retries, self._keep_trying, self._waiting = retries, keep_trying, waiting
        try:
            if httpx.URL(url).scheme not in ("http", "https"):
                raise ValueError("expected one that begins with http:// or https://")
            self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)
        except (httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{url!r} is not the address of a service: {error}.") from None
        self.url = url

    def close(self) -> None:
        """Closes every connection."""
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: Content | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> httpx.Response:
        """The answer, read in full; 304 is one. ``patience``: seconds that the service may take on purpose.

        Raises :class:`ApiError` for a problem and :class:`Unreachable` where no answer comes.
        """
        with self.stream(
            method, path, json=json, content=content, params=params, headers=headers, patience=patience
        ) as response:
            response.read()
            return response

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: Content | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> Iterator[httpx.Response]:
        """The answer, its body still to be read; what goes wrong while it is read is not tried again."""
        made = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        tries = _Tries(self._retries, self._keep_trying, self._waiting)
        with contextlib.ExitStack() as stack:
            for tried in itertools.count():
                body = stack.enter_context(content()) if content else None
                request = self._client.build_request(
                    method,
                    path,
                    json=json,
                    content=body,
                    params=params,
                    headers={**made, **(headers or {})},
                    timeout=httpx.Timeout(self._timeout, read=self._timeout + patience),
                )
                try:
                    response = self._client.send(request, stream=True)
                    stack.callback(response.close)
                    self.reached = True
                    if response.status_code not in RETRIED:
                        break
                    response.read()
                except httpx.TransportError as error:
                    failure = Unreachable(f"No answer from {self.url}: {_reason(error)}.")
                    nobody_there = isinstance(error, httpx.ConnectError) and not self.reached and tried == FIRST_TRIES
                    if nobody_there or isinstance(error, httpx.UnsupportedProtocol) or not tries.again(failure):
                        raise failure from error
                    continue
                if not tries.again(_problem(response), response.headers.get("Retry-After")):
                    break
            _raise_for(response)
            try:
                yield response
            except httpx.TransportError as error:
                raise Unreachable(f"The answer from {self.url} broke off: {_reason(error)}.") from error

    def download(self, path: str, target: Path) -> None:
        """Writes what is at ``path`` of the service to a file, which is whole or not there."""
        part = target.with_name(target.name + ".part")
        try:
            with self.stream("GET", path, headers={"Accept": "*/*"}) as response, part.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def items(self, path: str, **params: Any) -> Iterator[Any]:
        """The items of a list, page after page; the service's cursors say where each begins."""
        cursor: str | None = None
        while True:
            asked = params | ({"cursor": cursor} if cursor else {})
            page = self.send("GET", path, params=asked).json()
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return


class _Tries:
    """The tries of one request: another one while ``retries`` are left, or ``seconds`` since the first that failed."""

    def __init__(self, retries: int, seconds: float, waiting: Waiting | None) -> None:
        self._retries, self._seconds, self._waiting = retries, seconds, waiting
        self._tried, self._since = 0, 0.0

    def again(self, failure: ClientError, retry_after: str | None = None) -> bool:
        """Waits for the next try; False where there is to be none. A single connection that fails is told to nobody."""
        self._since = self._since if self._tried else time.monotonic()
        if self._tried >= self._retries and time.monotonic() - self._since >= self._seconds:
            return False
        seconds = pause(self._tried, retry_after)
        if self._waiting and (isinstance(failure, ApiError) or self._tried >= FIRST_TRIES):
            self._waiting(failure, seconds)
            self._waiting = None
        self._tried += 1
        time.sleep(seconds)
        return True


def pause(tried: int, retry_after: str | None = None) -> float:
    """Seconds until the next try: as the service says, else a random part of a doubling time."""
    if (said := _seconds(retry_after)) is not None:
        return min(said, LONGEST_RETRY_AFTER)
    longest = min(FIRST_PAUSE * 2**tried, LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` as seconds from now: a number or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    with contextlib.suppress(ValueError):
        then = parsedate_to_datetime(retry_after)
        return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def _raise_for(response: httpx.Response) -> None:
    if not response.is_success and response.status_code != 304:
        response.read()
        raise _problem(response)


def _problem(response: httpx.Response) -> ApiError:
    """The problem in an answer that was read."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        reason = f"{response.status_code} {response.reason_phrase}".strip()
        problem = {"title": reason, "detail": f"The service at {response.url} answered {reason}."}
    return ApiError(response.status_code, problem)


def _reason(error: httpx.TransportError) -> str:
    return str(error).rstrip(".") or type(error).__name__
