"""What the benchmarks share in showing their figures: the command that gave them, tables, and the last line."""

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def command() -> str:
    """How this run was called, from the project's folder; of folders elsewhere their own names alone."""
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    return shlex.join([".venv/bin/python", script, *map(_without_place, sys.argv[1:])])


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown: the first column to the left, figures to the right."""
    names = list(columns)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def finish(text: str, figures: Mapping[str, Any], out: Path | None, line: Mapping[str, Any] | None = None) -> None:
    """Prints the text and, as the last line, ``line`` or the figures as one JSON object; both go to files beside each other
    where ``out`` (.md) is given."""
    print(text)
    print(json.dumps(figures if line is None else line))
    if out is not None:
        out.write_text(text)
        out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")


def _without_place(argument: str) -> str:
    name, equals, place = argument.partition("=")
    return f"{name}={Path(place).name}" if equals else argument
