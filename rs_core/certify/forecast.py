"""What a procedure would draw and certify, before anything is drawn: a typical input of a given probability, whose votes are
as many as are expected. Follows the procedure's own rules, look by look; the truth scatters around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rs_core.certify.procedure import Procedure

PROBABILITIES = (0.6, 0.8, 0.9, 0.99, 0.999, 1.0)
"""Of the certified class, under noise: what the rows of a forecast are about."""
OTHERS = 9
"""Classes that share the other votes."""


@dataclass(frozen=True, kw_only=True)
class Typical:
    """A typical input of whose noise samples a share ``p`` is classified alike: samples drawn, and radius certified."""

    p: float
    samples: int
    radius: float


def typical(procedure: Procedure, p: float) -> Typical:
    """One row; where no class is certified the radius is 0. All other votes are spread evenly over nine classes."""
    drawn = (0, 0)
    while (wanted := procedure.wanted(*(_votes(p, total) for total in drawn))) != drawn:
        drawn = wanted
    decided = procedure.decide(*(_votes(p, total) for total in drawn))
    return Typical(p=p, samples=sum(drawn), radius=decided.radius)


def forecast(procedure: Procedure) -> tuple[Typical, ...]:
    """A row for each of ``PROBABILITIES``."""
    return tuple(typical(procedure, p) for p in PROBABILITIES)


def averaged(procedure: Procedure, shares: Sequence[float], correct: Sequence[bool]) -> tuple[float, float]:
    """Samples for an input, and ACR, on average over inputs whose classes got these shares of the votes before."""
    known = {share: typical(procedure, share) for share in set(shares)}
    rows = [known[share] for share in shares]
    samples = sum(row.samples for row in rows) / len(rows)
    return samples, sum(row.radius * right for row, right in zip(rows, correct, strict=True)) / len(rows)


def _votes(p: float, total: int) -> tuple[int, ...]:
    first = round(p * total)
    each, left = divmod(total - first, OTHERS)
    return first, *(each + (place < left) for place in range(OTHERS))
