"""From class counts to a certificate or a prediction, without torch: Cohen et al. 2019, "Certified Adversarial
Robustness via Randomized Smoothing", arXiv 1902.02918, functions CERTIFY and PREDICT.

A record carries the evidence it rests on, so that its radius can be recomputed by anyone who holds the record. Where
the counts come from (``sampler``) is no concern of this file, except for one condition: the counts that select the
class and the counts that bound it must share no noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from radii.rs_core.certify import confidence_sequence
from radii.rs_core.certify.bounds import lower_bound, radius, two_class_radius, upper_bound
from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import ABSTAIN
from radii.rs_core.specs.fields import Bound, Sampling

SHARE_OF_THE_TOP = 0.9
"""Of alpha, in a two-class bound, for the selected class; the rest is shared by all others."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What votes come to: a class or ``ABSTAIN``, its radius, and the bounds that these rest on."""

    prediction: int
    radius: float
    p_lower: float
    p_upper: float | None = None


def decide(
    counts0: Sequence[int],
    counts: Sequence[int],
    *,
    sigma: float,
    alpha: float,
    sampling: Sampling = "fixed",
    bound: Bound = "one_sided",
    neglected: float = 0.0,
) -> Decision:
    """The decision of any procedure, from its selection and estimation votes per class.

    Where sampling may stop early (``at_radii``, ``anytime``), ``p_lower`` is the betting bound, which holds at every number
    of samples; otherwise that of Clopper and Pearson, whose number was fixed before. ``neglected`` is how much
    the distribution that was sampled may differ from Gaussian noise on any event: it is taken from the bounds.
    """
    check_classes(counts0, counts)
    if bound == "two_class":
        return _two_class(counts0, counts, sigma, alpha, neglected)
    selected, n = argmax(counts0), sum(counts)
    lower = lower_bound if sampling in ("fixed", "pilot") else confidence_sequence.lower_bound
    p_lower = max(0.0, lower(counts[selected], n, alpha) - neglected) if n else 0.0
    if p_lower < 0.5:
        return Decision(prediction=ABSTAIN, radius=0.0, p_lower=p_lower)
    return Decision(prediction=selected, radius=radius(p_lower, sigma), p_lower=p_lower)


def certify(counts0: Sequence[int], counts: Sequence[int], *, sigma: float, alpha: float) -> tuple[int, float, float]:
    """CERTIFY's decision: ``(prediction, radius, p_lower)`` from selection and estimation votes per class.

    The class is the one most voted for in ``counts0`` (ties: lowest index); ``p_lower`` bounds its probability from
    ``counts`` alone. Below 1/2 the answer is ``(ABSTAIN, 0.0, p_lower)``; exactly 1/2 certifies radius 0.
    """
    decided = decide(counts0, counts, sigma=sigma, alpha=alpha)
    return decided.prediction, decided.radius, decided.p_lower


def _two_class(counts0: Sequence[int], counts: Sequence[int], sigma: float, alpha: float, neglected: float) -> Decision:
    """CERTIFY by both classes of theorem 1.

    ``p_lower`` bounds the selected class's probability from below at 0.9 alpha, ``p_upper`` that of every other class from
    above, each at 0.1 alpha / (classes - 1): all hold together with probability at least 1 - alpha. To bound only the
    runner-up that was seen would choose the class on the votes that bound it. Abstains where ``p_lower <= p_upper``.
    """
    selected, n = argmax(counts0), sum(counts)
    if n == 0:
        return Decision(prediction=ABSTAIN, radius=0.0, p_lower=0.0, p_upper=1.0)
    p_lower = max(0.0, lower_bound(counts[selected], n, SHARE_OF_THE_TOP * alpha) - neglected)
    others = [count for index, count in enumerate(counts) if index != selected]
    share = (1 - SHARE_OF_THE_TOP) * alpha / len(others)
    # The bound grows with the count, so that the largest of the others' is that of the largest count.
    p_upper = min(1 - p_lower, upper_bound(max(others), n, share) + neglected)
    if p_lower <= p_upper:
        return Decision(prediction=ABSTAIN, radius=0.0, p_lower=p_lower, p_upper=p_upper)
    found = two_class_radius(p_lower, p_upper, sigma)
    return Decision(prediction=selected, radius=found, p_lower=p_lower, p_upper=p_upper)


def predict(counts: Sequence[int], *, alpha: float) -> tuple[int, float]:
    """PREDICT's decision: ``(prediction, p_value)`` of a two-sided binomial test between the top two classes.

    A p-value above ``alpha`` abstains; with probability at least 1 - alpha the answer is not a wrong class.
    """
    from scipy.stats import binomtest  # on use: a second of every process's start

    check_classes(counts)
    first = argmax(counts)
    runner_up = max((count for index, count in enumerate(counts) if index != first), default=0)
    p_value = float(binomtest(counts[first], counts[first] + runner_up, 0.5).pvalue)
    return (first, p_value) if p_value <= alpha else (ABSTAIN, p_value)


def check_classes(*votes: Sequence[float]) -> None:
    """Raises :class:`InvalidResults` unless all votes are over the same classes, two or more: with one class there is
    nothing to certify, and its bounds would be those of an infinite radius."""
    found = {len(counts) for counts in votes}
    if len(found) > 1 or min(found) < 2:
        shown = " and ".join(str(count) for count in sorted(found))
        raise InvalidResults(
            expected="votes over the same 2 classes or more", got=f"votes over {shown}", where="counts"
        )


def argmax(counts: Sequence[int]) -> int:
    """Index of the largest count; the lowest one where several are equal."""
    return max(range(len(counts)), key=lambda index: (counts[index], -index))
