"""The trade-off of a mix, weight by weight, from the votes of one certification: Bai et al. 2023, arXiv 2301.12554, figure of
certified accuracy over radius for several alphas.

The votes are the robust classifier's whatever its weight, and the standard one's probabilities are stored beside them, so that the
certificates of any weight follow from the same rows. Each row of the table holds for its weight; a weight that is chosen because
its row looks best is chosen on the test inputs, and one chosen for each input would certify nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from radii.rs_core.certify.certificates import Decision
from radii.rs_core.certify.mixed import decided_again, lipschitz_radius
from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.results.aggregate import ByPhotograph, CurvePoint, PhotographGroups, grid, point
from radii.rs_core.results.photographs import Photographs, Unit

WEIGHTS = (0.0, 0.5, 0.6, 0.67, 0.76, 0.8, 0.85, 0.9, 0.95, 1.0)
"""The paper's, and some between them."""


@dataclass(frozen=True, kw_only=True)
class WeightRow:
    """All inputs at one weight of the robust classifier.

    ``accuracy``: the mix answers the label (radius 0 or more; abstentions are wrong); ``abstained`` a share; ``certified``
    accuracy at each of the asked radii by randomized smoothing, and ``by_lipschitz`` by the Lipschitz constant. Intervals count
    ``units``: inputs or, where several show one, photographs.
    """

    robust_weight: float
    accuracy: CurvePoint
    abstained: float
    acr: float
    certified: tuple[CurvePoint, ...]
    by_lipschitz: tuple[CurvePoint, ...]
    unit: Unit = "input"
    units: int = 0


@dataclass(frozen=True, kw_only=True)
class WeightResult:
    """The mix at one weight: certified radii of the inputs that it answers with their labels, ascending, by randomized smoothing
    and by the Lipschitz constant; of ``inputs`` in all, of which it abstains from some and others are ``missing`` so far.
    ``shown`` where several inputs show one photograph; ``smoothed_of`` and ``lipschitz_of`` are then the radii's photographs."""

    robust_weight: float
    smoothed: tuple[float, ...]
    lipschitz: tuple[float, ...]
    abstained: int
    inputs: int
    missing: int
    shown: PhotographGroups | None = field(default=None, compare=False)
    smoothed_of: tuple[int, ...] = ()
    lipschitz_of: tuple[int, ...] = ()


def by_weight(
    certificates: Sequence[Certificate],
    *,
    weights: Sequence[float] = WEIGHTS,
    total: int | None = None,
    neglected: float = 0.0,
    photographs: Photographs | None = None,
) -> tuple[WeightResult, ...]:
    """What each weight would have certified of these inputs.

    Args:
        weights: Of the robust classifier, in [0, 1].
        total: Inputs of the job, where certificates may be missing.
        neglected: Mass of the discrete noise that the bounds leave out, 0 of Gaussian noise.
        photographs: Which inputs show the same one.

    Raises:
        InvalidResults: A certificate is of something else than a mix, or without its votes; or certificates are missing and it is
            not known of which photographs.
    """
    rows = [row for row in certificates if row.error is None]
    if any(row.bound != "mixed" or not row.counts for row in rows):
        raise InvalidResults(
            expected="certificates of a mix (bound mixed) with their votes", got="others", where="bound"
        )
    inputs = max(total or 0, len(certificates), 1)
    missing = inputs - len(certificates)
    # Row by row: the bounds on one row's votes are remembered from weight to weight.
    decided = [[decided_again(row, weight, neglected=neglected) for weight in weights] for row in rows]
    shown = PhotographGroups.of_inputs([row.index for row in certificates], photographs, inputs)
    return tuple(
        _at_weight(
            [(row, found[place]) for row, found in zip(rows, decided, strict=True)],
            weight,
            inputs,
            missing,
            shown,
        )
        for place, weight in enumerate(weights)
    )


def rows_at(found: Sequence[WeightResult], radii: Sequence[float]) -> tuple[WeightRow, ...]:
    """The table, weight by weight, with certified accuracy at ``radii``; :class:`InvalidSpec` for radii that are none."""
    on = grid(radii)
    return tuple(
        WeightRow(
            robust_weight=one.robust_weight,
            accuracy=point(0.0, len(one.smoothed), one.inputs, one.missing, _of(one.smoothed_of, one)),
            abstained=one.abstained / one.inputs,
            acr=sum(one.smoothed) / one.inputs,
            certified=_curve(one.smoothed, one.smoothed_of, on, one),
            by_lipschitz=_curve(one.lipschitz, one.lipschitz_of, on, one),
            unit="input" if one.shown is None else "photograph",
            units=one.inputs if one.shown is None else one.shown.sizes.photographs,
        )
        for one in found
    )


def _at_weight(
    decided: Sequence[tuple[Certificate, Decision]],
    weight: float,
    inputs: int,
    missing: int,
    shown: PhotographGroups | None,
) -> WeightResult:
    right = [(row, found) for row, found in decided if found.prediction != ABSTAIN and found.prediction == row.label]
    index = np.array([row.index for row, _ in right], dtype=np.int64)
    numbers = (index if shown is None else shown.photographs.numbers(index)).tolist()
    smoothed = sorted((found.radius, number) for (_, found), number in zip(right, numbers, strict=True))
    lipschitz = sorted(
        (lipschitz_radius(found.p_lower, found.p_upper or 0.0, row.sigma, weight), number)
        for (row, found), number in zip(right, numbers, strict=True)
    )
    return WeightResult(
        robust_weight=weight,
        smoothed=tuple(radius for radius, _ in smoothed),
        lipschitz=tuple(radius for radius, _ in lipschitz),
        abstained=sum(found.prediction == ABSTAIN for _, found in decided),
        inputs=inputs,
        missing=missing,
        shown=shown,
        smoothed_of=tuple(number for _, number in smoothed) if shown else (),
        lipschitz_of=tuple(number for _, number in lipschitz) if shown else (),
    )


def _curve(
    ascending: Sequence[float], numbers: Sequence[int], radii: Sequence[float], one: WeightResult
) -> tuple[CurvePoint, ...]:
    below = [bisect_left(ascending, at) for at in radii]
    return tuple(
        point(at, len(ascending) - first, one.inputs, one.missing, _of(numbers[first:], one))
        for at, first in zip(radii, below, strict=True)
    )


def _of(numbers: Sequence[int], one: WeightResult) -> ByPhotograph | None:
    return None if one.shown is None else one.shown.by_number(np.asarray(numbers, dtype=np.int64))
