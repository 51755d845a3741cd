"""What can go wrong between a client and a service."""

from collections.abc import Mapping
from typing import Any

from radii.rs_core.errors import readable

LONGEST_DETAIL = 5_000
"""Characters of a detail that are kept."""


class ClientError(Exception):
    """The service could not be asked, or did not do what it was asked for; the message is one sentence."""


class Unreachable(ClientError):
    """No answer came from the service, after all retries."""

    title = "No answer came from the service, after all retries."


class ApiError(ClientError):
    """The service answered with a problem (RFC 9457).

    ``status`` is the HTTP status, ``title`` the kind of problem, ``detail`` one sentence with what was expected and
    what came, ``problem`` the whole body; it has ``errors`` where several fields are wrong.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.title = str(problem.get("title") or f"HTTP status {status}")
        self.detail = readable(str(problem.get("detail") or self.title), LONGEST_DETAIL)
        super().__init__(self.detail)


class JobNotSucceeded(ClientError):
    """A job ended in another state than ``succeeded``."""

    title = "A job ended in another state than ``succeeded``."


class JobTimeout(ClientError, TimeoutError):
    """A job did not end in the time that the caller gave it."""

    title = "A job did not end in the time that the caller gave it."
