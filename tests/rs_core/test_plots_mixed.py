"""The figure of mixes by noise level and weight."""

import pytest
from tests_support.mixes import certified

from rs_core.errors import InvalidResults
from rs_core.mixed_report import WeightRow, at_radii
from rs_core.plots import render
from rs_core.plots_mixed import by_weight
from rs_core.report import weight_rows

WEIGHTS = (0.5, 0.8, 1.0)


def rows(weights: tuple[float, ...] = WEIGHTS) -> tuple[WeightRow, ...]:
    made = [certified(index, 0, (1_000 - 40 * index, 40 * index), (0.7, 0.3)) for index in range(10)]
    return weight_rows(made, weights=weights, fine=True)


def test_each_certification_has_a_panel_and_each_weight_a_curve_in_it() -> None:
    figure = by_weight({"σ = 0.25": rows(), "σ = 0.5": rows()})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["σ = 0.25", "σ = 0.5"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0.5", "0.8", "1"]
    for format, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        assert render(figure, format).startswith(start)


def test_a_curve_is_certified_accuracy_at_every_radius() -> None:
    line = by_weight({"one": rows()}).axes[0].lines[1]
    known = {at.radius: at.certified_accuracy for at in rows()[1].certified}
    x, y = list(line.get_xdata()), list(line.get_ydata())
    assert dict(zip(x[:-1], y[:-1], strict=True)) == known
    assert (x[-1], y[-1]) == (max(known), 0.0), "beyond the cap nothing is certified"
    assert len(known) > 400 and set(at.radius for at in at_radii(rows(), [0.25])[1].certified) == {0.25}


def test_what_cannot_stand_beside_each_other_is_refused() -> None:
    with pytest.raises(InvalidResults, match="different weights"):
        by_weight({"one": rows(), "other": rows((0.5, 1.0))})
    with pytest.raises(InvalidResults, match="1 to 4 certifications"):
        by_weight({})
    with pytest.raises(InvalidResults, match="1 to 4 certifications"):
        by_weight({str(place): rows() for place in range(5)})
