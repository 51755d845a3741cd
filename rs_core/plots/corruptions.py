"""A figure of rows by corruption: accuracy and ACR as bars side by side, with their means; style and files as in ``certification``."""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from radii.rs_core.errors import InvalidResults
from radii.rs_core.plots.certification import BLUE, ORANGE
from radii.rs_core.reports.corruptions import CorruptionReport
from radii.rs_core.results.tsv import rounded_down

ROW = 0.27
"""Inches for each corruption."""
RADIUS_LABEL = "average certified ℓ₂ radius (ACR)"


def by_corruption(report: CorruptionReport, *, title: str = "Under common corruptions") -> Figure:
    """Accuracy on the left, ACR on the right, one corruption a line; dashed lines are mAcc and mACR."""
    if any(row.acr is None for row in report.corruptions):
        raise InvalidResults(expected="rows of certificates, which have radii", got="rows of predictions")
    names = [row.corruption.replace("_", " ") for row in report.corruptions]
    figure, left, right = _panels(len(names), title)
    mean = report.means[0] if report.means else None
    over = "" if mean is None else f"over {mean.corruptions}"
    _bars(left, [row.accuracy for row in report.corruptions])
    _bars(right, radii := [row.acr or 0.0 for row in report.corruptions])
    if mean is not None:
        _mean(left, mean.macc, f"mAcc {over}: {100 * mean.macc:.2f} %")
        _mean(right, mean.macr or 0.0, f"mACR {over}: {rounded_down(mean.macr or 0.0, 4)}")
    left.set(xlabel="accuracy at radius 0", xlim=(0, 1))
    left.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.4, -0.6)
    right.set(xlabel=RADIUS_LABEL, xlim=(0, 1.1 * max([*radii, 1e-3])))
    return figure


def _panels(rows: int, title: str) -> tuple[Figure, Axes, Axes]:
    """Two panels beside each other, as high as so many bars need."""
    height = 1.4 + ROW * rows
    figure = Figure(figsize=(8, height), dpi=100)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.19, right=0.97, bottom=0.5 / height, top=1 - 0.75 / height, wspace=0.22)
    figure.text(0.02, 1 - 0.3 / height, title, fontsize=13, va="center", parse_math=False)
    return figure, left, right


def _bars(axes: Axes, values: list[float]) -> None:
    axes.barh(range(len(values)), values, height=0.7, color=BLUE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _mean(axes: Axes, value: float, text: str) -> None:
    axes.axvline(value, color=ORANGE, linestyle="--", linewidth=1.6)
    axes.set_title(text, loc="right", fontsize=10, color=ORANGE)
