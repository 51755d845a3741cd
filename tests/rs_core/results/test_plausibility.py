"""What is hardly what anybody wanted is said, and what is well is left alone. Tests that are random state their rates."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from radii.rs_core.certify.certificates import predict as decide_prediction
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.records import ABSTAIN, Prediction
from radii.rs_core.reports.certification import summarize
from radii.rs_core.results.plausibility import (
    FALSE_ALARM,
    FEW_AT_MAXIMUM,
    ObservedOutcome,
    cannot_certify,
    cannot_predict,
    implausible,
    implausible_answers,
    implausible_evaluation,
    implausible_predictions,
    outcome_of,
    outcome_of_shares,
    too_few_samples,
)
from radii.rs_core.specs.jobs import parse_spec
from tests.rs_core.reports.test_certification import certificate

JOB = {"checkpoint": "c", "dataset": "d", "sigma": 0.5}


def outcome(correct: int, wrong: int, *, classes: int = 10, abstained: int = 0) -> ObservedOutcome:
    """Balanced labels, and answers of all classes."""
    total = correct + wrong + abstained
    labels = {label: total // classes for label in range(classes)}
    return ObservedOutcome(
        evaluated=sum(labels.values()),
        abstained=abstained,
        answers=None,
        labels=labels,
        correct=correct,
    )


def procedures() -> list[Procedure]:
    one = Procedure(sigma=0.5, n=9, alpha=0.001)
    return [
        one,
        replace(one, sampling="pilot"),
        replace(one, sampling="anytime"),
        replace(one, sampling="at_radii", radii=(0.0,)),
        replace(one, bound="two_class"),
        replace(one, bound="two_class", sampling="pilot"),
        replace(one, bound="mixed", robust_weight=0.9),
        replace(one, alpha=0.001 / 500),
    ]


@pytest.mark.parametrize("procedure", procedures(), ids=lambda one: f"{one.sampling}-{one.bound}-{one.alpha:g}")
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_an_n_that_can_certify_nothing_is_named_with_the_least_that_can(procedure: Procedure, classes: int) -> None:
    said = cannot_certify(procedure, classes)
    assert said is not None and said.startswith("n = 9 noise samples cannot certify any input at alpha = ")
    least = int(said.rsplit(" ", 1)[-1].rstrip(".").replace(",", ""))
    assert least > 9
    assert cannot_certify(replace(procedure, n=least), classes) is None
    assert cannot_certify(replace(procedure, n=least - 1), classes) is not None


def test_the_usual_bound_needs_ten_samples_at_the_usual_alpha() -> None:
    assert cannot_certify(Procedure(sigma=0.5, n=10, alpha=0.001)) is None
    assert "is 10." in str(cannot_certify(Procedure(sigma=0.5, n=9, alpha=0.001)))


def test_a_mix_that_leans_on_its_standard_classifier_certifies_with_no_n() -> None:
    said = cannot_certify(Procedure(sigma=0.5, n=10**5, alpha=0.001, bound="mixed", robust_weight=0.3))
    assert said is not None and said.startswith(
        "No number of noise samples can certify any input with robust_weight = 0.3"
    )


def test_the_smallest_alpha_that_a_number_can_be_has_a_least_n_too() -> None:
    assert str(cannot_predict(1_000, 5e-324)).endswith("The least n that can predict is 1,075.")


@pytest.mark.parametrize("alpha", [0.5, 0.25, 0.05, 0.01, 0.001, 1e-9])
def test_an_n_that_can_predict_nothing_is_named_with_the_least_that_can(alpha: float) -> None:
    least = next(n for n in range(1, 100) if decide_prediction((n, 0), alpha=alpha)[0] != ABSTAIN)
    assert cannot_predict(least, alpha) is None
    if least > 1:
        assert str(cannot_predict(least - 1, alpha)).endswith(f"The least n that can predict is {least}.")


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ({"kind": "certify", "n": 9}, "n = 9 noise samples cannot certify"),
        (
            {"kind": "certify", "n": 15, "guarantee": "dataset"},
            "n = 15 noise samples cannot certify any input at alpha = 1e-05",
        ),
        ({"kind": "predict", "n": 9}, "n = 9 noise samples cannot predict"),
        (
            {"kind": "evaluate", "evaluation": {"name": "attack", "epsilons": [0.5], "n": 9}},
            "evaluation.n = 9 noise samples cannot predict",
        ),
        (
            {"kind": "evaluate", "evaluation": {"name": "over_confidence", "n": 9}},
            "evaluation.n = 9 noise samples cannot predict any input at alpha = 0.001",
        ),
    ],
)
def test_every_kind_of_job_is_looked_at_before_it_runs(job: dict[str, Any], name: str) -> None:
    (said,) = too_few_samples(parse_spec(JOB | job), 100)
    assert said.startswith(name)
    enough = dict(job) | ({"n": 100} if "n" in job else {"evaluation": job.get("evaluation", {}) | {"n": 100}})
    assert too_few_samples(parse_spec(JOB | enough), 100) == ()


def test_certifications_during_a_training_are_looked_at() -> None:
    job = {"kind": "train", "dataset": "d", "test_dataset": "t", "sigma": 0.5, "architecture": "lenet"}
    (said,) = too_few_samples(parse_spec(job | {"certification": {"n": 9}}), 100)
    assert said.startswith("certification.n = 9 ")
    assert too_few_samples(parse_spec(job | {"certification": {}}), 100) == ()


def test_an_attack_on_a_mix_is_answered_by_other_bounds_and_has_no_such_warning() -> None:
    job = JOB | {"kind": "evaluate", "evaluation": {"name": "attack", "target": "mix", "n": 9}}
    assert too_few_samples(parse_spec(job), 100) == ()


def test_all_abstentions_are_named() -> None:
    (said,) = implausible(outcome(0, 0, abstained=100))
    assert said.startswith("Implausible: all 100 inputs abstained.")
    assert implausible(outcome(1, 0, abstained=99)) == ()
    assert implausible(outcome(0, 0, classes=2, abstained=8)) == (), "so few may all be hard"


def test_one_class_for_all_inputs_is_named_unless_there_is_one_label() -> None:
    labels = {label: 10 for label in range(10)}
    found = ObservedOutcome(evaluated=100, abstained=20, answers={3: 80, 4: 0}, labels=labels, correct=8)
    assert implausible(found)[0].startswith("Implausible: class 3 is the answer to all 80 inputs that hav")
    assert implausible(replace(found, labels={3: 100}, correct=80)) == ()
    few = replace(found, evaluated=9, abstained=0, answers={3: 9}, labels={label: 1 for label in range(9)}, correct=1)
    assert implausible(few) == () and "all 10 inputs" in implausible(replace(few, evaluated=10, answers={3: 10}))[0]
    assert "class 3" in implausible(replace(found, labels={}, correct=0))[0], "images of a request have no labels"


def test_accuracy_at_chance_is_named_and_a_good_one_is_not() -> None:
    assert "at chance level. 10 of 100 answers" in implausible(outcome(10, 90))[0]
    assert "at chance level. 0 of 100" in implausible(outcome(0, 100))[0]
    for fine in (outcome(90, 10), outcome(40, 60), outcome(30, 10, abstained=60), outcome(2, 1, classes=3)):
        assert implausible(fine) == ()


def test_a_weak_classifier_is_named_only_where_it_may_be_guessing() -> None:
    """20 of 100 right among ten classes come about by guessing with probability 0.002, 15 with 0.07."""
    assert implausible(outcome(20, 80)) == ()
    assert "at chance level. 15 of 100" in implausible(outcome(15, 85))[0]


def test_images_of_a_few_photographs_count_as_that_many_inputs() -> None:
    """A classifier half way to perfect that answers alike to all 75 images of a photograph is named as seldom as is said."""
    at_chance = outcome(23, 202)
    assert implausible(at_chance)
    assert not implausible(replace(at_chance, photographs=3)), "any good classifier may get 3 photographs wrong"
    count, chance = 40, 1 / 10
    law = binom.pmf(np.arange(count + 1), count, (1 + chance) / 2)
    named = [
        bool(implausible(replace(outcome(75 * right, 75 * (count - right)), photographs=count)))
        for right in range(count + 1)
    ]
    assert float(law[named].sum()) <= FALSE_ALARM
    assert named[4], "and one at chance is still named"
    assert "binomial test over 40 photographs" in implausible(replace(outcome(300, 2_700), photographs=count))[0]


def test_labels_that_are_not_known_are_not_said_to_be() -> None:
    """Of 90 inputs of one label and 10 of another, always answering the first would be right in 90 %, not in 50 %."""
    (assumed,) = implausible(replace(outcome(50, 50, classes=2), assumed=True))
    assert "guessing among 2 classes that are equally frequent would make it 50.0 %" in assumed
    assert "most frequent label" not in assumed


def test_without_labels_or_with_one_there_is_no_chance_level() -> None:
    wrong = outcome(0, 100)
    assert implausible(replace(wrong, labels={0: 100}, correct=70)) == ()
    assert implausible(replace(wrong, labels={label: 9 for label in range(10)})) == (), "ten inputs have no label"


def test_a_majority_class_is_no_skill() -> None:
    skewed = ObservedOutcome(evaluated=1000, abstained=0, answers=None, labels={0: 900, 1: 100}, correct=830)
    assert "would make it 90.0 %" in implausible(skewed)[0]
    assert implausible(replace(skewed, correct=960)) == ()


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("count", [10, 20, 50, 200, 1000])
def test_a_classifier_half_way_to_perfect_is_named_as_rarely_as_is_said(count: int, classes: int) -> None:
    """Exact: the probability of every number of right answers, added where the sentence is there."""
    labels = {label: count for label in range(classes)}
    chance = 1 / classes
    right = np.arange(count + 1)
    named = [
        bool(
            implausible(
                ObservedOutcome(evaluated=count, abstained=0, answers=None, labels=labels, correct=k, smoothed=False)
            )
        )
        for k in right.tolist()
    ]
    law = binom.pmf(right, count, (1 + chance) / 2)
    assert float(law[named].sum()) <= FALSE_ALARM
    if count >= 200:
        at_chance = binom.pmf(right, count, chance)
        assert float(at_chance[named].sum()) >= 0.98, "and one at chance is nearly always named"


def test_accuracy_that_counts_abstentions_as_wrong_is_of_inputs() -> None:
    (said,) = implausible(replace(outcome(10, 90), abstained=None))
    assert "at chance level. 10 of 100 inputs are right" in said
    assert implausible(replace(outcome(0, 100), abstained=100, smoothed=False)) == ()


def test_the_maximum_radius_for_all_inputs_is_named_with_the_two_usual_reasons() -> None:
    (said,) = implausible(replace(outcome(40, 0, abstained=10), at_cap=40))
    assert said.startswith("All 40 certified inputs have the maximum radius that n and alpha allow")
    assert "pixels outside [0, 1]" in said and "a larger n" in said
    assert implausible(replace(outcome(40, 0, abstained=10), at_cap=39)) == ()
    assert implausible(replace(outcome(40, 0), at_cap=None)) == (), "it is not known"
    few = FEW_AT_MAXIMUM - 1
    assert implausible(replace(outcome(few, 0, classes=1), at_cap=few)) == ()
    assert implausible(replace(outcome(few + 1, 0, classes=1), at_cap=few + 1)) != ()


def evaluated(index: int, *answers: int, points: tuple[float, ...] = (0.0, 1.0), classes: int = 10) -> EvaluationRecord:
    """What is answered at each point; the label is the index modulo the number of classes."""
    found = tuple(
        PointResult(point=point, distance=point, prediction=answer, counts=(100, *[0] * (classes - 1)))
        for point, answer in zip(points, answers, strict=True)
    )
    return EvaluationRecord(index=index, label=index % classes, found=found, seed=0)


def evaluation(*epsilons: float, **fields: Any) -> Any:
    """The specification of an attack."""
    return parse_spec(JOB | {"kind": "evaluate", "evaluation": {"name": "attack", "epsilons": list(epsilons)} | fields})


def test_an_evaluation_is_judged_at_the_inputs_themselves() -> None:
    asked = evaluation(0.0, 1.0)
    (first, second) = implausible_evaluation([evaluated(i, 3, 5) for i in range(100)], asked)
    assert "class 3 is the answer to all 100 inputs" in first and "at chance level" in second
    assert (
        "all 100 inputs abstained" in implausible_evaluation([evaluated(i, ABSTAIN, 5) for i in range(100)], asked)[0]
    )
    broken_by_the_attack = [evaluated(i, i % 10, 3) for i in range(100)]
    assert implausible_evaluation(broken_by_the_attack, asked) == ()
    failed = EvaluationRecord(index=200, label=0, seed=0, error="it ended its process")
    assert len(implausible_evaluation([failed] * 5 + [evaluated(i, 3, 5) for i in range(100)], asked)) == 2


def test_answers_under_attack_alone_may_be_wrong_but_not_all_the_same() -> None:
    wrong = [evaluated(i, (i + 1) % 10, points=(1.0,)) for i in range(100)]
    assert implausible_evaluation(wrong, evaluation(1.0)) == ()
    constant = [evaluated(i, 3, points=(1.0,)) for i in range(100)]
    assert [said[:40] for said in implausible_evaluation(constant, evaluation(1.0))] == [
        "Implausible: class 3 is the answer to al"
    ]
    two_classes = [evaluated(i, 1, points=(1.0,), classes=2) for i in range(100)]
    assert implausible_evaluation(two_classes, evaluation(1.0)) == (), "an attack may move one class into the other"
    abstained = [evaluated(i, ABSTAIN, points=(1.0,)) for i in range(100)]
    assert "all 100 inputs abstained" in implausible_evaluation(abstained, evaluation(1.0))[0]


def test_autoattack_asks_without_noise_and_never_abstains() -> None:
    asked: Any = parse_spec(
        {"kind": "evaluate", "checkpoint": "c", "dataset": "d", "evaluation": {"name": "autoattack"}}
    )
    rows = [evaluated(i, 3, 5, points=(0.0, asked.evaluation.epsilon)) for i in range(100)]
    assert "class 3 is the answer to all 100 inputs" in implausible_evaluation(rows, asked)[0]


def test_predictions_are_judged_with_their_n_and_as_far_as_that_is_known() -> None:
    def row(index: int, answer: int, n: int) -> Prediction:
        made = {"p_value": 0.0, "counts": (n, 0), "n": n, "sigma": 0.5, "alpha": 0.001, "seed": 0}
        return Prediction(index=index, label=index % 2, prediction=answer, **made)

    assert implausible_predictions([row(i, i % 2, 100) for i in range(50)]) == ()
    few, abstained = implausible_predictions([row(i, ABSTAIN, 9) for i in range(50)])
    assert few.startswith("n = 9 noise samples cannot predict") and "all 50 inputs abstained" in abstained
    (unknown,) = implausible_predictions([replace(row(i, ABSTAIN, 0), alpha=float("nan")) for i in range(50)])
    assert "all 50 inputs abstained" in unknown


def test_images_that_are_still_refined_are_not_judged() -> None:
    spec: Any = parse_spec(JOB | {"kind": "certify", "sampling": "anytime", "n": 1000})
    full = [replace(certificate(i, label=-1, votes=1000, selected=i % 3), sampling="anytime") for i in range(30)]
    assert [said[:28] for said in implausible_answers(full, spec, 10)] == ["All 30 certified inputs have"]
    early = [replace(row, n=500, counts=(500, 0, 0), prediction=ABSTAIN) for row in full]
    assert implausible_answers(early, spec, 10) == () and implausible_answers([], spec, 10) == ()
    (few,) = implausible_answers([], replace(spec, n=9), 10)
    assert few.startswith("n = 9 noise samples cannot certify")


def test_an_outcome_is_that_of_its_rows() -> None:
    rows = [
        Prediction(index=i, label=label, prediction=given, p_value=0, counts=(1, 1), n=2, sigma=1, alpha=0.1, seed=0)
        for i, (label, given) in enumerate([(0, 0), (1, 0), (1, ABSTAIN), (-1, 1)])
    ]
    assert outcome_of(rows) == ObservedOutcome(
        evaluated=4, abstained=1, answers={0: 2, 1: 1}, labels={0: 1, 1: 2}, correct=1
    )
    assert outcome_of_shares(0.75, [0, 1, 1, 0]).correct == 3
    certified = [certificate(0, votes=1000), certificate(1, votes=990), certificate(2, votes=500)]
    assert (outcome_of(certified).at_cap, outcome_of(certified).abstained) == (1, 1)
    assert outcome_of([replace(row, sampling="pilot") for row in certified]).at_cap is None


def test_the_report_says_it_first() -> None:
    all_one = [certificate(i, label=i % 3, selected=1) for i in range(60)]
    notes = summarize(all_one).notes
    assert notes[0].startswith("Implausible: class 1 is the answer to all 60 inputs") and "at chance level" in notes[1]
    good = [certificate(i, label=i % 3, selected=i % 3) for i in range(60)]
    assert not any("Implausible" in note for note in summarize(good).notes)
    few = [
        replace(row, prediction=ABSTAIN, radius=0.0, n=9, counts=(9, 0, 0), p_lower=0.46)
        for row in (certificate(i, label=i % 3) for i in range(20))
    ]
    notes = summarize(few).notes
    assert notes[0].startswith("n = 9 noise samples cannot certify any input") and "all 20 inputs abstained" in notes[1]


def test_the_report_says_where_all_inputs_have_the_maximum_radius() -> None:
    full = [certificate(i, label=i % 3, selected=i % 3, votes=1000) for i in range(60)]
    assert summarize(full).notes[0].startswith("All 60 certified inputs have the maximum radius")
    assert not any("maximum radius" in note for note in summarize([*full[1:], certificate(0)]).notes)
