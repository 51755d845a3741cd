"""The errors that only a server has; each class is one kind of mistake and one HTTP status.

They are written like those of the library (``radii.rs_core.errors``): ``title`` is the first sentence, what was expected and what
came make the sentence. How they and everything else that can go wrong become responses is told in ``problems``.
"""

from typing import Any, ClassVar

from starlette.exceptions import HTTPException

from radii.rs_core.errors import RadiiError

RETRY_SECONDS = 2


class ServiceError(RadiiError):
    title = "The request cannot be served."

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, *, expected: str, got: str, where: str | None = None, **more: Any) -> None:
        super().__init__(expected=expected, got=got, where=where)
        self.more = more

    def problem(self) -> dict[str, Any]:
        """With the members that this error has beside the usual ones."""
        return super().problem() | self.more


class NotFound(ServiceError):
    title = "There is nothing here."
    status = 404


class UnknownResource(ServiceError):
    title = "The request names something that is not there."


class KeyNeeded(ServiceError):
    title = "A valid API key is needed."
    status = 401
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="radii"'}


class ForeignOrigin(ServiceError):
    title = "The request was sent by a page of another site."
    status = 403


class WrongHost(ServiceError):
    title = "The request was meant for another host."
    status = 421


class NotReady(ServiceError):
    title = "It is not ready yet."
    status = 409
    headers: ClassVar[dict[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class Rejected(ServiceError):
    title = "It was rejected when it was read."


class InUse(ServiceError):
    title = "It is in use."
    status = 409


class TooLarge(ServiceError):
    title = "The body is too large."
    status = 413


class UnsupportedMedia(ServiceError):
    title = "The body has a form that is not taken here."
    status = 415


class InvalidRequest(ServiceError):
    title = "The request is not valid."


class NestedTooDeeply(ServiceError):
    title = "The body is nested too deeply."
    status = 400


class CutShort(ServiceError):
    title = "The body ended too early."
    status = 400


class DigestMismatch(ServiceError):
    title = "The bytes are not those that were announced."


class KeyReused(ServiceError):
    title = "The idempotency key was used for another request."


class BeyondQuota(ServiceError):
    title = "This alone is more work than you may have in the queue."


class QuotaExceeded(ServiceError):
    title = "There is too much work of yours in the queue."
    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class TooManyWait(ServiceError):
    title = "You have too many requests in progress."
    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class TooManyRequests(ServiceError):
    title = "Too many requests run at the same time."
    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class TooManyStreams(ServiceError):
    title = "Too many event streams are open."
    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "10"}


class TooManyConnections(ServiceError):
    title = "Too many connections of this address are open."
    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


class ServiceFull(ServiceError):
    title = "The service has no free connection."
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


class RequestTooSlow(ServiceError):
    title = "The request did not arrive in time."
    status = 408
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class MalformedRequest(ServiceError):
    title = "The request is not HTTP."
    status = 400


class DiskFull(ServiceError):
    title = "The disk is full."
    status = 507


class Unavailable(ServiceError):
    title = "The database cannot be reached."
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class FilesUnavailable(ServiceError):
    title = "The files of the service are not available."
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class DocumentsUnavailable(ServiceError):
    title = "Documents cannot be made just now."
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class NeedsMoreMemory(ServiceError):
    title = "This needs more memory than the service has for it."
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class OtherSchema(ServiceError):
    title = "The database has another schema than this version of the service works with."
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class Collision(ServiceError):
    title = "The request met another one that changed the same thing."
    status = 409
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class BodyRefused(HTTPException):
    """A problem that shows while a body is read. FastAPI answers any other error there as "cannot be parsed"."""

    def __init__(self, problem: ServiceError) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem
