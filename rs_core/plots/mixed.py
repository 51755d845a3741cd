"""A figure of mixes by noise level and weight: Bai et al. 2023, arXiv 2301.12554, certified accuracy over the radius with one curve
for each alpha. A panel for each certification; style and files as in ``certification``."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from radii.rs_core.errors import InvalidResults
from radii.rs_core.plots.certification import RADIUS_LABEL
from radii.rs_core.reports.mixed import WeightResult

MOST_PANELS = 4
WIDTHS = {1: 8.0, 2: 10.0, 3: 13.0, 4: 16.0}
"""Inches of the figure by its panels."""
LEFT, RIGHT, WORDS = 0.85, 0.25, 1.5
"""Inches beside the panels, and those of the legend."""
DARKEST = 0.9
"""Of the colour map, whose end is too light on white."""


def by_weight(
    runs: Mapping[str, Sequence[WeightResult]], *, title: str = "By the weight of the robust classifier"
) -> Figure:
    """The weights of each certification by the name of its panel; all panels have the same scales. What is drawn is the certificate
    by randomized smoothing. Raises :class:`InvalidResults` for none, for too many, or for different
    weights."""
    weights = {tuple(row.robust_weight for row in rows) for rows in runs.values()}
    if not 1 <= len(runs) <= MOST_PANELS or len(weights) != 1:
        got = (
            f"{len(runs)}"
            if len(weights) == len(runs) == 1 or not runs or len(runs) > MOST_PANELS
            else "different weights"
        )
        raise InvalidResults(expected=f"1 to {MOST_PANELS} certifications of mixes, at the same weights", got=got)
    width = WIDTHS[len(runs)]
    figure = Figure(figsize=(width, 4.6), dpi=100)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(runs), sharex=True, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left=LEFT / width, right=1 - (RIGHT + WORDS) / width, bottom=0.14, top=0.82, wspace=0.08)
    figure.text(LEFT / width, 0.94, title, fontsize=13, va="center", parse_math=False)
    for axes, (name, rows) in zip(panels, runs.items(), strict=True):
        _panel(axes, name, rows)
    panels[0].set(ylabel="certified accuracy", ylim=(0, 1.01))
    panels[0].set_xlim(0, 1.03 * max(_farthest(rows) for rows in runs.values()) or 1.0)
    panels[0].yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    shown = [f"{weight:g}" for weight in weights.pop()]
    figure.legend(
        panels[0].lines,
        shown,
        title="weight",
        frameon=False,
        fontsize=10,
        loc="center left",
        bbox_to_anchor=(1 - WORDS / width, 0.5),
    )
    return figure


def _panel(axes: Axes, name: str, rows: Sequence[WeightResult]) -> None:
    colours = colormaps["viridis"]
    for place, row in enumerate(rows):
        colour = colours(DARKEST * (1 - place / max(1, len(rows) - 1)))
        radii, shares = _steps(row)
        axes.plot(radii, shares, color=colour, linewidth=1.8, drawstyle="steps-pre")
    axes.set_title(name, loc="left", fontsize=11, parse_math=False)
    axes.set_xlabel(RADIUS_LABEL if len(axes.figure.axes) == 1 else "certified ℓ₂ radius")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def _steps(row: WeightResult) -> tuple[list[float], list[float]]:
    """The corners of certified accuracy over the radius: each radius with the share that reaches it, and no one beyond the last."""
    radii, places = np.unique((0.0, *row.smoothed), return_index=True)
    reaching = len(row.smoothed) - np.maximum(places - 1, 0)
    return [*radii.tolist(), float(radii[-1])], [*(reaching / row.inputs).tolist(), 0.0]


def _farthest(rows: Sequence[WeightResult]) -> float:
    """The largest radius that any weight certifies."""
    return max((row.smoothed[-1] for row in rows if row.smoothed), default=0.0)
