"""The OpenAPI document: every error as ``application/problem+json``, and an example on every operation."""

import json
import threading
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from radii.service.schemas.examples import comparisons, evaluations, predictions, resources, storage
from radii.service.schemas.responses import PROBLEM_MEDIA_TYPE, Problem

MEANINGS = {
    400: "The body cannot be read",
    401: "A valid API key is needed",
    404: "There is nothing here that is yours",
    409: "Not now: something is in use, or not ready yet",
    410: "A stored file is missing; the operator can put it back",
    413: "The body is too large, or more than all that you may store",
    415: "The body has a form that is not taken",
    408: "The body came too slowly",
    429: "You have too much work in the queue, or too many requests or event streams at a time; try again after Retry-After",
    422: "The request is not valid: what was expected, and what came",
    503: "The database cannot be reached; try again",
    507: "The disk is full, or your storage quota is used up",
}
PATH = "/openapi.json"
ANYWHERE = (401, 408, 413, 422, 429, 503)
Responses = dict[int | str, dict[str, Any]]

PARTS = (resources, evaluations, comparisons, predictions, storage)
REQUESTS: dict[str, dict[str, Any]] = {}
RESPONSES: dict[tuple[str, int, str], Any] = {}
for part in PARTS:
    REQUESTS |= {name: REQUESTS.get(name, {}) | added for name, added in getattr(part, "REQUESTS", {}).items()}
    RESPONSES |= part.RESPONSES

NOT_MODIFIED: Responses = {304: {"description": "Not modified"}}
ACCEPTED: Responses = {
    202: {
        "description": "Accepted; what is made can be seen at Location",
        "headers": {
            "Location": {"description": "where it can be seen", "schema": {"type": "string"}},
            "Retry-After": {"description": "seconds until it is worth looking", "schema": {"type": "integer"}},
        },
    }
}


def files(*media_types: str) -> Responses:
    """The ``responses`` of an operation that answers in one of several forms, or that nothing has changed."""
    return {200: {"content": {media_type: {} for media_type in media_types}}, **NOT_MODIFIED}


def problems(*statuses: int) -> Responses:
    """The ``responses`` of an operation that may end so; every operation may end in one of ``ANYWHERE``."""
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in (*statuses, *ANYWHERE)}


def install(app: FastAPI, *, require_key: bool) -> None:
    """Gives the application its document, and the route that answers with it.

    The document is made once, by a thread: that takes some tenths of a second, in which the event loop would answer nobody.
    """
    lock = threading.Lock()
    encoded = b""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            app.openapi_schema = _finished(made, require_key)
        return app.openapi_schema

    def answer(_: Request) -> Response:
        nonlocal encoded
        with lock:
            if not encoded:
                encoded = json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()
        return Response(encoded, media_type="application/json")

    app.openapi = document  # type: ignore[method-assign]
    app.add_route(PATH, answer, include_in_schema=False)


def _finished(document: dict[str, Any], require_key: bool) -> dict[str, Any]:
    for path in document["paths"].values():
        for operation in path.values():
            _examples(operation)
            if "security" in operation and not require_key:
                operation["security"].append({})
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if int(status) >= 400 and content:  # whatever media type the operation has when all goes well
                    response["content"] = {PROBLEM_MEDIA_TYPE: next(iter(content.values()))}
    return document


def _examples(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if media_type == "application/json":
            content["examples"] = {title: {"value": value} for title, value in REQUESTS[name].items()}
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if int(status) < 300 and (found := RESPONSES.get((name, int(status), media_type))) is not None:
                content["example"] = found
