"""The errors that only a server has; each class is one kind of mistake and one HTTP status.

They are written like those of the library (``rs_core.errors``): the docstring is the title, what was expected and what
came make the sentence. How they and everything else that can go wrong become responses is told in ``problems``.
"""

from typing import Any, ClassVar

from rs_core.errors import RadiiError

RETRY_SECONDS = 2


class ServiceError(RadiiError):
    """The request cannot be served."""

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, *, expected: str, got: str, where: str | None = None, **more: Any) -> None:
        super().__init__(expected=expected, got=got, where=where)
        self.more = more

    def problem(self) -> dict[str, Any]:
        """With the members that this error has beside the usual ones."""
        return super().problem() | self.more


class NotFound(ServiceError):
    """There is nothing here."""

    status = 404


class UnknownResource(ServiceError):
    """The request names something that is not there."""


class KeyNeeded(ServiceError):
    """A valid API key is needed."""

    status = 401
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="radii"'}


class ForeignOrigin(ServiceError):
    """The request was sent by a page of another site."""

    status = 403


class WrongHost(ServiceError):
    """The request was meant for another host."""

    status = 421


class NotReady(ServiceError):
    """It is not ready yet."""

    status = 409
    headers: ClassVar[dict[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class Rejected(ServiceError):
    """It was rejected when it was read."""


class InUse(ServiceError):
    """It is in use."""

    status = 409


class TooLarge(ServiceError):
    """The body is too large."""

    status = 413


class UnsupportedMedia(ServiceError):
    """The body has a form that is not taken here."""

    status = 415


class InvalidRequest(ServiceError):
    """The request is not valid."""


class CutShort(ServiceError):
    """The body ended too early."""

    status = 400


class DigestMismatch(ServiceError):
    """The bytes are not those that were announced."""


class KeyReused(ServiceError):
    """The idempotency key was used for another request."""


class BeyondQuota(ServiceError):
    """This alone is more work than you may have in the queue."""


class QuotaExceeded(ServiceError):
    """There is too much work of yours in the queue."""

    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class TooManyWait(ServiceError):
    """There are too many requests of yours in work."""

    status = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class DiskFull(ServiceError):
    """The disk is full."""

    status = 507


class Unavailable(ServiceError):
    """The database cannot be reached."""

    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class FilesUnavailable(ServiceError):
    """The files of the service are not available."""

    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class OtherSchema(ServiceError):
    """The database has another schema than this version of the service works with."""

    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class Collision(ServiceError):
    """The request met another one that changed the same thing."""

    status = 409
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}
