"""Every error as an RFC 9457 problem: what was expected, what came, in one sentence.

Errors of the library and of the service are problems already; the handlers here turn whatever else can go wrong into
one. The inside of the service is never shown: an unexpected error gets an identifier that stands in the log beside its
traceback.
"""

import json
import logging
import secrets
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rs_core.errors import MissingFile, RadiiError, no_room
from rs_core.faults import fault, of_their_own
from service import requests
from service.errors import (
    Collision,
    CutShort,
    DiskFull,
    InvalidRequest,
    OtherSchema,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from service.rendering import PAGE_HEADERS, render
from service.schemas import PROBLEM_MEDIA_TYPE
from worker.store.schema import WrongSchema

log = logging.getLogger("radii.service")

NOT_THERE = ("no such column", "no such table", "UndefinedColumn", "UndefinedTable")
"""What a database says that was given another schema a moment ago."""
NO_ROOM = ("disk is full", "No space left", "could not extend file")


def install(app: FastAPI) -> None:
    """Gives the application its handlers."""
    app.add_exception_handler(RadiiError, _radii_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in (DBAPIError, PoolTimeout, WrongSchema):
        app.add_exception_handler(kind, _database_error)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(ClientDisconnect, _cut_short)
    app.add_exception_handler(Exception, _unexpected)


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
    """pydantic's list as one sentence, and as a list."""
    assert isinstance(error, RequestValidationError)
    media = request.headers.get("Content-Type", "none").partition(";")[0]
    if any(item["loc"] == ("body",) and isinstance(item["input"], bytes) for item in error.errors()):
        return answer_error(request, UnsupportedMedia(expected="Content-Type: application/json", got=media))
    found = [fault(item, requests.RECORDS, requests.PATTERNS) for item in of_their_own(error.errors())]
    detail = "; ".join(f"{f['location']}: expected {f['expected']}, got {f['got']}" for f in found[:5])
    more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
    problem = {
        "type": "urn:radii:problem:invalid-request",
        "title": InvalidRequest.__doc__,
        "status": 422,
        "detail": f"The request is not valid: {detail}{more}.",
        "errors": found,
    }
    return answer(request, problem)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    titles = {
        400: "The body cannot be read.",
        404: "There is nothing here.",
        405: "This method is not offered here.",
        413: TooLarge.__doc__ or "",
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
