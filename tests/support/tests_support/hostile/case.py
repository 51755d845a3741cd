"""What a hostile file is, and how a test learns that one of them ran code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Door = Literal["dataset", "checkpoint", "comparison", "predictions"]
"""Where a file goes in: registered as a dataset or a checkpoint, compared with results, or the body of a prediction."""


@dataclass(frozen=True)
class Canary:
    """A folder that is empty unless a file ran code."""

    folder: Path

    @property
    def shell(self) -> str:
        """A command that leaves a trace."""
        return f"touch {self.folder}/shell"

    @property
    def python(self) -> str:
        """A program that leaves a trace."""
        return f"import pathlib; pathlib.Path({str(self.folder / 'python')!r}).touch()"

    @property
    def expression(self) -> str:
        """The same as one expression."""
        return f"__import__('pathlib').Path({str(self.folder / 'expression')!r}).touch()"

    def traces(self) -> list[str]:
        """What code has left behind."""
        return sorted(path.name for path in self.folder.iterdir())


@dataclass(frozen=True, kw_only=True)
class Case:
    """One hostile file, or several that belong together.

    Attributes:
        name: What is hostile about it.
        door: Where it goes in.
        files: Makes the contents by file name.
        fields: Further fields of the registration.
        harmless: Whether an answer that accepts the file is right; None where the file must be refused.
        sampled: Whether the case is in the sample that every run of the tests tries.
    """

    name: str
    door: Door
    files: Callable[[Canary], Mapping[str, bytes]]
    fields: Mapping[str, Any] = field(default_factory=dict)
    harmless: Callable[[Mapping[str, Any]], bool] | None = None
    sampled: bool = False


def dataset(
    name: str,
    file: str,
    content: Callable[[], bytes],
    *,
    harmless: Callable[[Mapping[str, Any]], bool] | None = None,
    sampled: bool = False,
    **fields: Any,
) -> Case:
    """A dataset of one file that has nothing to run."""
    return Case(
        name=name,
        door="dataset",
        files=lambda canary: {file: content()},
        fields=fields,
        harmless=harmless,
        sampled=sampled,
    )


def checkpoint(
    name: str,
    file: str,
    content: Callable[[Canary], bytes],
    *,
    harmless: Callable[[Mapping[str, Any]], bool] | None = None,
    sampled: bool = False,
    **fields: Any,
) -> Case:
    """A checkpoint that claims to be a ``digits_cnn``."""
    return Case(
        name=name,
        door="checkpoint",
        files=lambda canary: {file: content(canary)},
        fields={"architecture": "digits_cnn", **fields},
        harmless=harmless,
        sampled=sampled,
    )
