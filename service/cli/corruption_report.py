"""``radii report --corruptions``: rows by corruption, mACR and mAcc, from one results file for each corruption."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from radii.service.cli.results_input import NDJSON
from radii.service.console import CommandError, note, say

if TYPE_CHECKING:
    from radii.rs_core.records import Certificate
    from radii.rs_core.reports.corruptions import CorruptionReport, CorruptionRows
    from radii.rs_core.results.aggregate import Columns

NO_INTERVALS = (
    "Nothing says which rows show the same photograph, so that mACR and mAcc have no intervals: give --per-severity N, the number of "
    "images that the data set has of each severity."
)


def report(files: Sequence[Path], per_severity: int | None, *, as_json: bool, as_csv: bool, plot: Path | None) -> None:
    """Prints what the files come to."""
    made = summarize_files(files, per_severity)
    if as_json:
        say(json.dumps(asdict(made), indent=2))
    else:
        say(_csv(made) if as_csv else _text(made))
    if plot is not None:
        _draw(plot, made)


def summarize_files(files: Sequence[Path], per_severity: int | None = None) -> "CorruptionReport":
    """The report of files that are called after their corruptions.

    ``per_severity``: a row of index i has severity i // per_severity + 1; None: severities are not told apart.
    """
    from radii.rs_core.reports.corruptions import report_on

    named = {path.stem: path for path in files}
    if len(named) < len(files):
        raise CommandError("Expected one file for each corruption, got two of one name.")
    read = {name: _columns(name, path) for name, path in named.items()}
    parts = [part for name, rows in read.items() for part in _parts(name, rows, named[name], per_severity)]
    return _with_intervals(report_on(parts), list(read.values()), per_severity)


def _with_intervals(
    made: "CorruptionReport", rows: "Sequence[Columns]", per_severity: int | None
) -> "CorruptionReport":
    """Where it is known which rows show the same photograph: those whose indices are equal but for the severity."""
    from radii.rs_core.reports.corruptions import with_intervals
    from radii.rs_core.results.photographs import GroupSizes
    from radii.rs_core.results.row_statistics import photograph_sums

    if per_severity is None:
        return made
    starts = range(0, max(int(one.index[-1]) for one in rows) + 1, per_severity)
    sums = [photograph_sums(one, (), starts, photographs=per_severity) for one in rows]
    whole = reduce(lambda one, other: one.plus(other, 1), [one for one in sums if one is not None])
    return with_intervals(made, whole, GroupSizes(whole.evaluated, whole.evaluated * 0))


def _columns(name: str, path: Path) -> "Columns":
    """The rows of a file that is called after its corruption."""
    from radii.rs_core.data.corruption_info import COMMON, VALIDATION
    from radii.rs_core.results.aggregate import columns

    if name not in (*COMMON, *VALIDATION):
        known = ", ".join((*COMMON, *VALIDATION))
        raise CommandError(f"Expected files called after their corruptions ({known}), got {path.name}.")
    return columns(_rows(path))


def _parts(name: str, rows: "Columns", path: Path, per_severity: int | None) -> "list[CorruptionRows]":
    from radii.rs_core.data.corruption_info import SEVERITIES
    from radii.rs_core.reports.corruptions import CorruptionRows
    from radii.rs_core.results.row_statistics import ClassSums, group_sums

    if per_severity is None:
        sums = group_sums(rows, [0])[0]
        return [CorruptionRows(corruption=name, severity=None, inputs=sums.inputs, sums=sums)]
    last = int(rows.index[-1])
    if last >= per_severity * len(SEVERITIES):
        raise CommandError(
            f"Expected indices below {len(SEVERITIES)} x {per_severity:,} in {path.name}, got {last:,}: --per-severity is "
            "how many images the data set has of each severity."
        )
    found = group_sums(rows, [place * per_severity for place in range(len(SEVERITIES))])
    none = ClassSums()
    parts = [(severity, found.get(place, none)) for place, severity in enumerate(SEVERITIES)]
    return [
        CorruptionRows(corruption=name, severity=severity, inputs=sums.inputs, sums=sums)
        for severity, sums in parts
        if sums.inputs
    ]


def _rows(path: Path) -> "list[Certificate]":
    from radii.rs_core.records import Certificate
    from radii.rs_core.results.ndjson import read_ndjson
    from radii.rs_core.results.tsv_reader import read_results

    rows = read_ndjson(path) if path.suffix in NDJSON else read_results(path)
    certificates = [row for row in rows if isinstance(row, Certificate)]
    if len(certificates) < len(rows):
        raise CommandError(f"The file {path.name} holds predictions: expected certificates, which have radii.")
    return certificates


def _text(report: "CorruptionReport") -> str:
    from radii.rs_core.reports.certification_text import bulleted
    from radii.rs_core.reports.corruptions import means_note
    from radii.rs_core.reports.corruptions_text import lines_of

    unknown = () if any(row.severity for row in report.severities) else (NO_INTERVALS,)
    return "\n".join([*lines_of(report), "", *bulleted([*means_note(report), *unknown])])


def _csv(report: "CorruptionReport") -> str:
    from radii.rs_core.reports.certification_text import CSV_COLUMNS
    from radii.rs_core.reports.corruptions_text import csv_rows
    from radii.rs_core.results.csv_text import csv_text

    return csv_text([CSV_COLUMNS, *csv_rows(report)]).rstrip("\n")


def _draw(path: Path, report: "CorruptionReport") -> None:
    from radii.rs_core.plots.certification import render
    from radii.rs_core.plots.corruptions import by_corruption

    if path.suffix not in (".png", ".svg"):
        raise CommandError(f"--plot must end in .png or .svg, got {str(path)!r}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render(by_corruption(report), "png" if path.suffix == ".png" else "svg"))
    note(f"The picture is in {path}.")
