"""JSON bodies of requests: bounded before they are parsed and before they are validated.

pydantic makes an error for every unknown field and every wrong list item, so a body with a million of them costs seconds
and a gigabyte before any handler runs. A body of a real request has few fields.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from radii.rs_core.errors import RadiiError
from radii.service.errors import InvalidRequest, NestedTooDeeply

MOST_VALUES = 200_000
"""Values in one body, counted by their separators. The longest list that a request takes has 100,000 items."""
MOST_FIELDS = 200
"""Fields of one object."""
MOST_NAMES = 10_000
"""Fields of all objects in one body. Parsing stops where there are more, since objects take most of the time."""
MOST_LEVELS = 64
"""Objects and lists inside each other: what validates them and shows what is wrong costs much more for each level."""
LARGE = 64 * 2**10
"""Bytes above which a body is parsed in a thread."""


def parse(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        json.JSONDecodeError: It is not JSON.
        UnicodeDecodeError: It is not UTF-8, the encoding of JSON (RFC 8259, section 8.1).
        InvalidRequest: It has too many values or fields, or text that is not Unicode.
        NestedTooDeeply: It has too many levels.
    """
    values = sum(body.count(mark) for mark in (b",", b"[", b"{"))
    if values > MOST_VALUES:
        raise InvalidRequest(expected=f"a body with at most {MOST_VALUES:,} values", got=f"about {values:,}")
    found = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_Fields().add)
    _check_fields(found)
    if b"\\ud" in body or b"\\uD" in body:
        _check_text(found)
    return found


class _Fields:
    """Counts the fields of a body while it is parsed."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """One object of the body; raises :class:`InvalidRequest` where there are too many fields by now."""
        self._count += len(pairs)
        if self._count > MOST_NAMES:
            raise InvalidRequest(expected=f"a body with at most {MOST_NAMES:,} fields", got="more", where="body")
        return dict(pairs)


def _check_fields(found: Any) -> None:
    """Refuses objects with too many fields, and values in too many levels, without recursion."""
    left = [(found, 1)]
    while left:
        value, level = left.pop()
        if level > MOST_LEVELS:
            raise NestedTooDeeply(expected=f"JSON of at most {MOST_LEVELS} levels", got="more levels")
        if isinstance(value, dict):
            if len(value) > MOST_FIELDS:
                expected = f"objects with at most {MOST_FIELDS} fields"
                raise InvalidRequest(expected=expected, got=f"one with {len(value):,}", where="body")
            left.extend((item, level + 1) for item in value.values() if isinstance(item, dict | list))
        elif isinstance(value, list):
            left.extend((item, level + 1) for item in value if isinstance(item, dict | list))


def _check_text(found: Any) -> None:
    """Refuses lone surrogates: no database stores them and no answer can repeat them."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            expected="text in Unicode", got="a lone surrogate (\\ud800 to \\udfff)", where="body"
        ) from None


class JsonRequest(Request):
    """A request whose JSON is parsed by :func:`parse`, in a thread where it is large."""

    async def json(self) -> Any:
        """The body's value."""
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = parse(body) if len(body) <= LARGE else await run_in_threadpool(parse, body)
        return self._json


class JsonRoute(APIRoute):
    """A route that takes a JSON body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, over a :class:`JsonRequest`."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            try:
                return await handle(JsonRequest(request.scope, request.receive))
            except HTTPException as error:
                if isinstance(error.__cause__, RadiiError):  # FastAPI makes a 400 of whatever goes wrong while it reads
                    raise error.__cause__ from None
                raise

        return bounded
