"""CERTIFY's and PREDICT's decisions, as functions of counts."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, binomtest, multinomial

from radii.rs_core.certify import confidence_sequence
from radii.rs_core.certify.bounds import lower_bound, two_class_radius, upper_bound
from radii.rs_core.certify.certificates import Decision, certify, decide, predict
from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.specs.fields import Bound, Sampling


def certify_two_class(
    counts0: Sequence[int], counts: Sequence[int], *, sigma: float, alpha: float
) -> tuple[int, float, float, float | None]:
    decided = decide(counts0, counts, sigma=sigma, alpha=alpha, bound="two_class")
    return decided.prediction, decided.radius, decided.p_lower, decided.p_upper


def test_radius_is_sigma_times_the_quantile_of_the_bound() -> None:
    prediction, radius, p_lower = certify((10, 90), (1_000, 99_000), sigma=0.5, alpha=0.001)
    exact = binomtest(99_000, 100_000, alternative="greater").proportion_ci(0.999, method="exact").low
    assert prediction == 1
    assert p_lower == pytest.approx(exact, rel=1e-9)
    assert radius == pytest.approx(0.5 * ndtri(exact), rel=1e-9)


def test_class_is_selected_on_the_selection_counts_alone() -> None:
    prediction, radius, p_lower = certify((60, 40), (10, 990), sigma=0.25, alpha=0.001)
    assert (prediction, radius) == (ABSTAIN, 0.0)
    assert p_lower < 0.5


def test_ties_in_the_selection_go_to_the_lowest_class() -> None:
    assert certify((0, 50, 50), (0, 1_000, 0), sigma=0.25, alpha=0.001)[0] == 1


def test_fifty_thousand_four_hundred_and_ninety_votes_of_a_hundred_thousand_are_needed() -> None:
    assert certify((100, 0), (50_489, 49_511), sigma=0.25, alpha=0.001)[0] == ABSTAIN
    assert certify((100, 0), (50_490, 49_510), sigma=0.25, alpha=0.001)[0] == 0


def test_a_bound_of_exactly_one_half_certifies_radius_zero() -> None:
    prediction, radius, p_lower = certify((1, 0), (1, 0), sigma=0.25, alpha=0.5)
    assert (prediction, radius, p_lower) == (0, 0.0, 0.5)


def test_predict_is_a_two_sided_test_between_the_top_two() -> None:
    prediction, p_value = predict((20, 700, 280), alpha=0.001)
    assert prediction == 1
    assert p_value == pytest.approx(binomtest(700, 980, 0.5).pvalue)


def test_predict_abstains_when_the_top_two_are_close() -> None:
    assert predict((500, 480, 20), alpha=0.001)[0] == ABSTAIN


def _certificate(**changes: object) -> Certificate:
    fields = {
        "index": 0,
        "label": 1,
        "prediction": 1,
        "radius": 0.1,
        "p_lower": 0.9,
        "counts0": (0, 10),
        "counts": (0, 10),
    }
    return Certificate(**{**fields, "n0": 10, "n": 10, "sigma": 0.25, "alpha": 0.001, "seed": 0, **changes})  # type: ignore[arg-type]


def test_an_abstention_is_never_correct_even_without_a_known_label() -> None:
    assert not _certificate(prediction=ABSTAIN, label=-1).correct
    assert _certificate().correct


def test_an_input_is_at_the_cap_when_every_sample_agrees() -> None:
    assert _certificate().at_cap
    assert not _certificate(counts=(1, 9)).at_cap


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize(
    "p", [(0.5, 0.3, 0.2), (0.4, 0.35, 0.25), (0.34, 0.33, 0.33), (0.9, 0.05, 0.05), (0.2, 0.5, 0.3)]
)
def test_both_bounds_of_a_two_class_certificate_hold_with_probability_at_least_one_minus_alpha(
    p: tuple[float, ...], alpha: float
) -> None:
    """For whatever class the selection has chosen."""
    for selected in range(3):
        counts0 = [2 * int(index == selected) for index in range(3)]
        wrong, too_large = _two_class_error(certify_two_class, counts0, p, alpha)
        assert wrong <= alpha
        assert too_large <= alpha


def test_bounding_only_the_runner_up_of_the_selection_would_be_seen() -> None:
    """The selection took the class of probability 0.1 for the runner-up, and the rival has 0.4."""

    def unsound(
        counts0: Sequence[int], counts: Sequence[int], *, sigma: float, alpha: float
    ) -> tuple[int, float, float, float]:
        selected, runner_up = sorted(range(3), key=lambda index: -counts0[index])[:2]
        p_lower = lower_bound(counts[selected], sum(counts), 0.9 * alpha)
        p_upper = min(1 - p_lower, upper_bound(counts[runner_up], sum(counts), 0.1 * alpha))
        radius = two_class_radius(p_lower, p_upper, sigma) if p_lower > p_upper else 0.0
        return selected if radius else ABSTAIN, radius, p_lower, p_upper

    wrong, too_large = _two_class_error(unsound, (2, 0, 1), (0.5, 0.4, 0.1), 0.05)
    assert wrong > 5 * 0.05
    assert too_large > 2 * 0.05


def _two_class_error(
    rule: Callable[..., tuple[int, float, float, float | None]],
    counts0: Sequence[int],
    p: Sequence[float],
    alpha: float,
) -> tuple[float, float]:
    """Probability that a bound is wrong, and that a certified radius is too large: summed over all votes of 40 samples
    among three classes, after these votes of the selection."""
    n, selected = 40, int(np.argmax(counts0))
    votes = [(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)]
    rival = max(probability for index, probability in enumerate(p) if index != selected)
    true_radius = (ndtri(p[selected]) - ndtri(rival)) / 2
    wrong, too_large = 0.0, 0.0
    for counts, chance in zip(votes, multinomial(n, p).pmf(votes), strict=True):
        prediction, radius, p_lower, p_upper = rule(counts0, counts, sigma=1.0, alpha=alpha)
        assert p_upper is not None
        wrong += chance * (p_lower > p[selected] or p_upper < rival)
        too_large += chance * (prediction != ABSTAIN and radius > max(true_radius, 0.0))
    return wrong, too_large


@pytest.mark.parametrize("p", [0.5, 0.7, 0.95])
def test_a_fixed_n_errs_with_probability_at_most_alpha_and_choosing_on_the_same_votes_would_be_seen(p: float) -> None:
    """Summed over all votes of 200 samples between two classes, for either class that the selection may have chosen."""
    n, alpha = 200, 0.05
    votes = [(k, n - k) for k in range(n + 1)]
    chances = binom.pmf(np.arange(n + 1), n, p)
    for selected, truth in ((0, p), (1, 1 - p)):
        counts0 = (1 - selected, selected)
        bounds = [certify(counts0, counts, sigma=1.0, alpha=alpha)[2] for counts in votes]
        assert chances[np.array(bounds) > truth].sum() <= alpha
    if p == 0.5:
        chosen_late = [certify(counts, counts, sigma=1.0, alpha=alpha)[2] for counts in votes]
        assert chances[np.array(chosen_late) > p].sum() > 1.5 * alpha


@pytest.mark.parametrize(("p", "multiple"), [((0.6, 0.2), 0.532), ((0.45, 0.1), 0.560)])
def test_two_classes_certify_more_where_the_rest_is_spread(p: tuple[float, float], multiple: float) -> None:
    n, rest = 100_000, 8
    counts = [round(n * p[0]), round(n * p[1])]
    left = n - sum(counts)
    counts += [left // rest + (index < left % rest) for index in range(rest)]
    prediction, radius, p_lower, p_upper = certify_two_class([1] + [0] * 9, counts, sigma=0.5, alpha=0.001)
    assert prediction == 0
    assert radius / 0.5 == pytest.approx(multiple, abs=5e-4)
    assert p_upper < 1 - p_lower
    assert certify([1] + [0] * 9, counts, sigma=0.5, alpha=0.001)[1] < radius


def test_at_the_cap_two_classes_certify_a_hair_less() -> None:
    counts0, counts = [10, 0, 0], [100_000, 0, 0]
    one, two = (rule(counts0, counts, sigma=1.0, alpha=0.001)[1] for rule in (certify, certify_two_class))
    assert 0.99 * one < two < one


def test_two_classes_abstain_where_the_bounds_meet() -> None:
    assert certify_two_class([3, 1], [52, 48], sigma=1.0, alpha=0.001)[:2] == (ABSTAIN, 0.0)


@pytest.mark.parametrize("bound", ["one_sided", "two_class"])
@pytest.mark.parametrize("counts", [([1], [100]), ([], []), ([1, 0], [100]), ([1], [100, 0])])
def test_votes_over_fewer_than_two_classes_decide_nothing(bound: Bound, counts: tuple[list[int], list[int]]) -> None:
    """The two-class radius of a single class would be infinite."""
    with pytest.raises(InvalidResults, match="the same 2 classes or more"):
        decide(*counts, sigma=1.0, alpha=0.001, bound=bound)


@pytest.mark.parametrize("counts", [[], [7]])
def test_a_prediction_needs_two_classes(counts: list[int]) -> None:
    with pytest.raises(InvalidResults, match="the same 2 classes or more"):
        predict(counts, alpha=0.001)


def test_what_the_noise_neglects_is_taken_from_the_bounds() -> None:
    one, less = (decide((10, 0), (990, 10), sigma=0.5, alpha=0.001, neglected=mass) for mass in (0.0, 1e-3))
    assert less.p_lower == one.p_lower - 1e-3
    assert less.radius < one.radius
    two, fewer = (
        decide((10, 0, 0), (600, 200, 200), sigma=0.5, alpha=0.001, bound="two_class", neglected=mass)
        for mass in (0.0, 1e-3)
    )
    assert fewer.p_lower == two.p_lower - 1e-3
    assert fewer.p_upper == pytest.approx(two.p_upper + 1e-3)


def test_without_an_estimation_nothing_is_certified() -> None:
    assert decide((60, 40), (0, 0), sigma=0.5, alpha=0.001) == Decision(prediction=ABSTAIN, radius=0.0, p_lower=0.0)
    assert decide((60, 40), (0, 0), sigma=0.5, alpha=0.001, bound="two_class").prediction == ABSTAIN


@pytest.mark.parametrize("sampling", ["at_radii", "anytime"])
def test_where_sampling_may_stop_early_the_bound_is_that_of_the_bet(sampling: Sampling) -> None:
    decided = decide((100, 0), (1_000, 20), sigma=0.5, alpha=0.001, sampling=sampling)
    assert decided.p_lower == confidence_sequence.lower_bound(1_000, 1_020, 0.001)
    assert decided.radius < decide((100, 0), (1_000, 20), sigma=0.5, alpha=0.001).radius
