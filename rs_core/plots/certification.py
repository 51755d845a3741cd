"""Figures of a certification: the certified-accuracy curve and the histogram of radii, from rows.

The curve is the exact empirical step function of Cohen et al. 2019, arXiv 1902.02918: share of inputs that are correct
with radius >= r. Figures are objects of their own (no pyplot, no global state, no display), and equal rows render to
equal bytes. Colours are those of Okabe & Ito, safe for colour-blind readers. The numbers come from ``results.aggregate``.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from radii.rs_core.certify.bounds import interval
from radii.rs_core.errors import InvalidResults
from radii.rs_core.literature.published_results import Published
from radii.rs_core.records import Certificate
from radii.rs_core.reports.procedure_text import ProcedureSummary, made
from radii.rs_core.results.aggregate import CONFIDENCE, radii_up_to
from radii.rs_core.results.photographs import GroupSizes, Photographs, told
from radii.rs_core.results.row_statistics import RowStatistics, ValueCounts, shown_in, statistics_of
from radii.rs_core.results.tsv import rounded_down

# Read while an SVG is drawn, so it cannot be passed with the figure; a fixed salt makes the ids of its parts fixed.
matplotlib.rcParams["svg.hashsalt"] = "radii"

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8C8C8C"
LINE_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*", "<", ">")
PRINTED = "#444444"
ROOM_INSIDE = 4
"""Entries that a legend may have inside the axes, where it could cover curves; with more it stands below."""
WIDE = 48
"""Characters of a legend's entry beside which there is no room for another one."""
RADIUS_LABEL = "certified ℓ₂ radius, in [0, 1]-pixel units"
MAX_STEPS = 4_000
BAND_POINTS = 200
BINS = 40
METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": "radii"}, "svg": {"Creator": "radii", "Date": None}}


@dataclass(frozen=True, kw_only=True)
class PlotInput:
    """A curve of rows by their statistics; ``photographs`` where several of them may show the same one, and the statistics
    has the sums of each."""

    statistics: RowStatistics
    how: ProcedureSummary
    photographs: Photographs | None = None


def certified_accuracy(
    curves: Mapping[str, Sequence[Certificate] | PlotInput],
    *,
    totals: Mapping[str, int] | None = None,
    title: str = "Certified accuracy",
    published: Sequence[Published] = (),
) -> Figure:
    """Certified accuracy over the radius, one step curve per name; a single one gets its pointwise interval.

    ``totals``: inputs of a job by name, where rows may be missing; they count as not certified. ``published`` results are
    markers at the radii that were reported. Where the curves are of different procedures, each says of which. Raises
    :class:`InvalidResults` where there is no curve, or one of rows of several procedures.
    """
    if not curves:
        raise InvalidResults(expected="at least one curve to draw", got="none")
    figure, axes = canvas(title)
    styles = cycle((colour, style) for style in LINE_STYLES for colour in LINE_COLOURS)
    labels = []
    shown = {name: curve if isinstance(curve, PlotInput) else drawn(curve) for name, curve in curves.items()}
    several = len({curve.how for curve in shown.values() if curve.statistics.sums.evaluated}) > 1
    for (name, curve), (colour, style) in zip(shown.items(), styles, strict=False):
        sums, radii_of = curve.statistics.sums, curve.statistics.correct_radii
        inputs = max((totals or {}).get(name, 0), sums.evaluated, 1)
        radii, shares = _steps(radii_of, inputs)
        axes.plot(radii, shares, drawstyle="steps-pre", color=colour, linestyle=style, linewidth=1.8)
        acr = f"{curve.how.acr_label} {rounded_down(sums.radius_sum / inputs, 4)}"
        labels.append(f"{_short(name)} ({f'{curve.how.text}, ' if several else ''}{acr})")
    labels += _markers(axes, published)
    if len(curves) == 1 and sums.evaluated:
        known = shown_in(curve.statistics.photographs, curve.photographs, inputs - sums.evaluated)
        sizes = None if known is None else known.sizes
        _band(axes, curve.statistics, inputs, sizes, BLUE)
        over = f"{inputs:,} inputs" if sizes is None else told(sizes.photographs, inputs)
        labels.append(f"{100 * CONFIDENCE:.0f} % interval over {over}, pointwise")
    axes.set(ylabel="certified accuracy", xlim=(0, _right(axes)), ylim=(0, 1.01))
    if len(labels) <= ROOM_INSIDE:
        legend(axes, labels, loc="best")
    else:
        _legend_below(figure, axes, labels)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    return figure


def radius_histogram(rows: Sequence[Certificate] | RowStatistics, *, title: str = "Certified radii") -> Figure:
    """How many inputs have which radius: correct and wrong ones stacked, abstentions as a bar left of 0."""
    statistics = rows if isinstance(rows, RowStatistics) else statistics_of(rows, ())
    correct, wrong = statistics.correct_radii, statistics.wrong_radii
    edges = np.linspace(0, max(correct.largest, wrong.largest) or 1.0, BINS + 1)
    low, high = (np.histogram(sample.values, edges, weights=sample.counts)[0] for sample in (correct, wrong))
    width, abstained = edges[1], statistics.sums.abstained
    figure, axes = canvas(title)
    bars: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.5}
    axes.bar(edges[:-1], low, width, color=BLUE, **bars)
    axes.bar(edges[:-1], high, width, bottom=low, color=ORANGE, hatch="////", **bars)
    axes.bar(-2 * width, abstained, width, color=GREY, **bars)
    shown = (("correct", correct.total), ("wrong class", wrong.total), ("abstained, no radius", abstained))
    labels = [f"{name}: {count:,}" for name, count in shown]
    legend(axes, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0)
    highest = max(int((low + high).max()), abstained, 1)
    axes.set(ylabel="inputs", xlim=(-3 * width, edges[-1] + width), ylim=(0, 1.05 * highest))
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= edges[-1]])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def render(figure: Figure, format: Literal["png", "svg"]) -> bytes:
    """The figure as a file, 800 pixels wide; equal figures give equal bytes under equal versions of matplotlib."""
    target = io.BytesIO()
    figure.savefig(target, format=format, metadata=METADATA[format])
    return target.getvalue()


def canvas(title: str, xlabel: str = RADIUS_LABEL) -> tuple[Figure, Axes]:
    """An empty figure, 800 by 500 pixels, of the one style."""
    figure = Figure(figsize=(8, 5), dpi=100)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.11, right=0.97, bottom=0.13, top=0.87)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=13, pad=23, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel)
    axes.xaxis.label.set_fontsize(11)
    axes.yaxis.label.set_fontsize(11)
    return figure, axes


def drawn(certificates: Sequence[Certificate], photographs: Photographs | None = None) -> PlotInput:
    """The curve of these certificates, of which several may show one of ``photographs``."""
    if photographs is None:
        return PlotInput(statistics=statistics_of(certificates, ()), how=made(certificates))
    radii = radii_up_to(max((row.radius for row in certificates), default=0.0))
    statistics = statistics_of(certificates, radii, starts=photographs.starts)
    return PlotInput(statistics=statistics, how=made(certificates), photographs=photographs)


def _steps(sample: ValueCounts, inputs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii and the share certified at each, from 0 to the drop behind the largest; a share holds back to the radius
    before. Among very many radii some are left out, which can only lower the curve, by less than a pixel."""
    radii = np.unique(np.append(sample.values, 0.0))
    kept = radii[:: -(-len(radii) // MAX_STEPS)] if len(radii) > MAX_STEPS else radii
    kept = np.unique(np.append(kept, radii[-1]))
    return np.append(kept, kept[-1]), np.append(sample.at_least(kept), 0) / inputs


def _band(axes: Axes, statistics: RowStatistics, inputs: int, sizes: GroupSizes | None, colour: str) -> None:
    sample, missing = statistics.correct_radii, inputs - statistics.sums.evaluated
    radii = np.linspace(0, sample.largest or 1.0, BAND_POINTS)
    below, above = np.ones(BAND_POINTS), np.ones(BAND_POINTS)
    if sizes is not None:
        radii = np.union1d(radii, [radius for radius in statistics.sums.radii if radius <= radii[-1]])
        below, above = _shrunk(statistics, sizes, radii, inputs)
    counts = sample.at_least(radii)
    low = [interval(k * f, inputs * f, CONFIDENCE)[0] for k, f in zip(counts.tolist(), below.tolist(), strict=True)]
    high = [
        interval((k + missing) * f, inputs * f, CONFIDENCE)[1]
        for k, f in zip(counts.tolist(), above.tolist(), strict=True)
    ]
    axes.fill_between(radii, low, high, color=colour, alpha=0.2, linewidth=0)


def _shrunk(
    statistics: RowStatistics, sizes: GroupSizes, radii: NDArray[np.float64], inputs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The effective share of the inputs at each of ``radii``, for the lower and the upper end.

    The sums of each photograph are known at the radii of the grid; between two of these it is the smaller share of both.
    """
    sums = statistics.photographs
    assert sums is not None
    table = np.vstack([sums.correct, sums.at])
    table = np.pad(table, [(0, 0), (0, len(sizes.inputs) - table.shape[1])])  # photographs without a row so far
    grid = np.array([0.0, *statistics.sums.radii])
    after = np.searchsorted(grid, radii, side="left").clip(max=len(grid) - 1)
    before = np.where(grid[after] == radii, after, (after - 1).clip(min=0))
    ends = []
    for missing in (np.zeros_like(sizes.missing), sizes.missing):
        found = sizes.effective(table + missing, CONFIDENCE) / inputs
        ends.append(np.minimum(found[before], found[after]))
    return ends[0], ends[1]


def _markers(axes: Axes, published: Sequence[Published]) -> list[str]:
    """Published results as points, since nothing was printed between them, in the colour of no curve; returns their labels.
    Those of which only ACR is known cannot be drawn."""
    labels = []
    drawn = [one for one in published if one.certified_accuracy]
    look: dict[str, Any] = {"color": PRINTED, "markerfacecolor": "white", "markersize": 6.5, "clip_on": False}
    for one, marker in zip(drawn, cycle(MARKERS), strict=False):
        radii = [share.radius for share in one.certified_accuracy]
        shares = [share.percent / 100 for share in one.certified_accuracy]
        axes.plot(radii, shares, marker, zorder=3, **look)
        acr = "" if one.acr is None else f" (ACR {one.acr:.3f})"
        labels.append(f"published: {_short(one.name)}{acr}")
    return labels


def _right(axes: Axes) -> float:
    """A little beyond the largest radius of any curve."""
    return 1.03 * max(float(np.max(line.get_xdata())) for line in axes.lines) or 1.0


def _legend_below(figure: Figure, axes: Axes, labels: Sequence[str]) -> None:
    """A legend under the axes, for which the figure grows downwards; the axes keep their size."""
    columns = 1 if max(map(len, labels)) > WIDE else 2
    before, room = figure.get_figheight(), 0.15 + 0.23 * math.ceil(len(labels) / columns)
    bottom, top = figure.subplotpars.bottom * before, figure.subplotpars.top * before
    figure.set_figheight(before + room)
    figure.subplots_adjust(bottom=(bottom + room) / (before + room), top=(top + room) / (before + room))
    below = -bottom / (top - bottom)
    legend(axes, labels, loc="upper left", bbox_to_anchor=(-0.02, below), ncols=columns, borderaxespad=0)


def legend(axes: Axes, labels: Sequence[str], handles: Sequence[Any] = (), **place: Any) -> None:
    """Names what is drawn, as it is written: no part of a name is taken for a formula."""
    drawn: list[Any] = list(handles) or [*axes.lines, *axes.collections, *axes.containers]
    box = axes.legend(drawn, labels, frameon=False, fontsize=10, **place)
    for text, label in zip(box.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def _short(name: str, length: int = 40) -> str:
    return name if len(name) <= length else name[: length - 3] + "..."
