"""The report of an evaluation as text: an aligned table for a terminal, and CSV with one point per line for a spreadsheet.
The figures come from ``evaluation``.
"""

import textwrap

from radii.rs_core.evaluate.registry import EVALUATIONS
from radii.rs_core.reports.certification_text import WIDTH
from radii.rs_core.reports.evaluation import EvaluationReport, PointRow
from radii.rs_core.results.csv_text import csv_text
from radii.rs_core.results.tsv import rounded_down

SHOWN_VIOLATIONS = 20
CSV_COLUMNS = (
    *("point", "accuracy", "low", "high", "right", "inputs", "abstained", "unbroken"),
    *("distance", "farthest", "true_votes", "other_votes", "certified", "interval_unit", "interval_units"),
)


def format_table(report: EvaluationReport) -> str:
    """The report as plain text, at most 100 columns wide, ending in a newline."""
    of = f"{report.inputs:,}" if report.complete else f"{report.evaluated:,} of {report.inputs:,} (partial)"
    noise = "without noise" if report.sigma is None else f"sigma {report.sigma:g}"
    unit = "" if report.unit == "input" else f" of {report.units:,} photographs"
    blocks = [
        f"{report.evaluation.replace('_', '-')}   {noise}   inputs {of}{unit}",
        "",
        *_points(report),
        "",
        *_violations(report),
        *(textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in report.notes),
    ]
    return "\n".join(line.rstrip() for line in blocks) + "\n"


def to_csv(report: EvaluationReport) -> str:
    """The report as CSV, one point per line, in full precision."""
    rows: list[tuple[object, ...]] = [CSV_COLUMNS]
    for at in report.points:
        accuracy = at.accuracy
        rows.append(
            (
                *(at.point, accuracy.share, accuracy.low, accuracy.high, accuracy.count, report.inputs),
                *(at.abstained, at.unbroken, at.distance, at.farthest, at.true_votes, at.other_votes, at.certified),
                *(report.unit, report.units),
            )
        )
    return csv_text(rows)


def _points(report: EvaluationReport) -> list[str]:
    certified = any(at.certified is not None for at in report.points)
    head = (
        f"{'point':>8} {'distance':>9} {'accuracy':>10}   {100 * report.confidence:.0f} % interval    {'abstained':>9}"
    )
    head += f" {'true':>9} {'strongest':>10}" + (f" {'certified':>10}" if certified else "")
    row = EVALUATIONS[report.evaluation]
    under = f"{row.point}{'; votes for the true class, for the strongest other one' if row.noisy else ''}"
    return [head, *(_point(at) for at in report.points), under]


def _point(at: PointRow) -> str:
    accuracy = at.accuracy
    low, high = rounded_down(100 * accuracy.low, 2), f"{-float(rounded_down(-100 * accuracy.high, 2)):.2f}"
    line = f"{at.point:>8.4g} {at.distance:>9.4f} {_percent(accuracy.share):>10}   [{low:>6}, {high:>6}]"
    line += f" {_percent(at.abstained):>11} {_percent(at.true_votes):>9} {_percent(at.other_votes):>10}"
    return line + (f" {_percent(at.certified):>10}" if at.certified is not None else "")


def _violations(report: EvaluationReport) -> list[str]:
    """The answers that contradict a certificate, the first of many."""
    found = report.held.violations if report.held is not None else ()
    lines = [
        f"index {one.index}: class {one.answered} at distance {one.distance:.4f}, certified as class {one.certified} "
        f"up to {rounded_down(one.radius, 4)}"
        for one in found[:SHOWN_VIOLATIONS]
    ]
    more = len(found) - SHOWN_VIOLATIONS
    return [*lines, *([f"and {more:,} more"] if more > 0 else []), *([""] if found else [])]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share == share else "-"
