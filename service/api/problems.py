"""Every error as an RFC 9457 problem: what was expected, what came, in one sentence.

Errors of the library and of the service are problems already; the handlers here turn whatever else can go wrong into
one. The inside of the service is never shown: an unexpected error gets an identifier that stands in the log beside its
traceback.
"""

import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from radii.rs_core.errors import MissingFile, RadiiError, no_room
from radii.rs_core.specs.validation_errors import first_faults
from radii.service.errors import (
    BodyRefused,
    Collision,
    CutShort,
    DiskFull,
    InvalidRequest,
    NeedsMoreMemory,
    NestedTooDeeply,
    OtherSchema,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from radii.service.schemas import requests
from radii.service.schemas.responses import PROBLEM_MEDIA_TYPE
from radii.service.views.rendering import PAGE_HEADERS, render
from radii.worker.store.schema_version import WrongSchema

log = logging.getLogger("radii.service")

NOT_THERE = ("no such column", "no such table", "UndefinedColumn", "UndefinedTable")
"""What a database says that was given another schema a moment ago."""
NO_ROOM = ("disk is full", "No space left", "could not extend file")


def install(app: FastAPI) -> None:
    """Gives the application its handlers."""
    for kind, handler in _handlers().items():
        app.add_exception_handler(kind, handler)


def answer_any(request: Request, error: Exception) -> Response:
    """Any error as a response, for middleware, which the application's handlers do not see."""
    handlers = _handlers()
    return next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)(request, error)


def _handlers() -> dict[type[Exception], Callable[[Request, Exception], Response]]:
    return {
        DBAPIError: _database_error,
        PoolTimeout: _database_error,
        WrongSchema: _database_error,
        RadiiError: _radii_error,
        RequestValidationError: _invalid,
        HTTPException: _http_error,
        OSError: _os_error,
        ClientDisconnect: _cut_short,
        RecursionError: _too_deep,
        MemoryError: _needs_more_memory,
        Exception: _unexpected,
    }


def _needs_more_memory(request: Request, error: Exception) -> Response:
    log.error("an answer needs more memory than there is", extra={"path": request.url.path[:200]})
    return answer_error(
        request,
        NeedsMoreMemory(expected="an answer that fits into it", got="a larger one; ask for fewer rows or runs at once"),
    )


def answer(request: Request, problem: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """The problem as a response; ``instance`` is the request's path. A browser that opens an address gets it as a page."""
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        page = render("problem.html", problem=problem, path=request.url.path)
        return HTMLResponse(page, status_code=problem["status"], headers={**PAGE_HEADERS, **(headers or {})})
    body = json.dumps(problem | {"instance": request.url.path})  # ASCII, so that no text can be unwritable
    return Response(body, status_code=problem["status"], media_type=PROBLEM_MEDIA_TYPE, headers=headers)


def answer_error(request: Request, error: RadiiError) -> Response:
    """An error of ours as a response."""
    return answer(request, error.problem(), getattr(error, "headers", None))


def _radii_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RadiiError)
    return answer_error(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    """pydantic's errors as one sentence, and the first of them as a list; ``more_errors`` counts the others."""
    assert isinstance(error, RequestValidationError)
    media = request.headers.get("Content-Type", "none").partition(";")[0]
    items = error.errors()
    if any(item["loc"] == ("body",) and isinstance(item["input"], bytes) for item in items[:1]):
        return answer_error(request, UnsupportedMedia(expected="Content-Type: application/json", got=media))
    found, more_errors = first_faults(items, requests.RECORDS, requests.PATTERNS)
    detail = "; ".join(f"{f['location']}: expected {f['expected']}, got {f['got']}" for f in found[:5])
    others = len(found) + more_errors - len(found[:5])
    more = f"; and {others:,} more" if others else ""
    problem = {
        "type": "urn:radii:problem:invalid-request",
        "title": InvalidRequest.title,
        "status": 422,
        "detail": f"The request is not valid: {detail}{more}.",
        "errors": found,
    }
    return answer(request, problem | ({"more_errors": more_errors} if more_errors else {}))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, BodyRefused):
        return answer_error(request, error.problem)
    if isinstance(error.__cause__, RecursionError):
        return _too_deep(request, error.__cause__)
    titles = {
        400: "The body cannot be read.",
        404: "There is nothing here.",
        405: "This method is not offered here.",
        413: TooLarge.title,
    }
    title = titles.get(error.status_code, str(error.detail))
    detail = {
        404: f"There is nothing at {request.url.path!r}.",
        405: f"{request.method} is not offered at {request.url.path!r}.",
        400: "The body cannot be read: expected JSON in UTF-8, got something else.",
    }.get(error.status_code, str(error.detail))
    problem = {"type": "about:blank", "title": title, "status": error.status_code, "detail": detail[:1000]}
    return answer(request, problem, dict(error.headers or {}))


def _database_error(request: Request, error: Exception) -> Response:
    """A database that is away, busy or full is no fault of the service's; anything else it does not know is."""
    text = str(getattr(error, "orig", None) or error)
    if isinstance(error, IntegrityError):
        collision = Collision(expected="a request that goes alone", got="two at once; try again")
        return answer_error(request, collision)
    if isinstance(error, DataError):
        expected = "text without NUL characters, and numbers of at most 64 bits"
        return answer_error(request, InvalidRequest(expected=expected, got="a value that the database refused"))
    if any(sign in text for sign in NO_ROOM):
        return answer_error(request, DiskFull(expected="room for the database", got="none"))
    if isinstance(error, WrongSchema) or any(sign in text for sign in NOT_THERE):
        return answer_error(request, OtherSchema(expected="one of this version's schema", got=text.splitlines()[0]))
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout) or _lost(error):
        log.warning("database unavailable: %s", text)
        return answer_error(request, Unavailable(expected="an answer from the database", got="none; try again"))
    return _unexpected(request, error)


def _lost(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def missing_file(what: str) -> MissingFile:
    """The problem of something whose file is not in the data folder."""
    return MissingFile(expected=f"the stored file of {what}", got="none; ask the operator to put it back from a backup")


def _os_error(request: Request, error: Exception) -> Response:
    if isinstance(error, FileNotFoundError) and error.filename:
        path = Path(str(error.filename)).absolute()
        if request.app.state.settings.blobs.absolute() in path.parents:
            log.error("a stored file is missing", extra={"path": str(path)})
            return answer_error(request, missing_file(path.name))
    if no_room(error):
        return answer_error(request, DiskFull(expected="room for the data", got="none"))
    return _unexpected(request, error)


def _cut_short(request: Request, error: Exception) -> Response:
    return answer_error(request, CutShort(expected="the whole body", got="the end of the connection"))


def _too_deep(request: Request, error: Exception) -> Response:
    """JSON that is nested too deeply for the parser, the validation or the answer; without a body it is our mistake."""
    if request.method not in ("POST", "PUT", "PATCH"):
        return _unexpected(request, error)
    log.warning("nested too deeply: %s %s", request.method, request.url.path)
    expected = "JSON of a few levels, as in the examples of /openapi.json"
    return answer_error(request, NestedTooDeeply(expected=expected, got="hundreds of levels"))


def _unexpected(request: Request, error: Exception) -> Response:
    identifier = secrets.token_hex(8)
    log.error("error %s in %s %s", identifier, request.method, request.url.path, exc_info=error)
    problem = {
        "type": "urn:radii:problem:unexpected",
        "title": "The service failed in a way that it does not know.",
        "status": 500,
        "detail": f"An unexpected error ended the request; the service's log tells more under {identifier}.",
        "error_id": identifier,
    }
    return answer(request, problem)
