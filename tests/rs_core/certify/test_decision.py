"""CERTIFY's and PREDICT's decisions, as functions of counts."""

import pytest
from scipy.special import ndtri
from scipy.stats import binomtest

from rs_core.certify.decision import ABSTAIN, Certificate, certify, predict


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
