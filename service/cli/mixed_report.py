"""``radii report --weights``: certifications of mixes, such as at several noise levels, weight by weight."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from radii.service.cli.photographs import KnownPhotographs, shown_in, unknown_notes
from radii.service.cli.results_input import check_picture, read, write_picture
from radii.service.console import CommandError, note, say

if TYPE_CHECKING:
    from radii.rs_core.records import Certificate
    from radii.rs_core.reports.mixed import WeightRow
    from radii.rs_core.results.photographs import Photographs


def report(
    files: Sequence[Path],
    weights: Sequence[float],
    radii: Sequence[float] | None,
    *,
    repeating: int | None = None,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> None:
    """Prints the table of each file, and draws all of them in one figure."""
    from radii.rs_core.reports.certification import mix_radii, mixes
    from radii.rs_core.reports.mixed import rows_at
    from radii.rs_core.reports.mixed_text import lines_of
    from radii.rs_core.results.aggregate import grid

    check_picture(plot)
    if not all(0 <= weight <= 1 for weight in weights):
        raise CommandError(
            "Expected weights from 0 to 1 as --weights, got " + ", ".join(f"{one:g}" for one in weights) + "."
        )
    asked = None if radii is None else grid(radii)
    votes = _named(files, repeating)
    curves = {
        name: mixes(one.rows, weights=weights, total=one.total, pixels=one.pixels, photographs=one.photographs)
        for name, one in votes.items()
    }
    found = {name: rows_at(curves[name], asked or mix_radii(one.rows)) for name, one in votes.items()}
    if as_json:
        body = {name: [asdict(row) for row in rows] for name, rows in found.items()}
        say(json.dumps(body, indent=2))
    elif as_csv:
        say(_csv(found))
    else:
        say("\n\n".join("\n".join([name, *lines_of(rows)]) for name, rows in found.items()))
    for sentence in next(filter(None, map(_photograph_notes, votes.values())), ()):
        note(sentence)
    if plot is not None:
        from radii.rs_core.plots.mixed import by_weight

        write_picture(plot, by_weight(curves), "The curves are")


class Votes(NamedTuple):
    """The certificates of a file, of ``total`` inputs in all, which have ``pixels`` values each where that is known and of which
    several may show one of ``photographs``, as far as that is ``known``."""

    rows: "list[Certificate]"
    total: int
    pixels: int | None
    photographs: "Photographs | None"
    known: bool


def _named(files: Sequence[Path], repeating: int | None) -> dict[str, Votes]:
    """The files' certificates by what they are called in a table: the file, and the noise level."""
    found: dict[str, Votes] = {}
    for file in files:
        votes = _votes(file, repeating)
        name = f"{file.stem}, σ = {votes.rows[0].sigma:g}"
        if name in found:
            raise CommandError(f"Expected files that differ in name or noise level, got two of {name}.")
        found[name] = votes
    return found


def _votes(file: Path, repeating: int | None) -> Votes:
    from radii.rs_core.records import Certificate

    rows, run = read(file)
    certificates = [row for row in rows if isinstance(row, Certificate)]
    if len(certificates) < len(rows):
        raise CommandError(f"Expected certificates of a mix in {file}, got rows of something else.")
    shown = shown_in(file, run, certificates, repeating)
    return Votes(
        certificates,
        max(int(run.get("inputs") or 0), len(rows)),
        math.prod(run.get("shape") or ()) or None,
        shown.photographs,
        shown.known,
    )


def _photograph_notes(votes: Votes) -> tuple[str, ...]:
    labels = (row.label for row in sorted(votes.rows, key=lambda row: row.index))
    return unknown_notes(KnownPhotographs(votes.photographs, votes.known), labels)


def _csv(found: "dict[str, tuple[WeightRow, ...]]") -> str:
    from radii.rs_core.reports.certification_text import CSV_COLUMNS
    from radii.rs_core.reports.mixed_text import csv_rows
    from radii.rs_core.results.csv_text import csv_text

    rows = ((name, *row) for name, rows in found.items() for row in csv_rows(rows))
    return csv_text([("certification", *CSV_COLUMNS), *rows]).rstrip("\n")
