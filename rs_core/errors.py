"""The few ways in which a request to radii can be wrong.

Each class is one kind of mistake; its ``title`` is the sentence a person reads first. It is an attribute and not the
docstring because ``python -OO`` removes docstrings. What was expected and what came are given where the error is raised,
so that the message can be acted on without reading code.
"""

import errno
import re
from typing import Any, ClassVar

from radii.rs_core.storable_text import storable


def no_room(error: BaseException) -> bool:
    """Whether the system has refused to write because a disk, a quota or the largest file is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


LONGEST_TEXT = 2_000
"""Characters of ``expected`` and of ``got``; what exceeds them is cut."""
LONGEST_PLACE = 500
"""Characters of ``where``."""


def readable(text: str, longest: int) -> str:
    """``text`` as every database, terminal and JSON parser takes it: lone surrogates and NUL escaped, long text cut."""
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    found: str = storable(text)
    return found


class RadiiError(ValueError):
    """Base of all errors that a user can act on."""

    title: ClassVar[str] = "The request cannot be carried out."
    """First sentence of the message. A subclass without its own has the one of its parent."""
    status = 422

    def __init__(self, *, expected: str, got: str, where: str | None = None) -> None:
        self.expected = readable(expected, LONGEST_TEXT)
        self.got = readable(got, LONGEST_TEXT)
        self.where = None if where is None else readable(where, LONGEST_PLACE)
        super().__init__(self.detail)

    @property
    def slug(self) -> str:
        """The kind of mistake as a stable word: ``InvalidDataset`` -> ``invalid-dataset``."""
        return _slug(type(self))

    @property
    def detail(self) -> str:
        """One sentence: what, where, what was expected, what came."""
        place = f" ({self.where})" if self.where else ""
        return f"{self.title.rstrip('.')}{place}: expected {self.expected}, got {self.got}."

    def problem(self) -> dict[str, Any]:
        """The same as an RFC 9457 problem, without the instance."""
        body = {
            "type": f"urn:radii:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "expected": self.expected,
            "got": self.got,
        }
        return body | ({"where": self.where} if self.where else {})

    @classmethod
    def from_problem(cls, problem: dict[str, Any]) -> "RadiiError":
        """The error that :meth:`problem` described, as it comes back over a pipe or out of a column."""
        # Errors of operators take other arguments, and nobody sends them.
        kinds = [kind for kind in (cls, *_descendants(cls)) if not issubclass(kind, OperationError)]
        by_slug = {_slug(kind): kind for kind in kinds}
        kind = by_slug.get(str(problem.get("type", "")).rsplit(":", 1)[-1], cls)
        return kind(
            expected=str(problem.get("expected", "")),
            got=str(problem.get("got", problem.get("detail", ""))),
            where=None if problem.get("where") is None else str(problem["where"]),
        )


def _slug(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


class OperationError(RadiiError):
    """A command of an operator that cannot be carried out."""

    title = "The command cannot be carried out."

    def __init__(self, message: str = "", *, expected: str = "", got: str = "", where: str | None = None) -> None:
        """Takes the whole sentence, where the parts of :class:`RadiiError` would not make a good one."""
        self.message = message
        super().__init__(expected=expected, got=got, where=where)

    @property
    def detail(self) -> str:
        """The sentence."""
        return self.message or super().detail


class MissingFile(RadiiError):
    """A file of the data folder that the database names and that is not there."""

    title = "A stored file is missing."

    status = 410


def _descendants(kind: type[RadiiError]) -> list[type[RadiiError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_descendants(child))]


class StorageUsedUp(RadiiError):
    """Your storage quota is used up."""

    title = "Your storage quota is used up."
    status = 507


class BeyondStorage(RadiiError):
    """This alone is larger than your storage quota."""

    title = "This alone is larger than your storage quota."
    status = 413


class InvalidSpec(RadiiError):
    title = "The specification is not valid."


class InvalidDataset(RadiiError):
    title = "The data set cannot be read."


class InvalidImages(RadiiError):
    title = "The images cannot be read."


class InvalidCheckpoint(RadiiError):
    title = "The checkpoint cannot be read."


class UnknownArchitecture(RadiiError):
    title = "There is no architecture of that name."


class BrokenArchitecture(RadiiError):
    title = "The architecture cannot be built."


class UnknownMethod(RadiiError):
    title = "There is no training method of that name."


class UnknownPreset(RadiiError):
    title = "There is no preset of that name."


class UnknownPublication(RadiiError):
    title = "There is no published result of that name."


class Mismatch(RadiiError):
    title = "The model and the data set do not fit together."


class IncompatibleParts(RadiiError):
    title = "The models cannot be made into one."


class InvalidResults(RadiiError):
    title = "The per-input results cannot be used."


class MissingPackage(RadiiError):
    title = "A package that this needs is not installed."
    status = 501


class TrainingDiverged(RadiiError):
    title = "Training diverged."


class OutOfMemory(RadiiError):
    title = "The device's memory is too small for this work."


class InputOutOfMemory(OutOfMemory):
    title = "The work on this input does not fit into the memory."


class NotFinite(RadiiError):
    title = "The base classifier does not answer with finite numbers."


class NetworkFailed(RadiiError):
    title = "The base classifier cannot be run."
