"""``radii report --corruptions``: rows by corruption, mACR and mAcc, from one results file for each corruption."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from service.commands.console import CommandError, note, say
from service.commands.results_file import NDJSON

if TYPE_CHECKING:
    from rs_core.certify.decision import Certificate
    from rs_core.corruption_report import CorruptionReport, Part


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
    from rs_core.corruption_report import report_on

    named = {path.stem: path for path in files}
    if len(named) < len(files):
        raise CommandError("Expected one file for each corruption, got two of one name.")
    return report_on([part for name, path in named.items() for part in _parts(name, path, per_severity)])


def _parts(name: str, path: Path, per_severity: int | None) -> "list[Part]":
    from rs_core.corruption_report import Part
    from rs_core.data.corrupted import COMMON, SEVERITIES, VALIDATION
    from rs_core.digest import ClassSums, group_sums
    from rs_core.tally import columns

    if name not in (*COMMON, *VALIDATION):
        known = ", ".join((*COMMON, *VALIDATION))
        raise CommandError(f"Expected files called after their corruptions ({known}), got {path.name}.")
    rows = columns(_rows(path))
    if per_severity is None:
        sums = group_sums(rows, [0])[0]
        return [Part(corruption=name, severity=None, inputs=sums.inputs, sums=sums)]
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
        Part(corruption=name, severity=severity, inputs=sums.inputs, sums=sums)
        for severity, sums in parts
        if sums.inputs
    ]


def _rows(path: Path) -> "list[Certificate]":
    from rs_core.certify.decision import Certificate
    from rs_core.tsv_reader import read_results
    from service.records import read_ndjson

    rows = read_ndjson(path) if path.suffix in NDJSON else read_results(path)
    certificates = [row for row in rows if isinstance(row, Certificate)]
    if len(certificates) < len(rows):
        raise CommandError(f"The file {path.name} holds predictions: expected certificates, which have radii.")
    return certificates


def _text(report: "CorruptionReport") -> str:
    from rs_core.corruption_report import means_note
    from rs_core.corruption_text import lines_of
    from rs_core.report_text import bulleted

    return "\n".join([*lines_of(report), "", *bulleted(means_note(report))])


def _csv(report: "CorruptionReport") -> str:
    from rs_core.corruption_text import csv_rows
    from rs_core.csv_text import csv_text
    from rs_core.report_text import CSV_COLUMNS

    return csv_text([CSV_COLUMNS, *csv_rows(report)]).rstrip("\n")


def _draw(path: Path, report: "CorruptionReport") -> None:
    from rs_core.plots import render
    from rs_core.plots_corruptions import by_corruption

    if path.suffix not in (".png", ".svg"):
        raise CommandError(f"--plot must end in .png or .svg, got {str(path)!r}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render(by_corruption(report), "png" if path.suffix == ".png" else "svg"))
    note(f"The picture is in {path}.")
