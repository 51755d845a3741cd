"""The figure by corruption: a bar for each in both panels, lines at the means, equal bytes for equal reports."""

import pytest

from radii.rs_core.errors import InvalidResults
from radii.rs_core.plots.certification import render
from radii.rs_core.plots.corruptions import by_corruption
from radii.rs_core.reports.corruptions import CorruptionReport, CorruptionRows, report_on
from radii.rs_core.results.row_statistics import ClassSums


def report(*, radii: bool = True) -> CorruptionReport:
    sums = {"fog": ClassSums(inputs=4, radius_sum=2.0, correct=3), "jpeg_compression": ClassSums(inputs=4, correct=1)}
    return report_on(
        [CorruptionRows(corruption=name, severity=1, inputs=found.inputs, sums=found) for name, found in sums.items()],
        radii=radii,
    )


def test_every_corruption_has_a_bar_of_its_accuracy_and_one_of_its_acr() -> None:
    left, right = by_corruption(report()).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["fog", "jpeg compression"]
    assert [bar.get_width() for bar in left.patches] == [0.75, 0.25]  # type: ignore[attr-defined]
    assert [bar.get_width() for bar in right.patches] == [0.5, 0.0]  # type: ignore[attr-defined]


def test_dashed_lines_are_the_means() -> None:
    left, right = by_corruption(report()).axes
    assert [line.get_xdata()[0] for line in (*left.lines, *right.lines)] == [0.5, 0.25]  # type: ignore[index]
    assert right.get_title(loc="right") == "mACR over 2: 0.2500"


def test_equal_reports_give_equal_bytes() -> None:
    first, second = (render(by_corruption(report(), title="a $title"), "png") for _ in range(2))
    assert first == second


def test_predictions_have_no_such_figure() -> None:
    with pytest.raises(InvalidResults, match="rows of predictions"):
        by_corruption(report(radii=False))
