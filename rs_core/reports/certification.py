"""The report of a certification: certified accuracy, average certified radius, and what must stand beside them; a pure
function of the stored rows.

Certified accuracy as in Cohen et al. 2019, arXiv 1902.02918, ACR as in Zhai et al. 2020, arXiv 2001.02378. Inputs that
abstained, failed or are still missing stay in every denominator. Intervals are Clopper-Pearson over inputs, pointwise; where
several inputs show one photograph they are over photographs, see ``photographs``.
The sums are made in ``results.aggregate`` and ``row_statistics``, rows by corruption in ``corruptions``; reading and writing rows is left to
``tsv`` and the store, sentences to ``notes``, text to ``certification_text``, pictures to ``plots.certification``.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.errors import InvalidResults
from radii.rs_core.noise.discrete_distribution import neglected
from radii.rs_core.records import Certificate
from radii.rs_core.reports.corruptions import CorruptionGroups, CorruptionReport, report_on_groups
from radii.rs_core.reports.corruptions import notes as corruption_notes
from radii.rs_core.reports.mixed import WEIGHTS, WeightResult, WeightRow, by_weight, rows_at
from radii.rs_core.reports.notes import norms_note, notes_of, steps_note
from radii.rs_core.reports.procedure_text import ProcedureSummary, made, notes
from radii.rs_core.results.aggregate import CONFIDENCE, Columns, CurvePoint, columns, curve, point, radii_up_to
from radii.rs_core.results.photographs import GroupSizes, Photographs, Unit
from radii.rs_core.results.plausibility import ObservedOutcome, cannot_certify, implausible
from radii.rs_core.results.row_statistics import (
    RowStatistics,
    ValueCounts,
    by_photograph,
    shown_in,
    statistics_of_columns,
)
from radii.rs_core.specs.fields import Bound, Noise, Precision, Sampling

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Observed values below or at which the named share of inputs lies."""

    minimum: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """The evaluated inputs of one label. ``accuracy`` is certified accuracy at radius 0."""

    label: int
    name: str | None
    inputs: int
    acr: float
    accuracy: float
    abstention_rate: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that is said of one certification. Shares are of ``inputs``, the fixed denominator; radii in pixel l2 units.

    ``None`` stands for what the rows do not tell. ``n0`` and ``n`` are those of a fixed number of samples; where it was
    chosen by input, ``mean_samples`` of the estimation tells what was drawn. An l2 radius R is an l1 radius R too, and an
    linf radius R x ``linf_per_l2``. Intervals count ``units``, which are inputs, or the photographs that several inputs show
    (``unit``). ``abstained`` includes ``errors``. ``radius_quantiles`` are those of
    radius x correct over all inputs, ``p_lower_quantiles`` those over evaluated inputs without an error. ``corruptions`` is
    of a dataset of corrupted images.
    """

    inputs: int
    evaluated: int
    complete: bool
    acr: float
    accuracy_at_0: CurvePoint
    certified_accuracy: tuple[CurvePoint, ...]
    confidence: float
    abstained: int
    abstention_rate: float
    errors: int
    at_cap: int | None
    share_at_cap: float | None
    cap: float | None
    radius_quantiles: Quantiles
    p_lower_quantiles: Quantiles | None
    classes: tuple[ClassRow, ...]
    sampling: Sampling
    bound: Bound
    noise: Noise
    precision: Precision
    robust_weight: float | None
    n0: int | None
    n: int | None
    mean_samples: float | None
    alpha: float | None
    sigma: float | None
    seed: int | None
    linf_per_l2: float | None
    notes: tuple[str, ...]
    unit: Unit = "input"
    units: int = 0
    corruptions: CorruptionReport | None = None
    weights: tuple[WeightRow, ...] = ()

    @property
    def made(self) -> ProcedureSummary:
        """The procedure."""
        return ProcedureSummary(
            sampling=self.sampling,
            bound=self.bound,
            noise=self.noise,
            precision=self.precision,
            robust_weight=self.robust_weight,
        )

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts and lists, free of NaN."""
        body: dict[str, Any] = plain(self)
        return body


@dataclass(frozen=True, kw_only=True)
class SharedParameters:
    """What all rows of a report share; ``None`` where they do not tell, or where it was chosen for each input."""

    how: ProcedureSummary
    n0: int | None = None
    n: int | None = None
    alpha: float | None = None
    sigma: float | None = None
    seed: int | None = None


def summarize(
    certificates: Sequence[Certificate],
    *,
    radii: Sequence[float] | None = None,
    total: int | None = None,
    cap: float | None = None,
    class_names: Sequence[str] | None = None,
    pixels: int | None = None,
    unfinished: int = 0,
    grouped: CorruptionGroups | None = None,
    photographs: Photographs | None = None,
) -> Report:
    """The report of ``certificates``, in any order.

    ``total``: inputs of the job, where some may still be missing; ``radii``: the grid, else a round one up to the cap
    or, where that is unknown, to the largest radius; ``cap``: the largest radius possible, else taken from n, alpha and
    sigma of the rows; ``pixels``: values of an image, for radii in other norms; ``unfinished``: rows that are still to be
    replaced by ones of more samples; ``grouped``: of a dataset of corrupted images, which are which; ``photographs``: which
    images show the same photograph, by default what ``grouped`` says.

    Raises:
        InvalidResults: There is nothing to report, an index comes twice, rows come from different procedures, or there are more
            rows than ``total``.
        InvalidSpec: Radii are negative or not finite.
    """
    rows = columns(certificates)
    inputs = denominator(rows, total)
    facts = facts_of(certificates)
    cap = cap_of(facts) if cap is None else cap
    limit = cap if cap is not None else float(rows.radius.max(initial=0.0))
    photographs = grouped.photographs if photographs is None and grouped is not None else photographs
    starts = () if photographs is None else photographs.starts
    on = radii if radii is not None else radii_up_to(limit)
    statistics = statistics_of_columns(rows, certificates, on, cap=cap, starts=starts)
    made = report_of(
        statistics,
        facts,
        inputs=inputs,
        cap=cap,
        class_names=class_names,
        pixels=pixels,
        unfinished=unfinished,
        grouped=grouped,
        photographs=photographs,
    )
    if facts.how.bound != "mixed" or not all(row.counts or row.error for row in certificates):
        return made
    found = mixes(certificates, total=inputs, pixels=pixels, photographs=photographs)
    return replace(made, weights=rows_at(found, mix_radii(certificates) if radii is None else radii))


def mixes(
    certificates: Sequence[Certificate],
    *,
    weights: Sequence[float] | None = None,
    total: int | None = None,
    pixels: int | None = None,
    photographs: Photographs | None = None,
) -> tuple[WeightResult, ...]:
    """What a mix would have certified by the weight of its robust classifier (by default the usual ones and its own), of
    ``total`` inputs in all, which have ``pixels`` values each and show these ``photographs``. Raises :class:`InvalidResults` where
    a certificate is of something else, or without its votes."""
    facts = facts_of(certificates)
    mass = neglected(facts.sigma, pixels) if facts.how.noise == "discrete" and facts.sigma and pixels else 0.0
    own = facts.how.robust_weight
    on = sorted({*WEIGHTS, *([] if own is None else [own])}) if weights is None else weights
    return by_weight(certificates, weights=on, total=total, neglected=mass, photographs=photographs)


def mix_radii(certificates: Sequence[Certificate]) -> tuple[float, ...]:
    """Round radii up to the largest that any weight could certify."""
    limit = cap_of(facts_of(certificates), robust_weight=1.0) or max((row.radius for row in certificates), default=0.0)
    return radii_up_to(limit)


def report_of(
    statistics: RowStatistics,
    facts: SharedParameters,
    *,
    inputs: int,
    cap: float | None,
    class_names: Sequence[str] | None = None,
    pixels: int | None = None,
    unfinished: int = 0,
    grouped: CorruptionGroups | None = None,
    photographs: Photographs | None = None,
) -> Report:
    """The report of rows by their statistics; ``unfinished`` of them hold but are still to be replaced by ones of
    more samples."""
    sums, how = statistics.sums, facts.how
    missing = inputs - sums.evaluated
    photographs = grouped.photographs if photographs is None and grouped is not None else photographs
    shown = shown_in(statistics.photographs, photographs, missing)
    sizes = None if shown is None else shown.sizes
    zero, by_radius = by_photograph(statistics.photographs, shown)
    corruptions = None if grouped is None else report_on_groups(statistics.groups, grouped, statistics.photographs)
    return Report(
        inputs=inputs,
        evaluated=sums.evaluated,
        complete=missing == 0 and not unfinished,
        acr=sums.radius_sum / inputs,
        accuracy_at_0=point(0.0, sums.correct, inputs, missing, zero),
        certified_accuracy=curve(sums, inputs, by_radius),
        confidence=CONFIDENCE,
        abstained=sums.abstained,
        abstention_rate=sums.abstained / inputs,
        errors=sums.errors,
        at_cap=sums.at_cap,
        share_at_cap=None if sums.at_cap is None else sums.at_cap / inputs,
        cap=cap,
        radius_quantiles=_quantiles(statistics.correct_radii.with_zeros(inputs - sums.correct)),
        p_lower_quantiles=_quantiles(statistics.p_lower) if statistics.p_lower.total else None,
        classes=_classes(statistics, class_names),
        sampling=how.sampling,
        bound=how.bound,
        noise=how.noise,
        precision=how.precision,
        robust_weight=how.robust_weight,
        n0=facts.n0,
        n=facts.n,
        mean_samples=statistics.mean_samples,
        alpha=facts.alpha,
        sigma=facts.sigma,
        seed=facts.seed,
        linf_per_l2=None if pixels is None else pixels**-0.5,
        notes=warnings_of(_outcome(statistics, sizes), facts)
        + notes_of(statistics, inputs, facts.alpha, cap, sizes)
        + notes(how, statistics.mean_samples, unfinished)
        + norms_note(pixels)
        + steps_note(statistics)
        + (corruption_notes(corruptions, grouped.corrupted) if corruptions and grouped else ()),
        corruptions=corruptions,
        unit="input" if sizes is None else "photograph",
        units=inputs if sizes is None else sizes.photographs,
    )


def facts_of(certificates: Sequence[Certificate]) -> SharedParameters:
    """What all rows share. Raises :class:`InvalidResults` where they come from several procedures."""
    certified, how = [row for row in certificates if row.error is None] or certificates, made(certificates)
    fixed = how.sampling == "fixed"
    return SharedParameters(
        how=how,
        n0=_agreed("n0", [row.n0 for row in certified]) if fixed else None,
        n=_agreed("n", [row.n for row in certified]) if fixed else None,
        alpha=_agreed("alpha", [row.alpha for row in certified]),
        sigma=_agreed("sigma", [row.sigma for row in certified]),
        seed=_agreed("seed", [row.seed for row in certified]),
    )


def cap_of(facts: SharedParameters, robust_weight: float | None = None) -> float | None:
    """The largest radius that is possible, where n, alpha and sigma are known and the same for all rows; of a mix, with
    another weight of the robust classifier where one is given."""
    if not (facts.n and facts.alpha and facts.sigma):
        return None
    how = facts.how
    weight = how.robust_weight if robust_weight is None else robust_weight
    asked = Procedure(sigma=facts.sigma, n=facts.n, alpha=facts.alpha, bound=how.bound, robust_weight=weight)
    return asked.cap


def _quantiles(sample: ValueCounts) -> Quantiles:
    observed = sample.quantiles((0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))
    return Quantiles(**dict(zip(Quantiles.__annotations__, observed, strict=True)))


def _classes(statistics: RowStatistics, names: Sequence[str] | None) -> tuple[ClassRow, ...]:
    return tuple(
        ClassRow(
            label=label,
            name=names[label] if names is not None and label < len(names) else None,
            inputs=row.inputs,
            acr=row.radius_sum / row.inputs,
            accuracy=row.correct / row.inputs,
            abstention_rate=row.abstained / row.inputs,
        )
        for label, row in statistics.classes.items()
        if row.inputs
    )


def _outcome(statistics: RowStatistics, sizes: GroupSizes | None) -> ObservedOutcome:
    sums = statistics.sums
    return ObservedOutcome(
        evaluated=sums.evaluated,
        abstained=sums.abstained,
        answers=statistics.certified_as,
        labels={label: row.inputs for label, row in statistics.classes.items() if row.inputs},
        correct=sums.correct,
        at_cap=sums.at_cap,
        photographs=None if sizes is None else sizes.evaluated,
    )


def warnings_of(outcome: ObservedOutcome, facts: SharedParameters) -> tuple[str, ...]:
    """What about results is hardly what anybody wanted, and whether it could have been known from n and alpha."""
    few: str | None = None
    if facts.n and facts.alpha and facts.sigma:
        how = facts.how
        few = cannot_certify(
            Procedure(sigma=facts.sigma, n=facts.n, alpha=facts.alpha, bound=how.bound, robust_weight=how.robust_weight)
        )
    return (*((few,) if few else ()), *implausible(outcome))


def denominator(rows: Columns, total: int | None) -> int:
    """The inputs of a job, ``total`` or as many as there are rows. Raises :class:`InvalidResults` where there are none, more
    rows than that, or two of one index."""
    evaluated = len(rows.index)
    inputs = evaluated if total is None else total
    if inputs < 1:
        raise InvalidResults(expected="at least one input to report on", got="none")
    if evaluated > inputs:
        raise InvalidResults(expected=f"at most {inputs} rows, one per input of the job", got=f"{evaluated} rows")
    twice = rows.index[1:][rows.index[1:] == rows.index[:-1]]
    if len(twice):
        raise InvalidResults(expected="every index once", got=f"index {twice[0]} more than once")
    return inputs


def _agreed(name: str, values: Sequence[Number]) -> Number | None:
    """The one value of all rows; None where they say it is unknown (0, NaN, or a negative seed)."""
    found: list[Number] = np.unique(np.array(values)).tolist()
    if len(found) > 1:
        shown = ", ".join(str(value) if value == value else "unknown" for value in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise InvalidResults(expected=f"rows of one procedure, all with the same {name}", got=shown + more, where=name)
    known = [value for value in found if value > 0 or (name == "seed" and value == 0)]
    return known[0] if known else None


def plain(value: Any) -> Any:
    """A record, or what is in one, as plain dicts and lists; a number that is none is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
