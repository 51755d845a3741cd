"""Who asks: API keys of tenants, and the guard before every request.

Where keys are needed, a request carries ``Authorization: Bearer radii_...``; a browser may give the key as the password
of HTTP Basic, so that the pages can be read. Without keys (loopback only) everybody is the default tenant, and the
guard keeps out what a web page of another site could send: foreign host names (DNS rebinding) and foreign origins.
"""

import base64
import binascii
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rs_core.errors import RadiiError
from service.errors import ForeignOrigin, KeyNeeded, TooLarge, WrongHost
from service.problems import answer_error
from worker.store import tenants
from worker.store.session import Database

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY = 16 * 2**20
"""Bytes of a request body that is no upload."""

_bearer = HTTPBearer(auto_error=False, description="An API key, as `radii key create` shows it.")


class PageKeyNeeded(KeyNeeded):
    title = "A valid API key is needed, as the password."
    headers: ClassVar[dict[str, str]] = {
        "WWW-Authenticate": 'Basic realm="radii, API key as password", charset="UTF-8"'
    }


def tenant_id(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> str:
    """The tenant that the request speaks for. Raises :class:`KeyNeeded`."""
    database: Database = request.app.state.database
    secret = secret_in(request.headers.get("authorization"))
    if secret is None:
        if request.app.state.require_key:
            raise KeyNeeded(expected="the header Authorization: Bearer radii_...", got="no such header")
        return _default_tenant(request.app.state)
    with database.read() as session:
        owner = tenants.tenant_of_key(session, secret)
    if owner is None:
        raise KeyNeeded(expected="an API key of this service", got="one that is unknown or revoked")
    return owner.id


def page_tenant_id(request: Request) -> str:
    """The same for a page: a browser is told to ask for the key."""
    try:
        return tenant_id(request, None)
    except KeyNeeded as error:
        raise PageKeyNeeded(expected=error.expected, got=error.got) from None


TenantId = Annotated[str, Depends(tenant_id)]
PageTenantId = Annotated[str, Depends(page_tenant_id)]


def secret_in(header: str | None) -> str | None:
    """The key in an ``Authorization`` header; None where there is no header."""
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        return _password(value)
    raise KeyNeeded(expected="the header Authorization: Bearer radii_...", got=f"the scheme {scheme[:20]!r}")


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        raise KeyNeeded(expected="Basic credentials in base64", got="something else") from None


def _default_tenant(state: Any) -> str:
    if state.default_tenant is None:
        try:
            state.default_tenant = _made_or_found(state.database)
        except IntegrityError:  # another first request was faster: it is there now
            state.default_tenant = _made_or_found(state.database)
    found: str = state.default_tenant
    return found


def _made_or_found(database: Database) -> str:
    with database.write() as session:
        return tenants.tenant(session, tenants.DEFAULT_TENANT).id


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign origins and huge bodies; tells browsers how to treat answers."""

    def __init__(self, app: ASGIApp, *, require_key: bool) -> None:
        self.app = app
        self.require_key = require_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            _check(scope, self.require_key)
        except RadiiError as error:
            await answer_error(Request(scope), error)(scope, receive, send)
            return
        limited = receive if _is_upload(scope) else _limited(receive)
        await self.app(scope, limited, _with_headers(send))


def _check(scope: Scope, require_key: bool) -> None:
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not require_key and _host_name(host) not in LOCAL_HOSTS:
        raise WrongHost(expected="localhost, 127.0.0.1 or [::1], since no API key is needed here", got=repr(host[:200]))
    ambient = not require_key or headers.get("authorization", "").lower().startswith("basic")
    if ambient and scope["method"] not in SAFE_METHODS:
        _check_origin(headers, host)
    length = headers.get("content-length", "0")
    if not _is_upload(scope) and length.isdecimal() and int(length[:20]) > MAX_BODY:
        raise TooLarge(expected=f"a body of at most {MAX_BODY} bytes", got=f"{length[:20]} bytes")


def _check_origin(headers: Headers, host: str) -> None:
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if foreign or (origin is not None and _netloc(origin) != host.lower()):
        raise ForeignOrigin(
            expected=f"no Origin, or that of {host[:200]!r}", got=repr((origin or "a cross-site request")[:200])
        )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_name(host: str) -> str:
    """The host without its port, lower case; empty where it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_upload(scope: Scope) -> bool:
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/v1/uploads/"))


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise HTTPException(413, f"The body is too large: expected at most {MAX_BODY} bytes, got more.")
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Referrer-Policy", "same-origin")
            headers.setdefault("Cache-Control", "no-cache")
        await send(message)

    return sending
