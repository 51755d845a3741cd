"""Confidence bounds on a binomial proportion, and what they allow at best: numbers only, no counts, no classes.

Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26(4). Used one-sided for the certificate (Cohen et al. 2019, arXiv 1902.02918, section 3.2.2) and two-sided
for shares over a test set. How votes become a certificate is told in ``certificates``.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri


@lru_cache(maxsize=4_096)
def lower_bound(k: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson lower bound: with probability at least 1 - alpha it does not exceed p.

    ``k`` successes in ``n`` independent trials; the bound is ``Beta(k, n - k + 1)``'s alpha quantile, 0 at ``k = 0``
    and ``alpha ** (1/n)`` at ``k = n``.
    """
    _check(k, n)
    if k == 0:
        return 0.0
    if k == n:
        return float(alpha ** (1 / n))
    return float(betaincinv(k, n - k + 1, alpha))


def lower_bounds(k: ArrayLike, n: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """:func:`lower_bound` of each pair, for counts that need not be whole: what a size would come to on average."""
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    inner = betaincinv(np.maximum(k, 1e-9), n - np.minimum(k, n) + 1, alpha)
    return np.where(k <= 0, 0.0, np.where(k >= n, alpha ** (1 / n), inner))


def upper_bound(k: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson upper bound: with probability at least 1 - alpha it is not below p."""
    return 1.0 - lower_bound(n - k, n, alpha)


def interval(k: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided Clopper-Pearson interval for a proportion of which ``k`` of ``n`` were seen; effective numbers, which need not
    be whole, among them."""
    # Imported on use: pandas comes with it, and a second of every process's start.
    from statsmodels.stats.proportion import proportion_confint

    _check(k, n)
    low, high = proportion_confint(k, n, alpha=1 - confidence, method="beta")
    return float(low), float(high)


def radius(p_lower: float, sigma: float) -> float:
    """Certified l2 radius ``sigma * Phi^-1(p_lower)`` in the units of ``sigma`` (Cohen et al. 2019, theorem 1)."""
    return float(sigma * ndtri(p_lower))


def two_class_radius(p_lower: float, p_upper: float, sigma: float) -> float:
    """Certified l2 radius ``sigma / 2 * (Phi^-1(p_lower) - Phi^-1(p_upper))`` in the units of ``sigma``, of a class that
    has at least ``p_lower`` where no other has more than ``p_upper`` (Cohen et al. 2019, theorem 1)."""
    return float(sigma / 2 * (ndtri(p_lower) - ndtri(p_upper)))


def max_radius(n: int, alpha: float, sigma: float) -> float:
    """The cap: the radius of an input on whose class all ``n`` noise samples agree (3.8115 sigma at 1e5, 0.001)."""
    return radius(lower_bound(n, n, alpha), sigma)


def _check(k: float, n: float) -> None:
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"expected 0 <= k <= n and n >= 1, got k = {k} and n = {n}")
