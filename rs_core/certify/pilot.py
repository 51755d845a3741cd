"""How many samples an input is worth, told by a pilot: numbers only.

The pilot's votes choose a class *and* a sample size; then exactly so many fresh samples are drawn, and one bound is taken
on them. Given the pilot, class and size are constants, so the bound keeps its level whatever the rule below may be: the
rule decides what is paid, never what is claimed. The pilot's own votes count nowhere else.

The rule buys radius at one price for all inputs. What a sample size N is worth to an input is the radius it is expected to
certify, over the probabilities that the pilot leaves open (Jeffreys' posterior, Beta(k + 1/2, m - k + 1/2) after k of m
votes); what it costs is N times the price. The price is ``PRICE`` of what the last samples of ``n`` buy an input whose pilot
lost no vote: such inputs get all of ``n``, the others as many as bring them that much apiece.

For the bound of two classes the radius is that bound's, with the strongest other class of the pilot keeping its share of what
the certified class leaves: an input of which no class has half of the votes may be worth its samples too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from radii.rs_core.certify.bounds import lower_bounds
from radii.rs_core.certify.certificates import SHARE_OF_THE_TOP, argmax
from radii.rs_core.specs.fields import Bound

STAGES = (1, 5, 30)
"""Votes of the pilot, all in all, after each of its stages: in units of the first."""
WORTH_MORE = 10
"""A longer pilot is drawn where the size it has found is more than so many times its own."""
STEP = 1.15
PRICE = 0.5
"""Of what the last of n samples buy an input whose pilot lost no vote. On logs of CIFAR-10 it means 1.5 to 3 times fewer
samples at 0.15 to 1 % less ACR; all of it would mean up to 4 times fewer, at up to 1.6 % less."""
PART = 100
"""Sizes are whole multiples of it, as far as they are below n: so many samples are drawn at once."""
QUANTILES = (np.arange(24) + 0.5) / 24

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """Sizes of up to ``n`` samples at failure probability ``alpha``; ``n0`` are the votes of the first stage, of which
    it takes whole hundreds."""

    n: int
    alpha: float
    n0: int = 100
    bound: Bound = "one_sided"

    def longer(self, counts: Sequence[int]) -> int:
        """How many votes the pilot still needs: 0 where it is over, and all of the first stage at the beginning."""
        drawn = sum(counts)
        following = next((stage for stage in self.stages if stage > drawn), None)
        at_an_end = drawn in self.stages  # what was cut inside a stage goes on to its end
        if following is None or (at_an_end and self.size(counts) <= WORTH_MORE * drawn):
            return 0
        return following - drawn

    def size(self, counts: Sequence[int]) -> int:
        """The sample size that is worth most after these votes; 0 where no certificate is worth its samples."""
        selected = argmax(counts)
        if self.bound == "one_sided":
            return _size(self, counts[selected], sum(counts))
        rival = max((count for index, count in enumerate(counts) if index != selected), default=0)
        return _size(self, counts[selected], sum(counts), rival, len(counts))

    @property
    def stages(self) -> tuple[int, ...]:
        """Votes of the pilot, all in all, after each of its stages."""
        first = PART * math.ceil(self.n0 / PART)
        return tuple(times * first for times in STAGES)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The sizes that are weighed: n, and from there down by 15 % each."""
        steps = int(np.log(max(self.n / PART, 1)) / np.log(STEP))
        parts = np.ceil(self.n / STEP ** np.arange(steps + 1) / PART).astype(np.int64)
        return np.unique((PART * parts).clip(max=self.n))

    @cached_property
    def _price(self) -> float:
        """Radius, in units of sigma, that a sample must buy: less than one of the last does where the pilot lost no vote."""
        if len(self.sizes) == 1:
            return 0.0
        before, all_of_them = self._expected(self.stages[-1], self.stages[-1], 0, 2)[-2:]
        return PRICE * float((all_of_them - before) / (self.sizes[-1] - self.sizes[-2]))

    def _expected(self, k: int, m: int, rival: int, classes: int) -> Floats:
        """The mean radius, in units of sigma, that each size certifies after k of m votes: over the probabilities that
        these leave open, and one deviation of the count above and below. ``rival`` are the votes of the strongest of the
        other ``classes``, which the bound of two classes asks for."""
        p, n = betaincinv(k + 0.5, m - k + 0.5, QUANTILES), self.sizes[:, None].astype(np.float64)
        deviation = np.sqrt(p * (1 - p) / n)
        shares = [np.clip(p + sign * deviation, 0, 1) for sign in (-1, 1)]
        if self.bound == "one_sided":
            bounds = [lower_bounds(share * n, n, self.alpha) for share in shares]
            return np.asarray(ndtri(np.maximum(bounds, 0.5)).mean((0, 2)))
        of_the_rest = min(1.0, (rival + 0.5) / (m - k + 0.5))
        level = (1 - SHARE_OF_THE_TOP) * self.alpha / max(1, classes - 1)
        radii = []
        for share in shares:
            lower = lower_bounds(share * n, n, SHARE_OF_THE_TOP * self.alpha)
            not_the_rival = 1 - of_the_rest * (1 - share)
            upper = np.minimum(1 - lower, 1 - lower_bounds(not_the_rival * n, n, level))
            radii.append(np.maximum(0.0, (ndtri(lower) - ndtri(upper)) / 2))
        return np.asarray(np.nan_to_num(radii).mean((0, 2)))


@lru_cache(maxsize=100_000)
def _size(pilot: Pilot, k: int, m: int, rival: int = 0, classes: int = 2) -> int:
    """The size that is worth most after k of m votes; many inputs have the same ones."""
    worth = pilot._expected(k, m, rival, classes) - pilot._price * pilot.sizes
    best = int(worth.argmax())
    return int(pilot.sizes[best]) if worth[best] > 0 else 0
