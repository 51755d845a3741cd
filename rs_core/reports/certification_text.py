"""A report as text: an aligned table for a terminal, and CSV with one number per line for a spreadsheet.

Radii and ACR are shown rounded down and intervals outwards, so that no figure claims more than was certified; CSV
carries full precision. The figures themselves come from ``certification``.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import astuple
from decimal import Decimal

from radii.rs_core.reports import mixed_text
from radii.rs_core.reports.certification import Quantiles, Report
from radii.rs_core.reports.corruptions_text import csv_rows, lines_of
from radii.rs_core.results.aggregate import CurvePoint
from radii.rs_core.results.csv_text import csv_text
from radii.rs_core.results.tsv import rounded_down

WIDTH = 100
CSV_COLUMNS = ("measure", "at", "value", "low", "high", "count", "inputs")


def format_table(report: Report) -> str:
    """The report as plain text, at most 100 columns wide, ending in a newline."""
    blocks = (
        _headline(report),
        *_provenance(report),
        "",
        *_curve(report),
        "",
        *_quantiles(report),
        "",
        *([*lines_of(report.corruptions), ""] if report.corruptions else []),
        *([*mixed_text.lines_of(report.weights), ""] if report.weights else []),
        *bulleted(report.notes),
    )
    return "\n".join(line.rstrip() for line in blocks) + "\n"


def to_csv(report: Report) -> str:
    """The report as CSV: ``measure,at,value,low,high,count,inputs``; ``at`` is a radius, a label, a quantile, a corruption
    (``fog``), or one at a severity (``fog/3``)."""
    rows: list[tuple[object, ...]] = [CSV_COLUMNS]
    inputs = report.inputs
    rows.append(("complete", "", int(report.complete), "", "", report.evaluated, inputs))
    rows.append(("interval_units", report.unit, report.units, "", "", "", inputs))
    rows.append(("acr", "", report.acr, "", "", "", inputs))
    for p in report.certified_accuracy:
        rows.append(("certified_accuracy", p.radius, p.certified_accuracy, p.low, p.high, p.count, inputs))
    zero = report.accuracy_at_0
    rows.append(("accuracy_at_0", "", zero.certified_accuracy, zero.low, zero.high, zero.count, inputs))
    rows.append(("abstention_rate", "", report.abstention_rate, "", "", report.abstained, inputs))
    rows.append(("share_at_cap", "", report.share_at_cap, "", "", report.at_cap, inputs))
    for name in ("sampling", "bound", "noise", "precision"):
        rows.append((name, "", getattr(report, name), "", "", "", ""))
    for name in ("evaluated", "errors", "cap", "n0", "n", "mean_samples", "alpha", "sigma", "seed", "linf_per_l2"):
        rows.append((name, "", getattr(report, name), "", "", "", ""))
    for measure, quantiles in (("radius", report.radius_quantiles), ("p_lower", report.p_lower_quantiles)):
        for at, value in _named(quantiles):
            rows.append((f"{measure}_quantile", at, value, "", "", "", ""))
    for row in report.classes:
        for measure in ("acr", "accuracy", "abstention_rate"):
            rows.append((f"class_{measure}", row.label, getattr(row, measure), "", "", "", row.inputs))
    rows.extend(csv_rows(report.corruptions) if report.corruptions else ())
    rows.extend(mixed_text.csv_rows(report.weights))
    return csv_text(rows)


def bulleted(notes: Iterable[str]) -> list[str]:
    """Sentences with a dash before each, within the width."""
    return [textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in notes]


def _headline(report: Report) -> str:
    cap = "" if report.cap is None else f" ({rounded_down(report.cap, 4)})"
    share = "unknown" if report.share_at_cap is None else percent(report.share_at_cap)
    items = (
        f"{report.made.acr_label} {rounded_down(report.acr, 4)}",
        f"accuracy at 0 {percent(report.accuracy_at_0.certified_accuracy)}",
        f"abstained {percent(report.abstention_rate)}",
        f"at the cap{cap} {share}",
    )
    return "   ".join(items)


def _provenance(report: Report) -> tuple[str, str]:
    of = f"{report.inputs:,}" if report.complete else f"{report.evaluated:,} of {report.inputs:,} (partial)"
    fixed = {"n0": report.n0, "n": report.n} if report.sampling == "fixed" else {"mean samples": report.mean_samples}
    known = fixed | {"alpha": report.alpha, "sigma": report.sigma}
    seed = "unknown" if report.seed is None else report.seed
    procedure = "   ".join(f"{name} {_number(value)}" for name, value in known.items())
    told = report.sampling != "fixed" or report.n is not None
    made = report.made.text if told else "procedure unknown"
    unit = "" if report.unit == "input" else f" of {report.units:,} photographs"
    return f"{procedure}   ({made})", f"inputs {of}{unit}   seed {seed}"


def _curve(report: Report) -> list[str]:
    decimals = min(6, max([2, *(_decimals(point.radius) for point in report.certified_accuracy)]))
    head = f"{'radius':>8}   certified accuracy   {100 * report.confidence:.0f} % interval       inputs"
    return [head, *(_curve_row(point, decimals) for point in report.certified_accuracy)]


def _curve_row(point: CurvePoint, decimals: int) -> str:
    low, high = rounded_down(100 * point.low, 2), f"{-float(rounded_down(-100 * point.high, 2)):.2f}"
    share = percent(point.certified_accuracy)
    return f"{point.radius:>8.{decimals}f}   {share:>18}   [{low:>6}, {high:>6}]   {point.count:>9,}"


def _decimals(value: float) -> int:
    return len(format(Decimal(repr(value)).normalize(), "f").partition(".")[2])


def _quantiles(report: Report) -> list[str]:
    lines = [("quantiles", ["min", "5 %", "25 %", "50 %", "75 %", "95 %", "max"])]
    for name, quantiles in (("radius x correct", report.radius_quantiles), ("p_lower", report.p_lower_quantiles)):
        lines.append((name, [rounded_down(value, 4) for _, value in _named(quantiles)] or ["unknown"]))
    return [f"{name:<16}" + "".join(f"{cell:>10}" for cell in cells) for name, cells in lines]


def _named(quantiles: Quantiles | None) -> list[tuple[str, float]]:
    names = ("0", "0.05", "0.25", "0.5", "0.75", "0.95", "1")
    return [] if quantiles is None else list(zip(names, astuple(quantiles), strict=True))


def percent(share: float) -> str:
    """A share with two decimals."""
    return f"{100 * share:.2f} %"


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
