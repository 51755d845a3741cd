"""Predicts, before sampling, how many samples a procedure would draw for an input and which radius it would certify.

It follows the procedure's own rules, look by look, for votes that are as many as expected. Real votes scatter around them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from scipy.special import betaincinv

from radii.rs_core.certify.procedure import Procedure

PROBABILITIES = (0.6, 0.8, 0.9, 0.99, 0.999, 1.0)
"""Of the certified class, under noise: what the rows of a forecast are about."""
OTHERS = 9
"""Classes that share the other votes."""
QUANTILES = (1 / 6, 1 / 2, 5 / 6)
"""Of what the votes of an input leave open about it: as many inputs that it may be."""
SIZES = (*(digits * 10**power for power in range(1, 7) for digits in range(10, 100)), 10**8)
"""Numbers n that are looked at where the largest is sought that can be afforded."""


@dataclass(frozen=True, kw_only=True)
class TypicalCertificate:
    """A typical input of whose noise samples a share ``p`` is classified alike: samples drawn, and radius certified."""

    p: float
    samples: int
    radius: float


@dataclass(frozen=True, kw_only=True)
class LikelyProbabilities:
    """Probabilities of an input's class and of the next one, of two digits, so that inputs that are much alike are forecast
    once. The rest is spread evenly over eight classes more."""

    first: float
    second: float

    @classmethod
    def likely(cls, counts: Sequence[int], selected: int) -> "tuple[LikelyProbabilities, ...]":
        """What votes that were counted leave open: quantiles of Jeffreys' posterior. That all of a few hundred agreed does
        not tell that all of 100,000 would."""
        k, total = counts[selected], sum(counts)
        second = max((count for index, count in enumerate(counts) if index != selected), default=0)
        of_the_rest = second / (total - k) if total > k else 1 / OTHERS
        firsts = [_two_digits(float(p)) for p in betaincinv(k + 0.5, total - k + 0.5, QUANTILES)]
        return tuple(cls(first=p, second=round((1 - p) * of_the_rest, 3)) for p in firsts)


def typical(procedure: Procedure, p: float, second: float | None = None) -> TypicalCertificate:
    """One row; where no class is certified the radius is 0. ``second`` is the share of the next class, without which all
    other votes are spread evenly over nine."""
    drawn = (0, 0)
    while (wanted := procedure.wanted(*(_votes(p, second, total) for total in drawn))) != drawn:
        drawn = wanted
    decided = procedure.decide(*(_votes(p, second, total) for total in drawn))
    return TypicalCertificate(p=p, samples=sum(drawn), radius=decided.radius)


def forecast(procedure: Procedure) -> tuple[TypicalCertificate, ...]:
    """A row for each of ``PROBABILITIES``."""
    return tuple(typical(procedure, p) for p in PROBABILITIES)


def averaged(
    procedure: Procedure, seen: Sequence[Sequence[LikelyProbabilities]], correct: Sequence[bool]
) -> tuple[float, float]:
    """Samples for an input, and ACR, on average over inputs that may be any of these each."""
    known = {one: typical(procedure, one.first, one.second) for one in {one for likely in seen for one in likely}}
    rows = [[known[one] for one in likely] for likely in seen]
    samples = fmean(fmean(row.samples for row in likely) for likely in rows)
    radii = (fmean(row.radius for row in likely) * right for likely, right in zip(rows, correct, strict=True))
    return samples, fmean(radii)


def largest(procedure: Procedure, samples: Callable[[Procedure], float], most: float) -> Procedure | None:
    """The same with the largest n, of two digits, that needs at most ``most`` samples for an input by ``samples``; None
    where not even the smallest does."""
    fitting = None
    low, high = 0, len(SIZES)
    while low < high:
        middle = (low + high) // 2
        tried = replace(procedure, n=SIZES[middle])
        too_few = bool(tried.radii) and max(tried.radii) > tried.cap
        if too_few or samples(tried) <= most:
            fitting = None if too_few else tried
            low = middle + 1
        else:
            high = middle
    return fitting


def _two_digits(p: float) -> float:
    """Of the rarer side: what is near 1 is told apart as finely as what is near 0."""
    return 1 - float(f"{1 - p:.1e}") if p > 0.5 else float(f"{p:.1e}")


def _votes(p: float, second: float | None, total: int) -> tuple[int, ...]:
    first = round(p * total)
    following = [] if second is None else [min(total - first, round(second * total))]
    others = OTHERS - len(following)
    each, left = divmod(total - first - sum(following), others)
    return first, *following, *(each + (place < left) for place in range(others))
