"""The trade-off of a mix, weight by weight, from the votes of one certification: Bai et al. 2023, arXiv 2301.12554, figure of
certified accuracy over radius for several alphas.

The votes are the robust classifier's whatever its weight, and the standard one's probabilities are stored beside them, so that the
certificates of any weight follow from the same rows. Each row of the table holds for its weight; a weight that is chosen because
its row looks best is chosen on the test inputs, and one chosen for each input would certify nothing.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rs_core.certify.decision import ABSTAIN, Certificate, Decision
from rs_core.certify.mixed import decided_again, lipschitz_radius
from rs_core.errors import InvalidResults
from rs_core.photographs import Counts, Photographs, Sizes, Unit
from rs_core.tally import ByPhotograph, CurvePoint, grid, point

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
class AtWeight:
    """The mix at one weight: certified radii of the inputs that it answers with their labels, ascending, by randomized smoothing
    and by the Lipschitz constant; of ``inputs`` in all, of which it abstains from some and others are ``missing`` so far.
    ``sizes`` where several inputs show one photograph; ``smoothed_of`` and ``lipschitz_of`` are then the radii's photographs."""

    robust_weight: float
    smoothed: tuple[float, ...]
    lipschitz: tuple[float, ...]
    abstained: int
    inputs: int
    missing: int
    sizes: Sizes | None = field(default=None, compare=False)
    smoothed_of: tuple[int, ...] = ()
    lipschitz_of: tuple[int, ...] = ()


def by_weight(
    certificates: Sequence[Certificate],
    *,
    weights: Sequence[float] = WEIGHTS,
    total: int | None = None,
    neglected: float = 0.0,
    photographs: Photographs | None = None,
) -> tuple[AtWeight, ...]:
    """What each weight would have certified of these inputs, ``total`` in all, which show these ``photographs``. Raises :class:`InvalidResults` where a
    certificate is of something else than a mix, or without its votes."""
    rows = [row for row in certificates if row.error is None]
    if any(row.bound != "mixed" or not row.counts for row in rows):
        raise InvalidResults(
            expected="certificates of a mix (bound mixed) with their votes", got="others", where="bound"
        )
    inputs = max(total or 0, len(certificates), 1)
    missing = inputs - len(certificates)
    # Row by row: the bounds on one row's votes are remembered from weight to weight.
    decided = [[decided_again(row, weight, neglected=neglected) for weight in weights] for row in rows]
    shown, sizes = _shown(certificates, photographs)
    return tuple(
        _at_weight(
            [(row, found[place]) for row, found in zip(rows, decided, strict=True)],
            weight,
            inputs,
            missing,
            shown,
            sizes,
        )
        for place, weight in enumerate(weights)
    )


def rows_at(found: Sequence[AtWeight], radii: Sequence[float]) -> tuple[WeightRow, ...]:
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
            unit="input" if one.sizes is None else "photograph",
            units=one.inputs if one.sizes is None else one.sizes.photographs,
        )
        for one in found
    )


def _shown(certificates: Sequence[Certificate], photographs: Photographs | None) -> tuple[dict[int, int], Sizes | None]:
    """The photograph of each index, and how many inputs show each; nothing where each input shows one of its own."""
    if photographs is None:
        return {}, None
    index = np.array([row.index for row in certificates], dtype=np.int64)
    numbers = photographs.numbers(index)
    sizes = photographs.sizes(np.bincount(numbers).astype(np.int64))
    return (dict(zip(index.tolist(), numbers.tolist(), strict=True)), sizes) if sizes.repeated else ({}, None)


def _at_weight(
    decided: Sequence[tuple[Certificate, Decision]],
    weight: float,
    inputs: int,
    missing: int,
    shown: Mapping[int, int],
    sizes: Sizes | None,
) -> AtWeight:
    right = [(row, found) for row, found in decided if found.prediction != ABSTAIN and found.prediction == row.label]
    smoothed = sorted((found.radius, shown.get(row.index, 0)) for row, found in right)
    lipschitz = sorted(
        (lipschitz_radius(found.p_lower, found.p_upper or 0.0, row.sigma, weight), shown.get(row.index, 0))
        for row, found in right
    )
    return AtWeight(
        robust_weight=weight,
        smoothed=tuple(radius for radius, _ in smoothed),
        lipschitz=tuple(radius for radius, _ in lipschitz),
        abstained=sum(found.prediction == ABSTAIN for _, found in decided),
        inputs=inputs,
        missing=missing,
        sizes=sizes,
        smoothed_of=tuple(number for _, number in smoothed) if sizes else (),
        lipschitz_of=tuple(number for _, number in lipschitz) if sizes else (),
    )


def _curve(
    ascending: Sequence[float], numbers: Sequence[int], radii: Sequence[float], one: AtWeight
) -> tuple[CurvePoint, ...]:
    below = [bisect_left(ascending, at) for at in radii]
    return tuple(
        point(at, len(ascending) - first, one.inputs, one.missing, _of(numbers[first:], one))
        for at, first in zip(radii, below, strict=True)
    )


def _of(numbers: Sequence[int], one: AtWeight) -> ByPhotograph | None:
    if one.sizes is None:
        return None
    counts: Counts = np.bincount(np.asarray(numbers, dtype=np.int64), minlength=len(one.sizes.inputs)).astype(np.int64)
    return ByPhotograph(counts, one.sizes)
