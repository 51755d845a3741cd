"""Figures of an evaluation: accuracy over the radius of an attack, and votes over the length of a search."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from radii.rs_core.errors import InvalidResults
from radii.rs_core.evaluate.registry import EVALUATIONS
from radii.rs_core.plots.certification import BLUE, GREY, LINE_COLOURS, ORANGE, canvas, legend
from radii.rs_core.reports.evaluation import EvaluationReport

NORMS = {"l2": "ℓ₂", "linf": "ℓ∞"}


def evaluation(reports: Mapping[str, EvaluationReport], *, title: str | None = None) -> Figure:
    """The figure of one evaluation, or of several of one kind by name. Raises :class:`InvalidResults` for none, or for kinds
    that do not go together."""
    kinds = {(report.evaluation, report.norm) for report in reports.values()}
    if len(kinds) != 1:
        got = ", ".join(f"{name} in {norm}" for name, norm in sorted(kinds)) or "none"
        raise InvalidResults(expected="evaluations of one kind and norm to draw", got=got)
    ((kind, norm),) = kinds
    asked = EVALUATIONS[kind]
    figure, axes = canvas(title or asked.title, f"{asked.point}, {NORMS[norm]}, in [0, 1]-pixel units")
    drawn: list[tuple[str, Any]] = []
    for place, (name, report) in enumerate(reports.items()):
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        drawn += (_votes if asked.plots_votes else _accuracy)(axes, report, name, colour, alone=len(reports) == 1)
    axes.set(ylabel="mean share of votes" if asked.plots_votes else "accuracy", ylim=(0, 1.01))
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    legend(axes, [label for label, _ in drawn], [handle for _, handle in drawn], loc="best")
    return figure


def _votes(axes: Axes, report: EvaluationReport, name: str, colour: str, *, alone: bool) -> list[tuple[str, Any]]:
    at = [row.point for row in report.points]
    style: dict[str, Any] = {"linewidth": 1.8}
    (true,) = axes.plot(
        at, [row.true_votes for row in report.points], color=BLUE if alone else colour, marker="o", **style
    )
    (other,) = axes.plot(
        at,
        [row.other_votes for row in report.points],
        color=ORANGE if alone else colour,
        marker="s",
        linestyle="--",
        **style,
    )
    return [(f"{name}: true class", true), (f"{name}: strongest other class", other)]


def _accuracy(axes: Axes, report: EvaluationReport, name: str, colour: str, *, alone: bool) -> list[tuple[str, Any]]:
    rows = report.points
    shares = [row.accuracy.share for row in rows]
    below = [share - row.accuracy.low for share, row in zip(shares, rows, strict=True)]
    above = [row.accuracy.high - share for share, row in zip(shares, rows, strict=True)]
    bars: dict[str, Any] = {"capsize": 3, "elinewidth": 0.9, "marker": "o", "linewidth": 1.8}
    attacked = axes.errorbar([row.point for row in rows], shares, [below, above], color=colour, **bars)
    drawn: list[tuple[str, Any]] = [(f"{name}: right", attacked)]
    if any(row.abstained for row in rows):
        shares = [row.unbroken for row in rows]
        (unbroken,) = axes.plot([row.point for row in rows], shares, color=colour, linestyle="--", linewidth=1.2)
        drawn.append((f"{name}: right or abstained", unbroken))
    known = [(row.point, row.certified) for row in rows if row.certified is not None]
    if not known:
        return drawn
    at, certified = zip(*known, strict=True)
    (line,) = axes.plot(at, certified, color=GREY if alone else colour, marker="^", linestyle=":", linewidth=1.8)
    return [*drawn, (f"{name}: certified", line)]
