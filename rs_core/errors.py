"""The few ways in which a request to radii can be wrong.

Each class is one kind of mistake; its docstring is the sentence a person reads first. What was expected and what came
are given where the error is raised, so that the message can be acted on without reading code.
"""

import errno
import re
from typing import Any


def no_room(error: BaseException) -> bool:
    """Whether the system has refused to write because a disk, a quota or the largest file is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


BOILERPLATE = (
    re.compile(r"Please file an issue[^\n]*"),
    re.compile(r"(?:please )?report a bug to PyTorch[^\n]*"),
    re.compile(r"Exception raised from [^\n]*"),
    re.compile(r"(?:For debugging consider|CUDA kernel errors might|Compile with `TORCH_USE)[^\n]*"),
)
"""What torch adds to its messages, for its own developers."""
INTERNAL = re.compile(r'INTERNAL ASSERT FAILED at "[^"\n]{0,300}":\d{1,6},? ?')
LONGEST_CAUSE = 300


def cause_of(error: BaseException) -> str:
    """The cause of an error in one line: its type and the first line of its text, without torch's remarks to developers.

    An error that a loader process passed on is named by its original, whose line is the last.
    """
    text = str(error)[:20_000].strip()
    if "Original Traceback (most recent call last)" in text:
        return text.splitlines()[-1].strip()[:LONGEST_CAUSE].rstrip(". ")
    text = INTERNAL.sub("an internal check failed ", text)
    for remark in BOILERPLATE:
        text = remark.sub("", text)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"[:LONGEST_CAUSE].rstrip(" .,:")


class RadiiError(ValueError):
    """The request cannot be carried out."""

    status = 422

    def __init__(self, *, expected: str, got: str, where: str | None = None) -> None:
        self.expected = expected
        self.got = got
        self.where = where
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        """The docstring's first line."""
        return (self.__doc__ or "").strip().splitlines()[0]

    @property
    def slug(self) -> str:
        """The kind of mistake as a stable word: ``InvalidDataset`` -> ``invalid-dataset``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()

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
        kinds = {kind.__name__: kind for kind in (cls, *_descendants(cls))}
        by_slug = {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): kind for name, kind in kinds.items()}
        kind = by_slug.get(str(problem.get("type", "")).rsplit(":", 1)[-1], cls)
        return kind(
            expected=str(problem.get("expected", "")),
            got=str(problem.get("got", problem.get("detail", ""))),
            where=problem.get("where"),
        )


def _descendants(kind: type[RadiiError]) -> list[type[RadiiError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_descendants(child))]


class InvalidSpec(RadiiError):
    """The specification is not valid."""


class InvalidDataset(RadiiError):
    """The data set cannot be read."""


class InvalidImages(RadiiError):
    """The images cannot be read."""


class InvalidCheckpoint(RadiiError):
    """The checkpoint cannot be read."""


class UnknownArchitecture(RadiiError):
    """There is no architecture of that name."""


class BrokenArchitecture(RadiiError):
    """The architecture cannot be built."""


class UnknownMethod(RadiiError):
    """There is no training method of that name."""


class UnknownPreset(RadiiError):
    """There is no preset of that name."""


class UnknownPublication(RadiiError):
    """There is no published result of that name."""


class Mismatch(RadiiError):
    """The model and the data set do not fit together."""


class IncompatibleParts(RadiiError):
    """The models cannot be made into one."""


class InvalidResults(RadiiError):
    """The per-input results cannot be used."""


class MissingPackage(RadiiError):
    """A package that this needs is not installed."""

    status = 501


class TrainingDiverged(RadiiError):
    """Training diverged."""


class OutOfMemory(RadiiError):
    """The device's memory is too small for this work."""


class InputOutOfMemory(OutOfMemory):
    """The work on this input does not fit into the memory."""


class NotFinite(RadiiError):
    """The base classifier does not answer with finite numbers."""


class NetworkFailed(RadiiError):
    """The base classifier cannot be run."""


def raise_as_network_failure(error: Exception, shape: tuple[int, ...] | None = None) -> None:
    """Raises :class:`NetworkFailed` for an error of the network, which a user can mend; does nothing for another kind of
    error, or one of the device.

    Args:
        error: what a forward or backward pass raised; running out of memory is told apart before.
        shape: of the batch that the network was given, (B, C, H, W).
    """
    device = "CUDA" in str(error) or "cuDNN" in str(error)
    if isinstance(error, RadiiError) or device:
        return
    if isinstance(error, RuntimeError | TypeError | IndexError | ValueError):
        given = "" if shape is None else f" of shape {tuple(shape)}"
        expected = f"a network that takes float32 images (B, C, H, W){given}"
        raise NetworkFailed(expected=expected, got=cause_of(error)) from error
