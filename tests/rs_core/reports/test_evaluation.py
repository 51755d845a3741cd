"""The report of an evaluation, from rows made by hand."""

import math
from dataclasses import replace

import pytest

from radii.rs_core.errors import InvalidResults, Mismatch
from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.plots.certification import render
from radii.rs_core.plots.evaluation import evaluation
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.evaluation import require_shared_inputs, summarize
from radii.rs_core.reports.evaluation_text import format_table, to_csv
from radii.rs_core.results.codec import csv_lines
from radii.rs_core.specs.jobs import Attack, AutoAttack, EvaluateSpec, OverConfidence

SPEC = EvaluateSpec(
    checkpoint="c", dataset="d", sigma=0.5, evaluation=Attack(epsilons=(0.0, 1.0), m=4, n=10, alpha=0.001)
)


def row(index: int, label: int, *found: tuple[float, int, tuple[int, ...]]) -> EvaluationRecord:
    """With a distance, a prediction and votes at each of the two points."""
    at = tuple(
        PointResult(point=point, distance=distance, prediction=prediction, counts=counts)
        for point, (distance, prediction, counts) in zip((0.0, 1.0), found, strict=True)
    )
    return EvaluationRecord(index=index, label=label, found=at, seed=0)


ROWS = [
    row(0, 0, (0.0, 0, (9, 1, 0)), (1.0, 1, (2, 7, 1))),
    row(1, 1, (0.0, 1, (0, 10, 0)), (0.5, 1, (1, 8, 1))),
    row(2, 2, (0.0, ABSTAIN, (5, 0, 5)), (1.0, 0, (9, 0, 1))),
]


def certificate(index: int, prediction: int, radius: float, label: int = 0) -> Certificate:
    known = {"counts0": (), "counts": (), "n0": 1, "n": 1, "sigma": 0.5, "alpha": 0.01, "seed": 0, "p_lower": 0.5}
    return Certificate(index=index, label=label, prediction=prediction, radius=radius, **known)


def test_accuracy_counts_the_label_and_abstentions_against() -> None:
    clean, attacked = summarize(ROWS, SPEC).points
    assert (clean.accuracy.count, attacked.accuracy.count) == (2, 1)
    assert clean.abstained == pytest.approx(1 / 3) and attacked.abstained == 0
    assert attacked.distance == pytest.approx((1.0 + 0.5 + 1.0) / 3) and attacked.farthest == 1.0


def test_votes_are_those_for_the_label_and_for_the_strongest_other_class() -> None:
    clean, attacked = summarize(ROWS, SPEC).points
    assert clean.true_votes == pytest.approx((0.9 + 1.0 + 0.5) / 3)
    assert clean.other_votes == pytest.approx((0.1 + 0.0 + 0.5) / 3)
    assert attacked.other_votes == pytest.approx((0.7 + 0.1 + 0.9) / 3)


def test_missing_and_failed_inputs_stay_in_the_denominator() -> None:
    failed = EvaluationRecord(index=9, label=0, seed=0, error="it ended its process")
    report = summarize([*ROWS, failed], SPEC, total=8)
    assert (report.inputs, report.evaluated, report.errors, report.complete) == (8, 4, 1, False)
    assert report.points[0].accuracy.share == pytest.approx(2 / 8)
    assert report.points[0].accuracy.high > summarize(ROWS, SPEC, total=8).points[0].accuracy.low
    assert any("could not be evaluated" in note for note in report.notes)


def test_an_answer_of_another_class_within_a_certified_radius_is_a_violation() -> None:
    """Three answers lie within: input 0 at both points, and input 2, certified as class 0, at its first one, where it abstains."""
    known = {0: certificate(0, 0, 1.0), 1: certificate(1, ABSTAIN, 0.0), 2: certificate(2, 0, 0.2)}
    held = summarize(ROWS, SPEC, certificates=known).held
    assert held is not None and held.checked == 3
    (found,) = held.violations
    assert (found.index, found.point, found.certified, found.answered) == (0, 1.0, 0, 1)
    assert held.allowed == pytest.approx(6 * 0.01 + 3 * 0.001), "six answers could each have met a wrong certificate"


def test_inputs_without_a_certificate_are_told_and_certificates_of_other_inputs_alone_are_refused() -> None:
    report = summarize(ROWS, SPEC, certificates={1: certificate(1, 1, 1.0)})
    assert report.held is not None and report.held.unknown == 2
    assert "Inputs without a certificate, which count as not certified: 2 of 3." in report.notes
    assert not any("without a certificate" in note for note in summarize(ROWS, SPEC, certificates=None).notes)
    require_shared_inputs(range(0, 10), range(9, 20), "theirs", "here")
    with pytest.raises(Mismatch, match=r"inputs that are attacked \(0 to 9\), got theirs, of others \(10 to 19\)"):
        require_shared_inputs(range(0, 10), range(10, 20), "theirs", "here")


def test_more_violations_than_the_alphas_allow_are_said_aloud() -> None:
    loud = summarize(ROWS, SPEC, certificates={0: certificate(0, 0, 1.0)})
    assert loud.held is not None and loud.held.loud and loud.held.chance == pytest.approx(2 * 0.011)
    assert loud.notes[0].startswith("CERTIFICATES CONTRADICTED") and "CONTRADICTED" in format_table(loud)
    quiet = summarize(ROWS, SPEC, certificates={1: certificate(1, 1, 1.0)})
    assert quiet.held is not None and not quiet.held.loud and quiet.held.checked == 2
    assert quiet.notes[0].startswith("Answers within a certified radius: 2.")


def test_an_attack_just_beyond_the_radius_contradicts_nothing() -> None:
    held = summarize(ROWS, SPEC, certificates={0: certificate(0, 0, math.nextafter(1.0, 0))}).held
    assert held is not None and held.checked == 1 and not held.violations


def test_certified_accuracy_stands_beside_the_attacked_one() -> None:
    known = {0: certificate(0, 0, 0.9, label=0), 1: certificate(1, 1, 1.0, label=1)}
    clean, attacked = summarize(ROWS, SPEC, certificates=known).points
    assert (clean.certified, attacked.certified) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_rows_that_do_not_belong_are_refused() -> None:
    with pytest.raises(InvalidResults, match="every index once"):
        summarize([ROWS[0], ROWS[0]], SPEC)
    other = EvaluateSpec(checkpoint="c", dataset="d", sigma=0.5, evaluation=Attack(epsilons=(0.0, 2.0)))
    with pytest.raises(InvalidResults, match="the points 0, 2"):
        summarize(ROWS, other)
    with pytest.raises(InvalidResults, match="at least one input"):
        summarize([], SPEC)


def test_a_job_without_a_row_has_a_report_of_nothing() -> None:
    report = summarize([], SPEC, total=5)
    assert math.isnan(report.points[0].distance) and report.to_json()["points"][0]["distance"] is None
    assert report.points[0].accuracy.high == 1.0
    assert "-" in format_table(report) and render(evaluation({"m": report}), "svg")


def test_text_and_files_say_the_same() -> None:
    report = summarize(ROWS, SPEC)
    assert "33.34 %" not in format_table(report) and "33.33 %" in format_table(report)
    assert to_csv(report).splitlines()[1].startswith("0.0,0.6666666666666666,")
    lines = "".join(csv_lines(EvaluationRecord, ROWS)).splitlines()
    assert len(lines) == 1 + 6 and lines[2] == "0,0,1.0,1.0,1,0,2 7 1,0,0.0,"
    assert all(len(line) <= 100 for line in format_table(report).splitlines())


def test_evaluations_of_two_kinds_are_not_drawn_together() -> None:
    search = EvaluateSpec(checkpoint="c", dataset="d", sigma=0.5, evaluation=OverConfidence(lengths=(0.0, 1.0)))
    with pytest.raises(InvalidResults, match="of one kind"):
        evaluation({"a": summarize(ROWS, SPEC), "b": summarize(ROWS, search)})
    assert render(evaluation({"a": summarize(ROWS, search), "b": summarize(ROWS[:2], search)}), "png")


def test_the_axis_of_an_attack_names_its_norm() -> None:
    auto = EvaluateSpec(checkpoint="c", dataset="d", evaluation=AutoAttack(epsilon=1.0))
    wide = summarize(ROWS, auto)
    assert wide.norm == "linf" and "ℓ∞" in evaluation({"a": wide}).axes[0].get_xlabel()
    round_ = summarize(ROWS, replace(auto, evaluation=AutoAttack(epsilon=1.0, norm="l2")))
    assert "ℓ₂" in evaluation({"a": round_}).axes[0].get_xlabel()
    with pytest.raises(InvalidResults, match="autoattack in l2, autoattack in linf"):
        evaluation({"a": wide, "b": round_})


def test_implausible_answers_are_named_first_and_an_n_that_cannot_predict() -> None:
    constant = [row(i, i % 3, (0.0, 1, (0, 10, 0)), (1.0, 1, (0, 10, 0))) for i in range(60)]
    few, one_class, chance, *_ = summarize(constant, SPEC).notes
    assert few.startswith("evaluation.n = 10 noise samples cannot predict any input at alpha = 0.001")
    assert "class 1 is the answer to all 60 inputs" in one_class and "at chance level" in chance
    assert "class 1 is the answer to all 60 inputs" in format_table(summarize(constant, SPEC)).replace("\n  ", " ")
    enough = replace(SPEC, evaluation=replace(SPEC.evaluation, n=11))
    good = [row(i, i % 3, (0.0, i % 3, (4, 4, 3)), (1.0, 1, (0, 11, 0))) for i in range(60)]
    assert not any("Implausible" in note or "cannot" in note for note in summarize(good, enough).notes)
