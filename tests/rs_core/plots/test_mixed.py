"""The figure of mixes by noise level and weight."""

import pytest
from tests_support.mixes import certified

from radii.rs_core.errors import InvalidResults
from radii.rs_core.plots.certification import render
from radii.rs_core.plots.mixed import by_weight
from radii.rs_core.reports.certification import mixes
from radii.rs_core.reports.mixed import WeightResult, rows_at

WEIGHTS = (0.5, 0.8, 1.0)


def rows(weights: tuple[float, ...] = WEIGHTS) -> tuple[WeightResult, ...]:
    made = [certified(index, 0, (1_000 - 40 * index, 40 * index), (0.7, 0.3)) for index in range(10)]
    return mixes(made, weights=weights)


def test_each_certification_has_a_panel_and_each_weight_a_curve_in_it() -> None:
    figure = by_weight({"σ = 0.25": rows(), "σ = 0.5": rows()})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["σ = 0.25", "σ = 0.5"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0.5", "0.8", "1"]
    for format, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        assert render(figure, format).startswith(start)


def test_a_curve_is_certified_accuracy_at_every_radius() -> None:
    line = by_weight({"one": rows()}).axes[0].lines[1]
    x, y = list(line.get_xdata()), list(line.get_ydata())
    shown = rows_at(rows(), x[:-1])[1]
    assert dict(zip(x[:-1], y[:-1], strict=True)) == {one.radius: one.certified_accuracy for one in shown.certified}
    assert len(x) > 5 and x == sorted(x) and x[1:-1] == sorted(set(rows()[1].smoothed) - {0.0}), "all its corners"
    assert (x[-1], y[-1]) == (x[-2], 0.0), "beyond the last nothing is certified"


def test_what_cannot_stand_beside_each_other_is_refused() -> None:
    with pytest.raises(InvalidResults, match="different weights"):
        by_weight({"one": rows(), "other": rows((0.5, 1.0))})
    with pytest.raises(InvalidResults, match="1 to 4 certifications"):
        by_weight({})
    with pytest.raises(InvalidResults, match="1 to 4 certifications"):
        by_weight({str(place): rows() for place in range(5)})
