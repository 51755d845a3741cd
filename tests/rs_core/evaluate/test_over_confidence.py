"""Votes along the unrestricted search on a smoothed classifier whose boundary is known."""

import pytest
from scipy.stats import binom
from tests_support.linear import grey, probability, subject

from radii.rs_core.evaluate.over_confidence import evaluate
from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.specs.evaluations import OverConfidence

MARGIN, SIGMA, N = 1.0, 0.25, 2_000
LENGTHS = (0.0, 0.5, 1.0, 1.5)


def found(asked: OverConfidence) -> EvaluationRecord:
    records = evaluate(subject(MARGIN, SIGMA), [(2, grey(), 0)], asked)
    return next(record for record in records if isinstance(record, EvaluationRecord))


def test_votes_along_the_path_are_those_of_the_distance() -> None:
    """Each count is binomial with a known p; outside of its range of 1 - 1e-9, with four counts, in 4 of 10^9 runs."""
    row = found(OverConfidence(lengths=LENGTHS, step_size=0.1, m=4, n=N))
    for at in row.found:
        assert at.distance == pytest.approx(at.point, abs=1e-3)
        low, high = binom.interval(1 - 1e-9, N, probability(MARGIN, at.point, SIGMA))
        assert low <= at.counts[0] <= high
        assert sum(at.counts) == N


def test_the_distance_is_less_than_the_length_where_the_path_meets_the_box() -> None:
    row = found(OverConfidence(lengths=(3.0, 6.0), step_size=0.5, m=4, n=100))
    assert row.found[0].distance == pytest.approx(3.0, abs=1e-3)
    assert row.found[1].distance == pytest.approx(4.0, abs=1e-3)  # from the middle of the box to its corner


def test_a_length_of_zero_is_the_input_itself() -> None:
    row = found(OverConfidence(lengths=(0.0,), n=300))
    assert row.found[0].distance == 0 and row.found[0].prediction == 0
