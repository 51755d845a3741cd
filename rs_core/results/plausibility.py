"""Sentences about results that are hardly what anybody wanted: before the work where it can be known, and after it. Torch-free.

Before: numbers of noise samples that cannot certify or predict anything. After: every input abstained, one class for all
inputs, accuracy at chance level, the maximum radius for all inputs. The test of accuracy says how often it is wrong. This
module makes each judgment; reports, pages, jobs and commands only show it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

from scipy.special import bdtr, bdtrc

from radii.rs_core.certify.procedure import Procedure, procedure_of
from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.records import ABSTAIN, UNKNOWN_LABEL, Certificate, Prediction
from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, PredictSpec, TrainSpec

LEVEL = 0.01
"""Of the test whether accuracy is above chance."""
FALSE_ALARM = 0.001
"""Probability, at most, that a classifier half way from chance to perfect is said to be at chance level."""
FEW = 10
"""Answers below which one class for all of them is no surprise."""
FEW_AT_MAXIMUM = 20
"""Certified inputs below which the maximum radius for all of them is no surprise."""


@dataclass(frozen=True, kw_only=True)
class ObservedOutcome:
    """What many inputs came to.

    Attributes:
        evaluated: inputs with a result, abstentions included.
        abstained: of these, those without a class; errors included. None where abstentions are not told from wrong answers.
        answers: number of inputs by the class that was given; None where that is not known.
        labels: number of evaluated inputs by their true label, without unknown ones.
        correct: inputs whose class is their label.
        smoothed: whether ``abstained`` is about noise samples; a plain network never abstains.
        at_cap: inputs with the maximum radius that n and alpha allow; None without radii, or where it is not known.
        photographs: how many photographs the evaluated inputs show; None where each shows one of its own. Inputs of one
            photograph are not independent: tests then count as many inputs as there are photographs.
        assumed: whether ``labels`` are not known, and taken to be balanced.
    """

    evaluated: int
    abstained: int | None
    answers: Mapping[int, int] | None
    labels: Mapping[int, int]
    correct: int
    smoothed: bool = True
    at_cap: int | None = None
    photographs: int | None = None
    assumed: bool = False


def implausible(outcome: ObservedOutcome) -> tuple[str, ...]:
    """A sentence for each thing about the results that a reader should hear first; empty where there is none."""
    return _said(_all_abstained(outcome), one_class(outcome), _at_chance(outcome), _all_at_maximum(outcome))


def implausible_evaluation(
    rows: Sequence[EvaluationRecord], spec: EvaluateSpec, photographs: int | None = None
) -> tuple[str, ...]:
    """The same about the rows of an evaluation, judged at its first point. ``photographs``: how many the rows show.

    Where that is the input itself, everything is. Under an attack, accuracy at or below chance is a result, and of two classes
    the attack may leave one: only abstentions and one class out of three or more are named then.
    """
    outcome = replace(_outcome_at_first_point(rows, smoothed=spec.sigma is not None), photographs=photographs)
    if spec.evaluation.points[0] == 0:
        return implausible(outcome)
    return _said(_all_abstained(outcome), one_class(outcome) if len(outcome.labels) > 2 else None)


def implausible_predictions(rows: Sequence[Prediction]) -> tuple[str, ...]:
    """The same about predictions; also where their n and alpha, as far as the rows say them, cannot predict any input."""
    first = rows[0]
    known = first.n > 0 and math.isfinite(first.alpha)
    return _said(cannot_predict(first.n, first.alpha) if known else None, *implausible(outcome_of(rows)))


def implausible_answers(
    rows: Sequence[Certificate], spec: CertifySpec, classes: int, *, at_cap: int | None = None
) -> tuple[str, ...]:
    """The same about images that are certified while somebody waits, by ``anytime``: before the first votes, where n is too
    small for any image; then about the images that have all of their n samples, since an early bound says little. ``at_cap``:
    how many of these are at the cap, where the rows come without class counts."""
    done = [row for row in rows if row.n >= spec.n or row.error is not None]
    capped = sum(row.at_cap for row in done) if at_cap is None else at_cap
    outcome = replace(outcome_of(done), at_cap=capped)
    return (*too_few_samples(spec, 1, classes), *implausible(outcome))


@singledispatch
def too_few_samples(spec: object, inputs: int, classes: int = 2) -> tuple[str, ...]:
    """Warnings about a job before it runs: numbers of samples with which every input would abstain.

    Args:
        spec: of any kind of job; a certification needs its noise level.
        inputs: that the job looks at, at least 1.
        classes: of the classifier; the bound of two classes depends on it.
    """
    return ()


@too_few_samples.register
def _of_certification(spec: CertifySpec, inputs: int, classes: int = 2) -> tuple[str, ...]:
    return _said(
        cannot_certify(procedure_of(spec, inputs=inputs), classes) if spec.sigma is not None and inputs else None
    )


@too_few_samples.register
def _of_prediction(spec: PredictSpec, inputs: int, classes: int = 2) -> tuple[str, ...]:
    return _said(cannot_predict(spec.n, spec.alpha))


@too_few_samples.register
def _of_evaluation(spec: EvaluateSpec, inputs: int, classes: int = 2) -> tuple[str, ...]:
    test = spec.evaluation.vote_test
    return _said(None if test is None else cannot_predict(*test, "evaluation.n"))


@too_few_samples.register
def _of_training(spec: TrainSpec, inputs: int, classes: int = 2) -> tuple[str, ...]:
    plan = spec.certification
    if plan is None or not spec.sigma:
        return ()
    procedure = Procedure(sigma=spec.sigma, n0=plan.n0, n=plan.n, alpha=plan.alpha)
    return _said(cannot_certify(procedure, classes, "certification.n"))


def cannot_certify(procedure: Procedure, classes: int = 2, name: str = "n") -> str | None:
    """The warning that even votes that all agree would not certify an input, with the least n that could; else None."""
    if _certifies(procedure, classes):
        return None
    start = f"{name} = {procedure.n:,} noise samples cannot certify any input at alpha = {procedure.alpha:g}"
    if procedure.bound == "mixed" and not _certifies(replace(procedure, n=10**8), classes):
        return (
            f"No number of noise samples can certify any input with robust_weight = {procedure.robust_weight:g}: the standard "
            f"classifier outweighs the robust one. Every radius will be 0; a weight above 0.5 can certify."
        )
    least = _least(procedure, classes)
    return f"{start}: even if all of them agree, the input abstains. The least n that can certify is {least:,}."


def cannot_predict(n: int, alpha: float, name: str = "n") -> str | None:
    """The warning that even n votes that all agree would be an abstention of PREDICT, with the least n; else None."""
    least = 1 + math.ceil(-math.log2(alpha) - 1e-9)
    if n >= least:
        return None
    return (
        f"{name} = {n:,} noise samples cannot predict any input at alpha = {alpha:g}: even if all of them agree, the input "
        f"abstains. The least n that can predict is {least:,}."
    )


def outcome_of(records: Sequence[Certificate | Prediction]) -> ObservedOutcome:
    """What certificates or predictions came to."""
    answered = [row for row in records if row.prediction != ABSTAIN]
    return ObservedOutcome(
        evaluated=len(records),
        abstained=len(records) - len(answered),
        answers=Counter(row.prediction for row in answered),
        labels=Counter(row.label for row in records if row.label != UNKNOWN_LABEL),
        correct=sum(row.correct for row in records),
        at_cap=_at_cap(records),
    )


def _at_cap(records: Sequence[Certificate | Prediction]) -> int | None:
    """Known of certificates whose number of samples was given, not chosen for each input."""
    found = [row.at_cap for row in records if isinstance(row, Certificate) and row.sampling == "fixed"]
    return sum(found) if len(found) == len(records) else None


def _outcome_at_first_point(rows: Sequence[EvaluationRecord], *, smoothed: bool) -> ObservedOutcome:
    """Inputs that failed are no abstentions of the classifier; they are left out."""
    done = [row for row in rows if row.found]
    answers = Counter(row.found[0].prediction for row in done if row.found[0].prediction != ABSTAIN)
    return ObservedOutcome(
        evaluated=len(done),
        abstained=len(done) - answers.total(),
        answers=answers,
        labels=Counter(row.label for row in done if row.label != UNKNOWN_LABEL),
        correct=sum(row.right(1)[0] for row in done),
        smoothed=smoothed,
    )


def _said(*found: str | None) -> tuple[str, ...]:
    return tuple(sentence for sentence in found if sentence is not None)


def outcome_of_shares(accuracy: float, labels: Sequence[int]) -> ObservedOutcome:
    """The same where only the accuracy over these labels is known, as after an epoch of training."""
    correct = round(accuracy * len(labels))
    return ObservedOutcome(
        evaluated=len(labels), abstained=0, answers=None, labels=Counter(labels), correct=correct, smoothed=False
    )


def _certifies(procedure: Procedure, classes: int) -> bool:
    """Whether an input whose votes all agree gets a radius above 0."""
    others = (0,) * (max(classes, 2) - 1)
    standard = (1.0, *(0.0 for _ in others)) if procedure.bound == "mixed" else ()
    decided = procedure.decide((1, *others), (procedure.n, *others), standard=standard)
    return decided.prediction != ABSTAIN and decided.radius > 0


def _least(procedure: Procedure, classes: int) -> int:
    """The least n with which votes that all agree certify; more votes never certify less."""
    low = high = procedure.n
    while not _certifies(replace(procedure, n=high), classes):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _certifies(replace(procedure, n=middle), classes) else (middle, high)
    return high


def _all_abstained(outcome: ObservedOutcome) -> str | None:
    if not outcome.smoothed or outcome.evaluated < FEW or outcome.abstained != outcome.evaluated:
        return None
    return (
        f"Implausible: all {outcome.evaluated:,} inputs abstained. Look for too few noise samples, another sigma than the "
        "classifier was trained with, or a missing normalization."
    )


def one_class(outcome: ObservedOutcome) -> str | None:
    """The sentence where all inputs of several labels got one class; None where they did not."""
    given = {label: count for label, count in (outcome.answers or {}).items() if count}
    if len(given) != 1 or sum(given.values()) < FEW or len(outcome.labels) == 1:
        return None
    (label, count), *_ = given.items()
    return (
        f"Implausible: class {label} is the answer to all {count:,} inputs that have one. Look for a missing normalization, "
        "another sigma than the classifier was trained with, or a classifier that was never trained."
    )


def _at_chance(outcome: ObservedOutcome) -> str | None:
    """Where accuracy among answers is not above that of the most frequent label, and clearly below half way to perfect."""
    labelled, answered = sum(outcome.labels.values()), outcome.evaluated - (outcome.abstained or 0)
    counted = "inputs" if outcome.abstained is None else "answers"
    if len(outcome.labels) < 2 or labelled < outcome.evaluated or answered < 1:
        return None
    chance = max(outcome.labels.values()) / labelled
    independent = answered if outcome.photographs is None else min(answered, outcome.photographs)
    right = outcome.correct * independent / answered
    above = right == 0 or float(bdtrc(math.ceil(right) - 1, independent, chance)) > LEVEL
    far_from_good = float(bdtr(math.ceil(right), independent, (1 + chance) / 2)) < FALSE_ALARM
    if not (above and far_from_good):
        return None
    guess = (
        f"guessing among {len(outcome.labels):,} classes that are equally frequent"
        if outcome.assumed
        else "always answering the most frequent label"
    )
    unit = "" if outcome.photographs is None else f" over {independent:,} photographs"
    return (
        f"Implausible: accuracy is at chance level. {outcome.correct:,} of {answered:,} {counted} are right; {guess} would make it "
        f"{100 * chance:.1f} % (one-sided binomial test{unit} at {100 * LEVEL:g} %; a classifier half way from there to perfect is "
        f"named here with probability {100 * FALSE_ALARM:g} % at most). Look for labels in another order, a missing normalization "
        "or another sigma."
    )


def _all_at_maximum(outcome: ObservedOutcome) -> str | None:
    """Where radii do not tell inputs apart."""
    certified = outcome.evaluated - (outcome.abstained or 0)
    if outcome.at_cap is None or certified < FEW_AT_MAXIMUM or outcome.at_cap < certified:
        return None
    return (
        f"All {certified:,} certified inputs have the maximum radius that n and alpha allow: radii do not tell inputs apart. "
        "Look for pixels outside [0, 1]; if all are inside, choose a larger n."
    )
