"""Who sends a request: API keys of tenants, and the checks before every request.

Where keys are needed, a request carries ``Authorization: Bearer radii_...``; a browser may give the key as the password
of HTTP Basic, so that the pages can be read. Without keys (loopback only) everybody is the default tenant, and the
guard keeps out what a web page of another site could send: foreign host names (DNS rebinding) and foreign origins.
"""

import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radii.rs_core.errors import RadiiError
from radii.service.api.problems import answer_error
from radii.service.errors import ForeignOrigin, KeyNeeded, WrongHost
from radii.service.limits.fair_limiter import FairLimiter
from radii.worker.store import tenants
from radii.worker.store.database import Database

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/version", "/openapi.json"})
"""What operators and tools read without a key; everything else asks for one, whether it exists or not."""
KEY = re.compile(r"[\x21-\x7e]{1,200}")
"""What a key may look like; anything else is not looked up."""
KEY_LOOKUPS = 4
"""Keys that are looked up at a time."""
T = TypeVar("T")

_bearer = HTTPBearer(auto_error=False, description="An API key, as `radii key create` shows it.")


class PageKeyNeeded(KeyNeeded):
    title = "A valid API key is needed, as the password."
    headers: ClassVar[dict[str, str]] = {
        "WWW-Authenticate": 'Basic realm="radii, API key as password", charset="UTF-8"'
    }


async def tenant_id(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> str:
    """The tenant that the request speaks for, as :class:`Credentials` has found before the body was read."""
    found: str | None = request.scope["radii.tenant"]
    assert found is not None, "a path that is public has no tenant"
    return found


async def page_tenant_id(request: Request) -> str:
    """The same for a page; it asks a browser for the key."""
    return await tenant_id(request, None)


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


def _made_or_found(database: Database) -> str:
    with database.write() as session:
        return tenants.tenant(session, tenants.DEFAULT_TENANT).id


class Credentials:
    """Finds the tenant of a request from its head alone.

    Each request is one look at the database, so that a revoked key ends at once. The looks have threads of their own and
    are shared among addresses: neither busy tenants nor somebody who guesses keys delay those of others.
    """

    def __init__(self, database: Database, *, require_key: bool) -> None:
        self._database, self._require_key = database, require_key
        self._default: str | None = None
        self._turns = FairLimiter(KEY_LOOKUPS, KEY_LOOKUPS // 2)
        self._threads = CapacityLimiter(KEY_LOOKUPS)

    @property
    def waiting(self) -> int:
        """Requests that wait for a look at the database."""
        return self._turns.waiting

    async def tenant_of(self, scope: Scope, address: str) -> str | None:
        """The tenant's identifier; None for public paths. Raises :class:`KeyNeeded`."""
        if scope["path"] in PUBLIC_PATHS:
            return None
        try:
            return await self._found(Headers(scope=scope).get("authorization"), address)
        except KeyNeeded as error:
            if scope["path"].startswith("/v1/"):
                raise
            raise PageKeyNeeded(expected=error.expected, got=error.got) from None

    async def _found(self, header: str | None, address: str) -> str:
        secret = secret_in(header)
        if secret is None:
            if self._require_key:
                raise KeyNeeded(expected="the header Authorization: Bearer radii_...", got="no such header")
            known = self._default
            return await self._looked(self._default_tenant, address) if known is None else known
        owner = await self._looked(partial(self._owner, secret), address) if KEY.fullmatch(secret) else None
        if owner is None:
            raise KeyNeeded(expected="an API key of this service", got="one that is unknown or revoked")
        return owner

    async def _looked(self, look: Callable[[], T], address: str) -> T:
        async with self._turns.taken(address):
            return await to_thread.run_sync(look, limiter=self._threads)

    def _owner(self, secret: str) -> str | None:
        with self._database.read() as session:
            owner = tenants.tenant_of_key(session, secret)
        return None if owner is None else owner.id

    def _default_tenant(self) -> str:
        try:
            found = _made_or_found(self._database)
        except IntegrityError:  # another first request was faster: it is there now
            found = _made_or_found(self._database)
        self._default = found
        return found


class RequestGuard:
    """ASGI middleware: refuses foreign hosts and foreign origins; tells browsers how to treat answers."""

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
        await self.app(scope, receive, _with_headers(send))


def _check(scope: Scope, require_key: bool) -> None:
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not require_key and _host_name(host) not in LOCAL_HOSTS:
        raise WrongHost(expected="localhost, 127.0.0.1 or [::1], since no API key is needed here", got=repr(host[:200]))
    ambient = not require_key or headers.get("authorization", "").lower().startswith("basic")
    if ambient and scope["method"] not in SAFE_METHODS:
        _check_origin(headers, host)


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


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Referrer-Policy", "same-origin")
            headers.setdefault("Cache-Control", "no-cache")
        await send(message)

    return sending
