"""The progress bar of the public functions."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bar(title: str, total: int, *, shown: bool) -> Iterator[Any]:
    """A progress bar on the standard error or in a notebook; its ``advance(steps)``."""
    notebook = "ipykernel" in sys.modules
    if not shown or not (notebook or sys.stderr.isatty()):
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=None if notebook else Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda steps: progress.advance(task, steps)
