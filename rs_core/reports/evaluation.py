"""The report of an evaluation: what was found at each point, over all inputs; a pure function of the stored rows.

At each point: the share of inputs on which PREDICT answers the label (an abstention does not), how far what was found is from
the inputs, and how the noise votes there, for the true class and for the strongest other one (the two rows of the
over-confidence table of the SmoothMix slides, Jeong et al. 2021, arXiv 2111.09277). Inputs that are missing or failed stay in
every denominator of an accuracy. Where certificates of the same inputs are given, every answer within a certified radius is held
against them. Numbers only; text is in ``evaluation_text``, pictures in ``plots.evaluation``.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from radii.rs_core.errors import InvalidResults, Mismatch
from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.certification import plain
from radii.rs_core.reports.procedure_text import ProcedureSummary
from radii.rs_core.results.aggregate import CONFIDENCE, PhotographGroups, Share, share_of
from radii.rs_core.results.photographs import GroupSizes, Photographs, Unit, unit_note
from radii.rs_core.results.plausibility import implausible_evaluation, too_few_samples
from radii.rs_core.specs.evaluations import Attack, AutoAttack, EvaluationSettings, OverConfidence
from radii.rs_core.specs.fields import USUAL_ALPHA
from radii.rs_core.specs.jobs import EvaluateSpec


@dataclass(frozen=True, kw_only=True)
class PointRow:
    """All inputs at one point.

    ``accuracy`` is of all inputs, with its interval; ``unbroken`` is the share of all inputs on which PREDICT answers the label
    or abstains, which bounds true accuracy under attack from above, but for alpha. The other numbers are over the inputs that are
    done: ``abstained`` a share, ``distance`` the mean and ``farthest`` the largest l2 distance, ``true_votes`` and ``other_votes`` the
    mean shares of votes for the label and for the strongest other class. ``certified`` is the share of all inputs that are
    certified as their label at a radius of at least the point, where certificates are known.
    """

    point: float
    accuracy: Share
    abstained: float
    unbroken: float
    distance: float
    farthest: float
    true_votes: float
    other_votes: float
    certified: float | None = None


@dataclass(frozen=True, kw_only=True)
class Violation:
    """An answer within a certified radius that is another class than the certified one."""

    index: int
    point: float
    distance: float
    radius: float
    certified: int
    answered: int


@dataclass(frozen=True, kw_only=True)
class CertificateCheck:
    """Answers held against certificates.

    ``checked`` answers were given within a certified radius. A contradiction needs a wrong certificate, which each input has with a
    probability of at most its alpha, counted for each of its answers, whether they lie within or not; or a wrong answer of
    PREDICT, with a probability of at most alpha for each that was checked. So ``allowed`` of them are expected at most, and as
    many as there are, or more, come about with a probability of at most ``chance`` (Markov) where both statements are true.
    ``unknown`` of the inputs that are done have no certificate.
    """

    checked: int
    violations: tuple[Violation, ...]
    allowed: float
    unknown: int = 0

    @property
    def loud(self) -> bool:
        """Whether there are more of them than may be expected."""
        return len(self.violations) > self.allowed

    @property
    def chance(self) -> float:
        """Of so many; 1 where there are none."""
        return min(1.0, self.allowed / len(self.violations)) if self.violations else 1.0


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """All that is said of one evaluation; radii, lengths and distances are l2, or of the norm of AutoAttack, in [0, 1]-pixel
    units. Intervals count ``units``: inputs or, where several show one, photographs."""

    evaluation: str
    norm: str
    inputs: int
    evaluated: int
    complete: bool
    errors: int
    sigma: float | None
    confidence: float
    points: tuple[PointRow, ...]
    held: CertificateCheck | None
    notes: tuple[str, ...]
    unit: Unit = "input"
    units: int = 0

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts and lists, free of NaN."""
        body: dict[str, Any] = plain(self)
        if self.held is not None:
            body["held"] |= {"count": len(self.held.violations), "loud": self.held.loud, "chance": self.held.chance}
        return body


def summarize(
    rows: Sequence[EvaluationRecord],
    spec: EvaluateSpec,
    *,
    total: int | None = None,
    certificates: Mapping[int, Certificate] | None = None,
    photographs: Photographs | None = None,
) -> EvaluationReport:
    """The report of the rows of an evaluation, in any order.

    Args:
        total: Inputs of the job, where rows may be missing.
        certificates: By index, to hold answers against.
        photographs: Which inputs show the same one.

    Raises:
        InvalidResults: There is nothing to report, an index comes twice, or points are not those that were asked for.
    """
    asked = spec.evaluation.points
    _check(rows, asked)
    inputs = max(total or 0, len(rows))
    if inputs < 1:
        raise InvalidResults(expected="at least one input to report on", got="none")
    done = [row for row in rows if row.found]
    held = None if certificates is None else _held(done, spec, certificates)
    shown = PhotographGroups.of_inputs([row.index for row in rows], photographs, inputs)
    return EvaluationReport(
        evaluation=spec.evaluation.name,
        norm=getattr(spec.evaluation, "norm", "l2"),
        inputs=inputs,
        evaluated=len(rows),
        complete=len(rows) == inputs,
        errors=sum(row.error is not None for row in rows),
        sigma=spec.sigma,
        confidence=CONFIDENCE,
        points=tuple(_at(place, at, rows, done, inputs, certificates, shown) for place, at in enumerate(asked)),
        held=held,
        notes=_notes(rows, spec, inputs, held, None if shown is None else shown.sizes),
        unit="input" if shown is None else "photograph",
        units=inputs if shown is None else shown.sizes.photographs,
    )


def require_same_classifier(
    asked: Attack, composition: Mapping[str, Any] | None, made: ProcedureSummary, who: str, where: str
) -> None:
    """Raises :class:`Mismatch` where certificates that were made so are about another classifier than the one whose answers are
    to be held against them: another noise, another precision, or a mix where there is none, or with another weight.
    ``composition`` is the model's (JSON)."""
    weight = asked.robust_weight
    if asked.target == "mix" and weight is None:
        weight = (composition or {}).get("robust_weight")
    wanted = ProcedureSummary(
        sampling=made.sampling, bound=made.bound, robust_weight=weight if asked.target == "mix" else None
    )
    if asked.target != "mix" and made.bound == "mixed":
        raise Mismatch(expected="certificates of the smoothed classifier", got=f"{who}, of a mix", where=where)
    if asked.target == "mix" and made.bound != "mixed":
        raise Mismatch(expected="certificates of the mix (bound = mixed)", got=f"{who}, of another bound", where=where)
    if made != wanted:
        raise Mismatch(expected=f"certificates made as {wanted.text}", got=f"{who}, made as {made.text}", where=where)


def require_shared_inputs(attacked: Collection[int], certified: Collection[int], who: str, where: str) -> None:
    """Raises :class:`Mismatch` where there is a certificate of no input that is attacked."""
    few, many = sorted((attacked, certified), key=len)
    if not any(index in many for index in few):
        expected = f"certificates of inputs that are attacked ({_span(attacked)})"
        raise Mismatch(expected=expected, got=f"{who}, of others ({_span(certified)})", where=where)


def _span(indices: Collection[int]) -> str:
    return f"{min(indices):,} to {max(indices):,}" if indices else "none"


def _check(rows: Sequence[EvaluationRecord], asked: Sequence[float]) -> None:
    indices = {row.index for row in rows}
    if len(indices) < len(rows):
        raise InvalidResults(expected="every index once", got=f"{len(rows) - len(indices)} that come again")
    for row in rows:
        if row.found and tuple(at.point for at in row.found) != tuple(asked):
            got = ", ".join(f"{at.point:g}" for at in row.found)
            expected = f"the points {', '.join(f'{at:g}' for at in asked)}"
            raise InvalidResults(expected=expected, got=got, where=f"index {row.index}")


def _at(
    place: int,
    at: float,
    rows: Sequence[EvaluationRecord],
    done: Sequence[EvaluationRecord],
    inputs: int,
    certificates: Mapping[int, Certificate] | None,
    shown: PhotographGroups | None,
) -> PointRow:
    found = [(row, row.found[place]) for row in done]
    right_at = [row.index for row in done if row.right(place + 1)[place]]
    right = len(right_at)
    known = certificates or {}
    certified = sum(known[row.index].correct and known[row.index].radius >= at for row in rows if row.index in known)
    return PointRow(
        point=at,
        accuracy=share_of(right, inputs, inputs - len(rows), None if shown is None else shown.by(right_at)),
        abstained=_mean([one.prediction == ABSTAIN for _, one in found]),
        unbroken=(right + sum(one.prediction == ABSTAIN for _, one in found)) / inputs,
        distance=_mean([one.distance for _, one in found]),
        farthest=max((one.distance for _, one in found), default=math.nan),
        true_votes=_mean([_votes(row, one)[0] for row, one in found]),
        other_votes=_mean([_votes(row, one)[1] for row, one in found]),
        certified=certified / inputs if certificates is not None else None,
    )


def _votes(row: EvaluationRecord, one: PointResult) -> tuple[float, float]:
    """Shares of votes for the label and for the strongest other class."""
    if not one.counts:  # nobody voted: the classifier was asked without noise
        return math.nan, math.nan
    drawn = sum(one.counts)
    others = [count for label, count in enumerate(one.counts) if label != row.label]
    true = one.counts[row.label] if 0 <= row.label < len(one.counts) else 0
    return true / drawn, max(others, default=0) / drawn


def _held(
    done: Sequence[EvaluationRecord], spec: EvaluateSpec, certificates: Mapping[int, Certificate]
) -> CertificateCheck:
    alpha = getattr(spec.evaluation, "alpha", USUAL_ALPHA)
    checked, allowed, unknown, violations = 0, 0.0, 0, []
    for row in done:
        certificate = certificates.get(row.index)
        if certificate is None:
            unknown += 1
            continue
        # A certificate that is wrong may be what makes an answer count: each answer could have been one.
        allowed += certificate.alpha * len(row.found)
        for one in row.found if certificate.prediction != ABSTAIN else ():
            if one.distance > certificate.radius:
                continue
            checked, allowed = checked + 1, allowed + alpha
            if one.prediction not in (ABSTAIN, certificate.prediction):
                violations.append(
                    Violation(
                        index=row.index,
                        point=one.point,
                        distance=one.distance,
                        radius=certificate.radius,
                        certified=certificate.prediction,
                        answered=one.prediction,
                    )
                )
    return CertificateCheck(checked=checked, violations=tuple(violations), allowed=allowed, unknown=unknown)


def _notes(
    rows: Sequence[EvaluationRecord],
    spec: EvaluateSpec,
    inputs: int,
    held: CertificateCheck | None,
    sizes: GroupSizes | None,
) -> tuple[str, ...]:
    """Plain sentences that a reader of the numbers needs."""
    errors = sum(row.error is not None for row in rows)
    found = (
        _held_note(held),
        *too_few_samples(spec, inputs),
        *implausible_evaluation(rows, spec, None if sizes is None else sizes.evaluated),
        f"Inputs without a certificate, which count as not certified: {held.unknown:,} of {len(rows) - errors:,}."
        if held is not None and held.unknown
        else None,
        f"Partial: {len(rows):,} of {inputs:,} inputs are done. The others count as wrong, the intervals' upper ends count them "
        "as right; all other numbers are over the inputs that are done."
        if len(rows) < inputs
        else None,
        f"Inputs that could not be evaluated, counted as wrong: {errors:,}." if errors else None,
        unit_note(CONFIDENCE, sizes, "each for its point alone."),
        note_of(spec.evaluation),
    )
    return tuple(note for note in found if note is not None)


@singledispatch
def note_of(asked: EvaluationSettings) -> str:
    """What a reader must know of an evaluation."""
    raise TypeError(f"expected the record of an evaluation, got a {type(asked).__name__}")


@note_of.register
def _of_attack(asked: Attack) -> str:
    against = "no noise: the base classifier is attacked" if asked.target == "base" else f"{asked.m} noise samples"
    answered = "the bounds of a mix" if asked.target == "mix" else "PREDICT"
    return (
        f"{asked.algorithm.upper()} of {asked.steps} steps through {against}; {answered} by {asked.n:,} fresh samples at alpha = "
        f"{asked.alpha:g}. An abstention counts as wrong, and tells nothing of the attack: accuracy and abstentions together are "
        "what an attack bounds from above, and it bounds nothing from below."
    )


@note_of.register
def _of_autoattack(asked: AutoAttack) -> str:
    adaptive = " APGD ascends the mixing network's loss, too." if asked.adaptive else ""
    return (
        f"AutoAttack in {asked.norm}, radius {asked.epsilon:.5g}: {', '.join(asked.attacks)}, {asked.iterations} iterations, "
        f"{asked.queries:,} queries.{adaptive} The classifier is asked without noise. An attack that finds nothing proves nothing. "
        f"Inputs are attacked {asked.together} at a time and share their random starts, which are others after a stop. One that "
        "is wrong as it is is not attacked: its distance is 0."
    )


@note_of.register
def _of_over_confidence(asked: OverConfidence) -> str:
    return (
        f"The search goes through {asked.m} noise samples in steps of {asked.step_size:g}; votes are {asked.n:,} fresh ones, by "
        f"which PREDICT answers at alpha = {asked.alpha:g}. The length is that of the path, the distance what is left of it where the "
        "path bends or meets the edge of [0, 1]. The "
        "largest of several estimated shares is a little larger than the largest share."
    )


def _held_note(held: CertificateCheck | None) -> str | None:
    if held is None:
        return None
    count = len(held.violations)
    said = (
        f"Answers within a certified radius: {held.checked:,}. Answers of another class than the certified one: {count:,}; the two "
        f"alphas allow {held.allowed:.3g}."
    )
    if not held.loud:
        return said
    return (
        f"CERTIFICATES CONTRADICTED. {said} With true certificates so many come about with a probability of at most "
        f"{held.chance:.2g}: something is wrong with the certificates, the model or the machine. The inputs are listed."
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
