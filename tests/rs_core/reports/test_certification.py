"""The report: the papers' definitions, every input in the denominator, only rows of one procedure averaged."""

import json
import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.rs_core.certify.bounds import interval, max_radius
from radii.rs_core.certify.certificates import certify as decide
from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.certification import Report, summarize

N, ALPHA, SIGMA, CLASSES = 1_000, 0.001, 0.25, 3
CAP = max_radius(N, ALPHA, SIGMA)


def certificate(
    index: int, *, label: int = 0, votes: int = 990, selected: int = 0, error: str | None = None
) -> Certificate:
    """A true certificate of ``selected`` with that many votes, the rest going to the class after it."""
    counts0, counts = [0] * CLASSES, [0] * CLASSES
    counts0[selected], counts[selected], counts[(selected + 1) % CLASSES] = 100, votes, N - votes
    prediction, radius, p_lower = decide(counts0, counts, sigma=SIGMA, alpha=ALPHA)
    row = Certificate(
        index=index,
        label=label,
        prediction=prediction,
        radius=radius,
        p_lower=p_lower,
        counts0=tuple(counts0),
        counts=tuple(counts),
        n0=100,
        n=N,
        sigma=SIGMA,
        alpha=ALPHA,
        seed=7,
    )
    if error is None:
        return row
    return replace(row, prediction=ABSTAIN, radius=0.0, p_lower=0.0, counts0=(), counts=(), error=error)


@st.composite
def row_sets(draw: st.DrawFn) -> list[Certificate]:
    """Up to 30 certificates in a random order of indices, abstentions, cap and errors among them."""
    indices = draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=30, unique=True))
    classes = st.integers(0, CLASSES - 1)
    votes = st.one_of(st.integers(0, N), st.just(N))
    errors = st.sampled_from([None, None, None, "out of memory"])
    return [
        certificate(index, label=draw(classes), selected=draw(classes), votes=draw(votes), error=draw(errors))
        for index in indices
    ]


def area_under_curve(rows: list[Certificate]) -> float:
    """Integral over r of the share correct with radius >= r, by its jumps, from the report's own curve."""
    jumps = sorted({0.0, *(row.radius for row in rows)})
    shares = [point.certified_accuracy for point in summarize(rows, radii=jumps).certified_accuracy]
    return sum((b - a) * share for a, b, share in zip(jumps, jumps[1:], shares[1:], strict=False))


@given(row_sets())
def test_acr_is_the_area_under_the_certified_accuracy_curve(rows: list[Certificate]) -> None:
    assert summarize(rows).acr == pytest.approx(area_under_curve(rows), abs=1e-9)


@given(row_sets(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: list[Certificate], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert summarize(shuffled) == summarize(rows)


@given(row_sets(), st.lists(st.floats(0, 1), max_size=10), st.integers(0, 5))
def test_certified_accuracy_never_increases_and_lies_in_its_interval(
    rows: list[Certificate], radii: list[float], missing: int
) -> None:
    curve = summarize(rows, radii=[0.0, *radii], total=len(rows) + missing).certified_accuracy
    shares = [point.certified_accuracy for point in curve]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= point.low <= point.certified_accuracy <= point.high <= 1 for point in curve)


@given(row_sets())
def test_the_report_equals_its_definitions_spelled_out(rows: list[Certificate]) -> None:
    report, inputs = summarize(rows, radii=(0.1,)), len(rows)
    assert report.acr == pytest.approx(sum(row.radius * row.correct for row in rows) / inputs, abs=1e-12)
    assert report.certified_accuracy[0].count == sum(row.correct and row.radius >= 0.1 for row in rows)
    assert report.accuracy_at_0.count == sum(row.correct for row in rows)
    assert report.abstained == sum(row.prediction == ABSTAIN for row in rows)
    assert report.at_cap == sum(row.at_cap for row in rows)
    assert report.errors == sum(row.error is not None for row in rows)
    assert sum(row.inputs * row.acr for row in report.classes) == pytest.approx(inputs * report.acr, abs=1e-9)


@given(row_sets())
def test_json_is_free_of_nan_and_reads_back_equal(rows: list[Certificate]) -> None:
    body = summarize(rows).to_json()
    assert json.loads(json.dumps(body, allow_nan=False)) == body


def test_abstentions_stay_in_the_denominator() -> None:
    report = summarize([certificate(0, votes=N), certificate(1, votes=500)])
    assert (report.inputs, report.abstained, report.abstention_rate) == (2, 1, 0.5)
    assert report.acr == CAP / 2
    assert report.accuracy_at_0.certified_accuracy == 0.5


def test_wrong_classes_add_nothing_to_acr_but_can_be_at_the_cap() -> None:
    report = summarize([certificate(0, votes=N), certificate(1, votes=N, label=1)])
    assert (report.acr, report.at_cap, report.share_at_cap) == (CAP / 2, 2, 1.0)


def test_a_perfect_constant_classifier_scores_its_class_share_of_the_cap_and_is_called_out() -> None:
    report = summarize([certificate(i, label=i % CLASSES, votes=N) for i in range(30)])
    assert report.acr == pytest.approx(CAP / CLASSES)
    assert any("Class 0 is the only class ever certified" in note for note in report.notes)
    assert [row.accuracy for row in report.classes] == [1.0, 0.0, 0.0]


def test_two_classes_in_the_predictions_get_no_such_note() -> None:
    report = summarize([certificate(0), certificate(1, label=1, selected=1)])
    assert not any("only class" in note for note in report.notes)


def test_missing_inputs_of_a_partial_job_count_as_not_certified() -> None:
    rows = [certificate(i, votes=N) for i in range(3)]
    report = summarize(rows, total=12, radii=(0.1,))
    assert (report.inputs, report.evaluated, report.complete) == (12, 3, False)
    assert report.acr == pytest.approx(CAP / 4)
    assert report.certified_accuracy[0].certified_accuracy == 0.25
    assert (report.certified_accuracy[0].low, report.certified_accuracy[0].high) == (interval(3, 12)[0], 1.0)
    assert (report.radius_quantiles.median, report.radius_quantiles.maximum) == (0.0, CAP)
    assert any(note.startswith("Partial: 3 of 12 inputs") for note in report.notes)


def test_a_job_that_has_not_begun_has_a_report_of_zeros() -> None:
    report = summarize([], total=5)
    assert (report.acr, report.accuracy_at_0.count, report.evaluated, report.classes) == (0.0, 0, 0, ())
    assert (report.p_lower_quantiles, report.sigma, report.certified_accuracy[0].radius) == (None, None, 0.0)


def test_intervals_are_clopper_pearson_over_inputs() -> None:
    rows = [certificate(i, votes=N if i < 43 else 0) for i in range(100)]
    point = summarize(rows).accuracy_at_0
    assert (point.low, point.high) == interval(43, 100)
    assert point.low == pytest.approx(0.3314, abs=1e-4) and point.high == pytest.approx(0.5329, abs=1e-4)


def test_errors_count_as_abstentions_and_do_not_hide_the_procedure() -> None:
    failed = replace(
        certificate(1, error="ended its process three times"), n0=0, n=0, sigma=math.nan, alpha=math.nan, seed=-1
    )
    report = summarize([certificate(0), failed])
    assert (report.errors, report.abstained, report.n, report.sigma, report.seed) == (1, 1, N, SIGMA, 7)
    assert report.p_lower_quantiles is not None and report.p_lower_quantiles.minimum > 0.9


def test_quantiles_are_observed_values() -> None:
    rows = [certificate(i, votes=votes) for i, votes in enumerate((600, 700, 800, 900, 1000))]
    report, radii = summarize(rows), [row.radius for row in rows]
    q = report.radius_quantiles
    assert [q.minimum, q.p25, q.median, q.p75, q.maximum] == radii
    assert report.p_lower_quantiles is not None and report.p_lower_quantiles.median == rows[2].p_lower


def test_classes_come_with_their_names_where_these_are_known() -> None:
    report = summarize([certificate(0), certificate(1, label=2, selected=2)], class_names=("cat", "dog"))
    assert [(row.label, row.name, row.inputs) for row in report.classes] == [(0, "cat", 1), (2, None, 1)]


def test_inputs_without_a_label_are_mentioned_and_belong_to_no_class() -> None:
    report = summarize([certificate(0), certificate(1, label=-1)])
    assert [row.label for row in report.classes] == [0]
    assert "Inputs without a label, which never count as correct: 1." in report.notes


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [("n0", 50, "50, 100"), ("n", 500, "500, 1000"), ("alpha", 0.01, "0.001, 0.01"), ("sigma", 0.5, "0.25, 0.5")],
)
def test_rows_of_different_procedures_are_never_averaged(name: str, value: Any, got: str) -> None:
    with pytest.raises(InvalidResults) as caught:
        summarize([certificate(0), replace(certificate(1), **{name: value})])
    assert (caught.value.where, caught.value.got) == (name, got)


def test_rows_of_different_seeds_or_of_unknown_origin_are_never_averaged() -> None:
    seed = 2**63 - 1
    with pytest.raises(InvalidResults, match=f"same seed, got 7, {seed}"):
        summarize([certificate(0), replace(certificate(1), seed=seed)])
    with pytest.raises(InvalidResults, match=r"same sigma, got 0\.25, unknown"):
        summarize([certificate(0), replace(certificate(1), sigma=math.nan)])


def test_seeds_are_kept_to_the_last_digit_and_zero_is_one() -> None:
    for seed in (0, 2**63 - 1):
        assert summarize([replace(certificate(0), seed=seed)]).seed == seed


def test_what_is_unknown_is_none() -> None:
    bare = replace(
        certificate(0), counts0=(), counts=(), n0=0, n=0, sigma=math.nan, alpha=math.nan, p_lower=math.nan, seed=-1
    )
    report = summarize([bare, replace(bare, index=1)])
    assert (report.n0, report.n, report.alpha, report.sigma, report.seed) == (None,) * 5
    assert (report.cap, report.at_cap, report.share_at_cap, report.p_lower_quantiles) == (None,) * 4
    assert summarize([bare], cap=bare.radius).at_cap == 1


@pytest.mark.parametrize(
    ("rows", "total", "message"),
    [
        ([], None, "at least one input"),
        ([certificate(0), certificate(1)], 1, "at most 1 rows"),
        ([certificate(5), certificate(2), certificate(5)], None, "index 5 more than once"),
    ],
)
def test_rows_that_make_no_report_are_refused(rows: list[Certificate], total: int | None, message: str) -> None:
    with pytest.raises(InvalidResults, match=message):
        summarize(rows, total=total)


def test_a_report_cannot_be_changed() -> None:
    report: Report = summarize([certificate(0)])
    with pytest.raises(AttributeError):
        report.acr = 1.0  # type: ignore[misc]
