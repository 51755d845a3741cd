"""The trade-off of a mix, weight by weight, from the votes of one certification: Bai et al. 2023, arXiv 2301.12554, figure of
certified accuracy over radius for several alphas.

The votes are the robust classifier's whatever its weight, and the standard one's probabilities are stored beside them, so that the
certificates of any weight follow from the same rows. Each row of the table holds for its weight; a weight that is chosen because
its row looks best is chosen on the test inputs, and one chosen for each input would certify nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rs_core.certify.decision import ABSTAIN, Certificate, Decision
from rs_core.certify.mixed import decided_again, lipschitz_radius
from rs_core.errors import InvalidResults
from rs_core.tally import CurvePoint, point

WEIGHTS = (0.0, 0.5, 0.6, 0.67, 0.76, 0.8, 0.85, 0.9, 0.95, 1.0)
"""The paper's, and some between them."""


@dataclass(frozen=True, kw_only=True)
class WeightRow:
    """All inputs at one weight of the robust classifier.

    ``accuracy``: the mix answers the label (radius 0 or more; abstentions are wrong); ``abstained`` a share; ``certified``
    accuracy at each of the asked radii by randomized smoothing, and ``by_lipschitz`` by the Lipschitz constant.
    """

    robust_weight: float
    accuracy: CurvePoint
    abstained: float
    acr: float
    certified: tuple[CurvePoint, ...]
    by_lipschitz: tuple[CurvePoint, ...]


def by_weight(
    certificates: Sequence[Certificate],
    radii: Sequence[float],
    *,
    weights: Sequence[float] = WEIGHTS,
    total: int | None = None,
    neglected: float = 0.0,
) -> tuple[WeightRow, ...]:
    """The rows of these certificates of a mix, of ``total`` inputs in all, weight by weight. Raises :class:`InvalidResults`
    where a certificate is of something else."""
    rows = [row for row in certificates if row.error is None]
    if any(row.bound != "mixed" or not row.counts for row in rows):
        raise InvalidResults(
            expected="certificates of a mix (bound mixed) with their votes", got="others", where="bound"
        )
    inputs = max(total or 0, len(certificates), 1)
    missing = inputs - len(certificates)
    # Row by row: the bounds on one row's votes are remembered from weight to weight.
    decided = [[decided_again(row, weight, neglected=neglected) for weight in weights] for row in rows]
    return tuple(
        _row([(row, found[place]) for row, found in zip(rows, decided, strict=True)], weight, radii, inputs, missing)
        for place, weight in enumerate(weights)
    )


def at_radii(rows: Sequence[WeightRow], radii: Sequence[float]) -> tuple[WeightRow, ...]:
    """The same rows with their curves at some of their radii alone."""
    chosen = set(radii)

    def kept(curve: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
        return tuple(at for at in curve if at.radius in chosen)

    return tuple(replace(row, certified=kept(row.certified), by_lipschitz=kept(row.by_lipschitz)) for row in rows)


def _row(
    decided: Sequence[tuple[Certificate, Decision]], weight: float, radii: Sequence[float], inputs: int, missing: int
) -> WeightRow:
    right = [(row, found) for row, found in decided if found.prediction != ABSTAIN and found.prediction == row.label]
    smoothed = [found.radius for _, found in right]
    lipschitz = [lipschitz_radius(found.p_lower, found.p_upper or 0.0, row.sigma, weight) for row, found in right]
    return WeightRow(
        robust_weight=weight,
        accuracy=point(0.0, len(right), inputs, missing),
        abstained=sum(found.prediction == ABSTAIN for _, found in decided) / inputs,
        acr=sum(smoothed) / inputs,
        certified=_curve(smoothed, radii, inputs, missing),
        by_lipschitz=_curve(lipschitz, radii, inputs, missing),
    )


def _curve(found: Sequence[float], radii: Sequence[float], inputs: int, missing: int) -> tuple[CurvePoint, ...]:
    sorted_radii = sorted(found)
    return tuple(point(at, len(found) - bisect_left(sorted_radii, at), inputs, missing) for at in radii)
