"""Rows by corruption as text: aligned lines for a terminal, and rows of the report's CSV. ACR is shown rounded down."""

from collections.abc import Iterator, Sequence

from radii.rs_core.data.corruption_info import SEVERITIES
from radii.rs_core.reports.corruptions import CorruptionReport, CorruptionRow, MeanRow
from radii.rs_core.results.aggregate import CONFIDENCE
from radii.rs_core.results.tsv import rounded_down

CsvRow = tuple[str, str, float | None, float | str, float | str, str, int]


def lines_of(report: CorruptionReport) -> list[str]:
    """Inputs, ACR, accuracy and abstentions by corruption, then ACR and accuracy by severity."""
    return [*_by_corruption(report), *_by_severity(report)]


def csv_rows(report: CorruptionReport) -> Iterator[CsvRow]:
    """``corruption_acr`` and its like at ``fog`` or ``fog/3``; ``macr`` and ``macc`` at nothing or a severity."""
    for row in (*report.corruptions, *report.severities):
        at = row.corruption if row.severity is None else f"{row.corruption}/{row.severity}"
        for measure in ("acr", "accuracy", "abstention_rate"):
            if (value := getattr(row, measure)) is not None:
                yield f"corruption_{measure}", at, value, "", "", "", row.inputs
    for mean in report.means:
        at = "" if mean.severity is None else str(mean.severity)
        for name, value, ends in (("macr", mean.macr, mean.macr_interval), ("macc", mean.macc, mean.macc_interval)):
            if value is not None:
                yield name, at, value, *(ends or ("", "")), "", mean.corruptions


def _by_corruption(report: CorruptionReport) -> list[str]:
    radius = "ACR" if _has_radii(report) else ""
    lines = [f"{'corruption':<20}{'inputs':>9}{radius:>10}{'accuracy':>12}{'abstained':>12}"]
    for row in report.corruptions:
        cells = f"{row.inputs:>9,}{_radius(row.acr):>10}{_percent(row.accuracy):>12}{_percent(row.abstention_rate):>12}"
        lines.append(f"{row.corruption:<20}{cells}")
    for mean in report.means[:1]:
        over = f"{mean.corruptions} of {report.of}"
        label = "mACR, mAcc" if mean.macr is not None else "mAcc"
        lines.append(f"{label:<20}{over:>9}{_radius(mean.macr):>10}{_percent(mean.macc):>12}")
        lines.extend(_interval(mean))
    return lines


def _interval(mean: MeanRow) -> list[str]:
    """Lower and upper ends below the means."""
    if mean.macc_interval is None:
        return []
    radii, shares = mean.macr_interval, mean.macc_interval
    level = f"{100 * CONFIDENCE:.0f} % interval"
    low = f"{level + ' from':<29}{_radius(radii and radii[0]):>10}{_percent(shares[0]):>12}"
    return [low, f"{level + ' to':<29}{_radius(radii and radii[1]):>10}{_percent(shares[1]):>12}"]


def _by_severity(report: CorruptionReport) -> list[str]:
    shown = [severity for severity in SEVERITIES if any(row.severity == severity for row in report.severities)]
    if len(shown) < 2:
        return []
    measures = ("ACR", "accuracy") if _has_radii(report) else ("accuracy",)
    return [line for measure in measures for line in ("", *_block(report, shown, measure))]


def _has_radii(report: CorruptionReport) -> bool:
    return any(row.acr is not None for row in report.corruptions)


def _block(report: CorruptionReport, shown: Sequence[int], measure: str) -> list[str]:
    """One number for each corruption and severity."""
    found = {(row.corruption, row.severity): _cell(row, measure) for row in report.severities}
    found |= {("", mean.severity): _mean_cell(mean, measure) for mean in report.means}
    title = f"{measure} at severity"
    lines = [f"{title:<24}" + "".join(f"{severity:>10}" for severity in shown)]
    names = [row.corruption for row in report.corruptions] + ([""] if report.means else [])
    label = "mACR" if measure == "ACR" else "mAcc"
    return lines + [
        f"{name or label:<24}" + "".join(f"{found.get((name, severity), ''):>10}" for severity in shown)
        for name in names
    ]


def _cell(row: CorruptionRow, measure: str) -> str:
    return _radius(row.acr) if measure == "ACR" else _percent(row.accuracy)


def _mean_cell(mean: MeanRow, measure: str) -> str:
    return _radius(mean.macr) if measure == "ACR" else _percent(mean.macc)


def _radius(value: float | None) -> str:
    return "" if value is None else rounded_down(value, 4)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
