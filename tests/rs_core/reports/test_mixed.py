"""The trade-off of a mix, from votes made by hand."""

from typing import Any

import pytest
from tests_support.mixes import certified

from radii.rs_core.errors import InvalidResults, InvalidSpec
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.mixed import WEIGHTS, WeightRow, by_weight, rows_at
from radii.rs_core.results.photographs import Photographs

ROWS = [
    certified(0, 0, (990, 10), (0.9, 0.1)),  # both right, the robust one surely
    certified(1, 1, (900, 100), (0.05, 0.95)),  # the standard one alone is right
    certified(2, 0, (520, 480), (0.9, 0.1)),  # the robust one is unsure
]


def at(radii: tuple[float, ...], **asked: Any) -> tuple[WeightRow, ...]:
    return rows_at(by_weight(ROWS, **asked), radii)


def test_each_weight_has_the_certificates_that_it_would_have_had() -> None:
    for weight, row in zip(WEIGHTS, at((0.25,)), strict=True):
        own = [certified(one.index, one.label, one.counts, one.standard, weight) for one in ROWS]
        assert row.acr == pytest.approx(sum(one.radius for one in own if one.correct) / 3)
        assert row.accuracy.count == sum(one.correct for one in own)
        assert row.abstained == pytest.approx(sum(one.prediction == ABSTAIN for one in own) / 3)


def test_the_ends_are_the_two_classifiers() -> None:
    ends = at((0.1,), weights=(0.0, 1.0))
    assert [row.accuracy.count for row in ends] == [3, 1]
    assert [row.certified[0].count for row in ends] == [0, 1]


def test_randomized_smoothing_certifies_at_least_what_the_lipschitz_constant_does() -> None:
    for row in at((0.05, 0.1, 0.3)):
        for one, other in zip(row.certified, row.by_lipschitz, strict=True):
            assert one.count >= other.count


def test_missing_and_failed_inputs_stay_in_the_denominator() -> None:
    failed = Certificate(
        **{name: getattr(ROWS[0], name) for name in ("n0", "n", "sigma", "alpha", "seed")},
        index=9,
        prediction=ABSTAIN,
        radius=0.0,
        p_lower=0.0,
        counts0=(),
        counts=(),
        error="it ended its process",
    )
    (row,) = rows_at(by_weight([*ROWS, failed], weights=(0.8,), total=8), (0.1,))
    assert row.accuracy.certified_accuracy == pytest.approx(2 / 8)


def test_certificates_of_something_else_are_refused() -> None:
    with pytest.raises(InvalidResults, match="certificates of a mix"):
        by_weight([Certificate(**{**vars(ROWS[0]), "bound": "two_class"})])


@pytest.mark.parametrize("radius", [float("nan"), float("inf"), -1.0])
def test_what_is_no_radius_is_refused(radius: float) -> None:
    with pytest.raises(InvalidSpec, match="finite and at least 0"):
        at((0.25, radius))


def test_the_table_of_nobody_yet_has_the_radii_that_are_asked_for() -> None:
    (row,) = rows_at(by_weight([], weights=(0.8,), total=4), (0.0, 0.25))
    assert [(one.radius, one.count, one.high) for one in row.certified] == [(0.0, 0, 1.0), (0.25, 0, 1.0)]


def test_missing_inputs_of_unknown_photographs_are_refused() -> None:
    """They were taken for none, and the upper ends were too low."""
    rows = [certified(index, 0, (990, 10), (0.9, 0.1)) for index in range(20)]
    assert by_weight(rows, weights=(0.8,), total=20, photographs=Photographs((0, 10)))[0].shown is not None
    by_weight(rows, weights=(0.8,), total=40, photographs=Photographs((0, 10, 20, 30), range(40)))
    with pytest.raises(InvalidResults, match=r"the record of the run \(.run.json\)"):
        by_weight(rows, weights=(0.8,), total=40, photographs=Photographs((0, 10, 20, 30)))
