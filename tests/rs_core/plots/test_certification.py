"""Figures: the curve is the empirical step function, and equal rows give equal bytes."""

import io
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from radii.rs_core.errors import InvalidResults
from radii.rs_core.literature.published_results import published
from radii.rs_core.plots import certification
from radii.rs_core.plots.certification import certified_accuracy, radius_histogram, render
from radii.rs_core.records import ABSTAIN, Certificate

ROW = Certificate(
    index=0,
    label=0,
    prediction=0,
    radius=0.5,
    p_lower=0.9,
    counts0=(),
    counts=(),
    n0=100,
    n=1_000,
    sigma=0.25,
    alpha=0.001,
    seed=7,
)
RADII = (0.1, 0.5, 0.5, 0.75)
ROWS = [
    *(replace(ROW, index=index, radius=radius) for index, radius in enumerate(RADII)),
    replace(ROW, index=4, label=1, radius=0.9),
    replace(ROW, index=5, prediction=ABSTAIN, radius=0.0),
]


def share_drawn_at(figure: Figure, r: float) -> float:
    """Height of the first curve at ``r``: of the first vertex that is not left of it, as ``steps-pre`` draws."""
    line = figure.axes[0].lines[0]
    assert line.get_drawstyle() == "steps-pre"
    radii, shares = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    return float(shares[np.searchsorted(radii, r, side="left")])


def legend_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("r", [0.0, 0.05, 0.1, 0.1001, 0.5, 0.51, 0.75])
def test_the_curve_is_the_share_correct_with_radius_at_least_r(r: float) -> None:
    exact = sum(row.correct and row.radius >= r for row in ROWS) / len(ROWS)
    assert share_drawn_at(certified_accuracy({"a": ROWS}), r) == exact


def test_the_curve_falls_to_zero_at_the_largest_correct_radius() -> None:
    line = certified_accuracy({"a": ROWS}).axes[0].lines[0]
    assert (np.asarray(line.get_xdata())[-1], np.asarray(line.get_ydata())[-1]) == (0.75, 0.0)


def test_missing_inputs_lower_the_curve() -> None:
    assert share_drawn_at(certified_accuracy({"a": ROWS}, totals={"a": 40}), 0.5) == 3 / 40


def test_a_curve_of_very_many_radii_is_thinned_without_overstating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [replace(ROW, index=index, radius=(index + 1) / 1_000) for index in range(1_000)]
    monkeypatch.setattr(certification, "MAX_STEPS", 100)
    thinned = certified_accuracy({"a": rows})
    assert len(np.asarray(thinned.axes[0].lines[0].get_xdata())) <= 103
    for r in np.linspace(0, 1, 77):
        exact = sum(row.radius >= r for row in rows) / 1_000
        assert exact - 0.011 <= share_drawn_at(thinned, float(r)) <= exact


def test_a_single_curve_has_its_interval_and_several_have_names() -> None:
    assert legend_of(certified_accuracy({"a": ROWS})) == ["a (ACR 0.3083)", "95 % interval over 6 inputs, pointwise"]
    several = certified_accuracy({"a": ROWS, "b": ROWS[:2]})
    assert legend_of(several) == ["a (ACR 0.3083)", "b (ACR 0.3000)"]
    assert not several.axes[0].collections


def test_the_interval_contains_the_curve() -> None:
    (band,) = certified_accuracy({"a": ROWS}).axes[0].collections
    corners = np.asarray(band.get_paths()[0].vertices)
    at_zero = corners[corners[:, 0] == 0][:, 1]
    assert at_zero.min() < 4 / 6 < at_zero.max()


def test_every_one_of_a_dozen_curves_looks_different() -> None:
    lines = certified_accuracy({str(k): ROWS for k in range(12)}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


def test_published_results_are_points_at_their_radii() -> None:
    figure = certified_accuracy(
        {"a": ROWS}, published=[published("cifar10/cat_rs/0.25"), published("mnist/cat_rs/0.5")]
    )
    curve, points = figure.axes[0].lines
    assert points.get_linestyle() == "None" and points.get_color() != curve.get_color()
    assert np.asarray(points.get_xdata()).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert np.asarray(points.get_ydata()) == pytest.approx([0.763, 0.681, 0.588, 0.482])
    assert legend_of(figure) == [
        "a (ACR 0.3083)",
        "published: cifar10/cat_rs/0.25 (ACR 0.562)",
        "95 % interval over 6 inputs, pointwise",
    ]


def test_the_legend_of_many_curves_stands_below_them_and_covers_none() -> None:
    results = [published("cifar10/cat_rs/0.25"), published("cifar10/gaussian/0.25")]
    figure = certified_accuracy({f"{k} {'x' * 60}": ROWS for k in range(7)}, published=results)
    few = certified_accuracy({"a": ROWS, "b": ROWS})
    picture = Image.open(io.BytesIO(render(figure, "png")))
    assert picture.size[0] == 800 and picture.size[1] > 600
    legend, axes = figure.axes[0].get_legend(), figure.axes[0].get_window_extent()
    assert legend is not None
    box = legend.get_window_extent()
    assert box.y1 < axes.y0 and box.y0 >= 0 and box.x1 <= 800, "under the axes, and within the picture"
    before = few.axes[0].get_window_extent()
    assert (axes.width, axes.height) == pytest.approx((before.width, before.height))


def test_names_are_shown_as_they_are() -> None:
    names = ("_hidden", "$x^{$", "<b>&-->", "a" * 100)
    figure = certified_accuracy({name: ROWS for name in names}, title="$\\alpha{$")
    assert [label.rpartition(" (")[0] for label in legend_of(figure)] == [*names[:3], "a" * 37 + "..."]
    ET.fromstring(render(figure, "svg"))


def test_axes_say_what_they_measure_and_in_what_unit() -> None:
    for figure, y in ((certified_accuracy({"a": ROWS}), "certified accuracy"), (radius_histogram(ROWS), "inputs")):
        assert figure.axes[0].get_xlabel() == "certified ℓ₂ radius, in [0, 1]-pixel units"
        assert figure.axes[0].get_ylabel() == y


def test_the_histogram_tells_correct_wrong_and_abstained_apart() -> None:
    figure = radius_histogram(ROWS)
    assert legend_of(figure) == ["correct: 4", "wrong class: 1", "abstained, no radius: 1"]
    heights = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]
    assert heights == [4, 1, 1]


@pytest.mark.parametrize("format", ["png", "svg"])
def test_equal_rows_render_to_equal_bytes(format: Literal["png", "svg"]) -> None:
    assert render(certified_accuracy({"a": ROWS}), format) == render(certified_accuracy({"a": ROWS}), format)
    figure = radius_histogram(ROWS)
    assert render(figure, format) == render(radius_histogram(ROWS), format) == render(figure, format)


def test_pictures_are_800_pixels_wide_and_not_empty() -> None:
    picture = Image.open(io.BytesIO(render(certified_accuracy({"a": ROWS}), "png")))
    assert picture.size == (800, 500)
    colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 20) or []}
    assert (0x00, 0x72, 0xB2) in colours
    assert b"<svg" in render(radius_histogram(ROWS), "svg")


def test_no_results_yet_is_drawn_without_a_warning() -> None:
    failed = [replace(ROW, prediction=ABSTAIN, radius=0.0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in ([], failed):
            for figure in (certified_accuracy({"a": rows}), radius_histogram(rows)):
                assert render(figure, "png")


def test_no_curve_is_refused() -> None:
    with pytest.raises(InvalidResults, match="at least one curve"):
        certified_accuracy({})


def test_vertices_of_a_curve_are_ordered() -> None:
    line = certified_accuracy({"a": ROWS}).axes[0].lines[0]
    assert all(a <= b for a, b in pairwise(np.asarray(line.get_xdata()).tolist()))
    assert all(a >= b for a, b in pairwise(np.asarray(line.get_ydata()).tolist()))
