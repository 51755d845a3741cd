"""How commands speak: results on stdout, progress and mistakes on stderr.

On a terminal progress is a bar; elsewhere it is a plain line at every tenth of the way and at least every 5 s, so that
a log stays readable.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from radii.rs_core.errors import OperationError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
TENTHS = 10
END_NOT_KNOWN = 3  # exit code where a job was followed and the service has not said how it ended
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


class CommandError(OperationError):
    """A command cannot do what it was asked for."""

    title = "A command cannot do what it was asked for."

    def __init__(self, message: str, *, code: int = 1) -> None:
        """Takes the sentence that a person reads, and the exit code of the command."""
        super().__init__(message)
        self.code = code


@contextmanager
def stoppable(stopped: Callable[[], str], full: str) -> Iterator[None]:
    """Long work of the library: Ctrl-C and a full memory as sentences, ``stopped()`` and ``full``."""
    from radii.rs_core.out_of_memory import ran_out

    try:
        yield
    except KeyboardInterrupt:
        note(stopped())
        raise typer.Exit(INTERRUPTED) from None
    except (MemoryError, RuntimeError) as error:
        if ran_out(error):
            raise CommandError(full) from None
        raise


@contextmanager
def orderly_end(code: int = 0) -> Iterator[None]:
    """SIGTERM and Ctrl-C leave the block in order, so that what it holds is let go, and end the process with ``code``."""

    def leave(*_: Any) -> NoReturn:
        raise SystemExit(code)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(code) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str) -> None:
    """A line of the command's result, on stdout."""
    typer.echo(text)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    typer.echo(text, err=True)


class ProgressBar:
    """Progress of one piece of work: ``show`` may be called as often as there is news."""

    def __init__(self, title: str, rich: "Progress | None") -> None:
        self._title = title
        self._rich = rich
        self._task: TaskID | None = rich.add_task(title, total=None, text="") if rich else None
        self._tenth, self._at, self._last = 0, time.monotonic(), ""

    def show(self, done: float, total: float, text: str = "") -> None:
        """``done`` of ``total`` is behind us; ``text`` stands beside it."""
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=done, total=total or None, text=text)
            return
        tenth = int(TENTHS * done / total) if total else 0
        if tenth > self._tenth or time.monotonic() - self._at >= SECONDS_BETWEEN_LINES:
            self._tenth, self._at = tenth, time.monotonic()
            self._line(done, total, text)

    def _line(self, done: float, total: float, text: str) -> None:
        share = f"{int(100 * done / total)} %" if total else "..."
        line = f"{self._title}: {share}" + (f"  {text}" if text else "")
        if line != self._last:
            self._last = line
            note(line)


@contextmanager
def bar(title: str) -> Iterator[ProgressBar]:
    """A :class:`ProgressBar` for the length of a block."""
    if not sys.stderr.isatty():
        yield ProgressBar(title, None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    # rich sends what is written to a redirected stdout to its own console: right on a terminal, wrong for a file.
    to_terminal = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=to_terminal) as rich:
        yield ProgressBar(title, rich)


def model_text(made: Any) -> str:
    """What a checkpoint holds, in a sentence; ``made`` is a service's record or a file's."""
    noise = "no noise level of its own" if made.sigma is None else f"trained at sigma {made.sigma:g}"
    return f"{made.architecture}, images of shape {list(made.input_shape)}, {made.num_classes} classes, {noise}."


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Rows as aligned text below their column names."""
    cells = [columns, *rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def warn(warnings: Iterable[str]) -> None:
    """Each of them on a line of its own, on the standard error."""
    for warning in warnings:
        note(f"Warning: {warning}")
