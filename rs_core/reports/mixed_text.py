"""The trade-off of a mix as text: an aligned table for a terminal, and rows of CSV. The figures come from ``mixed``."""

from collections.abc import Iterator, Sequence

from radii.rs_core.reports.mixed import WeightRow
from radii.rs_core.results.tsv import rounded_down

MOST_RADII = 5
"""Radii that a table of 100 columns has room for."""


def lines_of(rows: Sequence[WeightRow]) -> list[str]:
    """The table, weight by weight."""
    places = [place for place, point in enumerate(rows[0].certified) if point.radius][:MOST_RADII]
    radii = [rows[0].certified[place].radius for place in places]
    head = f"{'weight':>8} {'accuracy':>10} {'abstained':>10} {'ACR':>8}" + "".join(
        f" {f'at {at:g}':>10}" for at in radii
    )
    shown = [head]
    for row in rows:
        line = f"{row.robust_weight:>8g} {_percent(row.accuracy.certified_accuracy):>10} {_percent(row.abstained):>10}"
        line += f" {rounded_down(row.acr, 4):>8}"
        shown.append(
            line + "".join(f" {_percent(at.certified_accuracy):>10}" for at in map(row.certified.__getitem__, places))
        )
    return [*shown, "by the weight of the robust classifier, from the same votes; accuracy is the mix's, at radius 0"]


def csv_rows(rows: Sequence[WeightRow]) -> Iterator[tuple[object, ...]]:
    """Rows of ``certification_text.CSV_COLUMNS``: ``at`` is the weight, or the weight and a radius."""
    if rows:
        yield "mix_interval_units", rows[0].unit, rows[0].units, "", "", "", ""
    for row in rows:
        weight, zero = row.robust_weight, row.accuracy
        yield "mix_accuracy", weight, zero.certified_accuracy, zero.low, zero.high, zero.count, ""
        yield "mix_abstained", weight, row.abstained, "", "", "", ""
        yield "mix_acr", weight, row.acr, "", "", "", ""
        for name, curve in (("mix_certified", row.certified), ("mix_certified_by_lipschitz", row.by_lipschitz)):
            for at in curve:
                yield name, f"{weight:g} at {at.radius:g}", at.certified_accuracy, at.low, at.high, at.count, ""


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
