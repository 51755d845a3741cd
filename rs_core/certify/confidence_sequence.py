"""Bounds on a proportion that hold at every sample size at once, so that sampling may stop at any moment: numbers only.

A bet against the value p of the proportion, spread over all its other values by Jeffreys' prior (the mixture of
Krichevsky & Trofimov 1981), has won Q / P(p) after N trials with A successes:

    log Q    = log B(A + 1/2, N - A + 1/2) - log B(1/2, 1/2)
    log P(p) = A log p + (N - A) log(1 - p)

Where p is the truth, the fortune is a martingale that begins at 1, so that by Ville's inequality (1939) it ever reaches
1 / alpha with probability at most alpha. The values of p that have not been bet away are a confidence sequence
(Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", arXiv 2010.09686, for the general
theory); one sequence covers every p, so that any number of radii share one alpha.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, expit, log_expit, logit, ndtr

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def log_evidence(successes: ArrayLike, trials: ArrayLike, p: ArrayLike) -> Floats:
    """Logarithm of the fortune of the bet against ``p``: log Q - log P(p), element by element; 0 < p < 1."""
    a, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    mixture = betaln(a + 0.5, n - a + 0.5) - betaln(0.5, 0.5)
    return np.asarray(mixture - (a * np.log(p) + (n - a) * np.log1p(-np.asarray(p))))


def lower_bound(k: int, n: int, alpha: float) -> float:
    """The smallest p up to k/n that is not bet away: with probability at least 1 - alpha it never exceeds the truth,
    whenever one looks. 0 where nothing is known (``n = 0`` or ``k = 0``)."""
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, got k = {k} and n = {n}")
    if k == 0:
        return 0.0
    least = float(betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5) + np.log(alpha))  # of log P(p), to stay

    def above(u: float) -> float:
        return float(k * log_expit(u) + (n - k) * log_expit(-u)) - least

    if k == n:
        return float(np.exp(least / n))
    from scipy.optimize import brentq  # on use, for the start of processes

    # In the logit, p near 0 and near 1 are told apart equally well. log P rises up to k/n, where it is above ``least``.
    high = float(logit(k / n))
    low = high - 1.0
    while above(low) >= 0:
        low -= 2 * (high - low)
    return float(expit(brentq(above, low, high, xtol=1e-13, rtol=1e-14)))


class Thresholds:
    """Which counts settle whether the proportion exceeds each of some values, for each number of trials that is looked at.

    With ``accept[r, t]`` successes or more after ``looks[t]`` trials the proportion exceeds ``values[r]``, with
    ``reject[r, t]`` or fewer it does not: each at any look with probability of error at most alpha. A count between the
    two settles nothing. ``accept`` is ``looks + 1`` and ``reject`` -1 where no count settles it.
    """

    def __init__(self, values: ArrayLike, looks: ArrayLike, alpha: float) -> None:
        self.values = np.atleast_1d(np.asarray(values, dtype=np.float64))
        self.looks = np.atleast_1d(np.asarray(looks, dtype=np.int64))
        needed = float(np.log(1 / alpha))
        p, n = self.values[:, None], np.broadcast_to(self.looks, (len(self.values), len(self.looks)))
        expected = p * n
        self.accept = _first(lambda a: log_evidence(a, n, p) >= needed, np.floor(expected).astype(np.int64), n)
        self.reject = n - _first(
            lambda b: log_evidence(n - b, n, p) >= needed, np.floor(n - expected).astype(np.int64), n
        )

    def settled(self, successes: ArrayLike, look: ArrayLike) -> NDArray[np.int8]:
        """1 where the proportion exceeds the value, -1 where it does not, 0 where that is open: (values, inputs) of
        successes (inputs,) at the looks of these numbers (inputs,)."""
        a, at = np.asarray(successes), np.asarray(look)
        return (a >= self.accept[:, at]).astype(np.int8) - (a <= self.reject[:, at]).astype(np.int8)


def probability(radius: ArrayLike, sigma: float) -> Floats:
    """The probability of its class from which on an input is certified at ``radius``: Phi(r / sigma)."""
    return np.asarray(ndtr(np.asarray(radius, dtype=np.float64) / sigma))


def _first(holds: Callable[[Integers], NDArray[np.bool_]], below: Integers, above: Integers) -> Integers:
    """The least whole number in (below, above] from which on a monotone condition holds, above + 1 where it never does."""
    low, high = below.copy(), above.copy() + 1  # it does not hold at low, and is taken to hold at high
    while bool((high - low > 1).any()):
        middle = (low + high) // 2
        held = holds(np.minimum(middle, above)) & (middle <= above)
        high = np.where(held & (high - low > 1), middle, high)
        low = np.where(~held & (high - low > 1), middle, low)
    return high
