"""Certificates of Adaptive Smoothing with a constant weight: Bai, Anderson, Kim and Sojoudi 2023, "Improving the
Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing", arXiv 2301.12554, section 4. Numbers only.

The classifier is ``f(x) = argmax_c (1 - w) g_c(x) + w h_c(x)``: ``g`` are a standard classifier's probabilities, of which nothing
is assumed but that they lie in [0, 1]; ``h_c(x) = P(robust(x + noise) = c)`` is the exact smoothed classifier, by hard votes;
``w`` is the weight of the latter (their alpha). Where h has class y at x and no other class more than ``h_2``, f stays y within

    sigma / 2 (Phi^-1(w h_y) - Phi^-1(w h_2 + 1 - w))               by randomized smoothing (their theorem on RS), and
    (w (h_y - h_2) + w - 1) / (2 w L),  L = sqrt(2 / pi) / sigma    by h's Lipschitz constant,

both in l2, and 0 where negative. The first is never smaller where w is at least 1/2, below which neither certifies anything.
With w = 1 it is Cohen et al.'s two-sided radius (2019, arXiv 1902.02918, theorem 1).

Their experiment put raw vote fractions into both, which certifies infinite radii. Here h_y is replaced by a Clopper-Pearson
lower bound and every other h_c by an upper one, which hold together with probability at least 1 - alpha, so that the statements
are about f itself. What is served can only estimate f: a class is answered where the bounds separate it from every other one at
x, and else the answer is an abstention.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from radii.rs_core.certify.bounds import lower_bound, upper_bound
from radii.rs_core.certify.certificates import SHARE_OF_THE_TOP, Decision, check_classes
from radii.rs_core.records import ABSTAIN, Certificate

PUBLISHED_CONSTANT = math.sqrt(2 / math.pi)
"""Lipschitz constant times sigma of a Gaussian-smoothed function with values in [0, 1], as the paper has it."""
TIGHT_CONSTANT = 1 / math.sqrt(2 * math.pi)
"""The least one there is: the slope of Phi at 0."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What of a mix does not depend on noise: the standard classifier's probabilities at the input, per class, and the robust
    one's weight, in [0, 1]."""

    standard: Sequence[float]
    robust_weight: float


def decide_mixed(
    counts0: Sequence[int],
    counts: Sequence[int],
    mix: Mix,
    *,
    sigma: float,
    alpha: float,
    neglected: float = 0.0,
) -> Decision:
    """The mix's class at the input and its radius, from the robust classifier's votes for selection and for estimation.

    The class that is bounded is the mix's by the selection alone: ``p_lower`` bounds its h from below at 0.9 alpha, the others
    are bounded from above at 0.1 alpha / (classes - 1) each, ``p_upper`` being the largest of these. A radius above 0 holds
    whatever the standard classifier says; a class with radius 0 is the mix's at the input itself.
    """
    check_classes(counts0, counts, mix.standard)
    n, weight = sum(counts), mix.robust_weight
    selected = _candidate(counts0, mix)
    if n == 0:
        lower, upper = 0.0, [1.0] * len(counts)
    else:
        lower = max(0.0, lower_bound(counts[selected], n, SHARE_OF_THE_TOP * alpha) - neglected)
        share = (1 - SHARE_OF_THE_TOP) * alpha / (len(counts) - 1)
        upper = [min(1 - lower, upper_bound(count, n, share) + neglected) for count in counts]
    others = [label for label in range(len(counts)) if label != selected]
    p_upper = max((upper[label] for label in others), default=0.0)
    least = (1 - weight) * mix.standard[selected] + weight * lower
    most = max(((1 - weight) * mix.standard[label] + weight * upper[label] for label in others), default=0.0)
    if not least > most:
        return Decision(prediction=ABSTAIN, radius=0.0, p_lower=lower, p_upper=p_upper)
    found = mixed_radius(lower, p_upper, sigma, weight)
    return Decision(prediction=selected, radius=found, p_lower=lower, p_upper=p_upper)


def decided_again(row: Certificate, robust_weight: float | None = None, *, neglected: float = 0.0) -> Decision:
    """What a mix's stored votes come to, with its own weight or with another one: the votes are the robust classifier's,
    whatever weight it has. Each decision holds for itself; the best of several weights, chosen for each input, does not."""
    weight = row.robust_weight if robust_weight is None else robust_weight
    assert weight is not None
    mix = Mix(standard=row.standard, robust_weight=weight)
    return decide_mixed(row.counts0, row.counts, mix, sigma=row.sigma, alpha=row.alpha, neglected=neglected)


def mixed_radius(p_lower: float, p_upper: float, sigma: float, robust_weight: float) -> float:
    """The radius by randomized smoothing, l2, in the units of ``sigma``; 0 where nothing is certified."""
    above, below = robust_weight * p_lower, robust_weight * p_upper + 1 - robust_weight
    if not above > below:
        return 0.0
    return float(sigma / 2 * (ndtri(above) - ndtri(below)))


def lipschitz_radius(
    p_lower: float, p_upper: float, sigma: float, robust_weight: float, constant: float = PUBLISHED_CONSTANT
) -> float:
    """The radius by the Lipschitz constant ``constant / sigma`` of each of h's probabilities, l2, in the units of ``sigma``."""
    margin = robust_weight * (p_lower - p_upper) + robust_weight - 1
    return max(0.0, margin) * sigma / (2 * robust_weight * constant) if robust_weight > 0 else 0.0


def _candidate(counts0: Sequence[int], mix: Mix) -> int:
    """The mix's class where the selection's shares stand for h; the lowest index where several are equal."""
    n0, weight = max(1, sum(counts0)), mix.robust_weight
    scores = [(1 - weight) * g + weight * count / n0 for g, count in zip(mix.standard, counts0, strict=True)]
    return max(range(len(scores)), key=lambda label: (scores[label], -label))
