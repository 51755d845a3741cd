"""Comparisons of the authors' released results: differences are those of the published figures, and published figures stand
where the curves are.

CIFAR-10, ResNet-110, n0 = 100, n = 100,000, alpha = 0.001, all 10,000 test inputs; as in ``test_released_logs``.
"""

import os
from pathlib import Path

import pytest

from radii.rs_core.comparisons.alignment import Run, run_of
from radii.rs_core.comparisons.compare import Comparison, compare
from radii.rs_core.literature.published_results import published
from radii.rs_core.results.tsv import read_tsv

POINTS = 0.051
"""Half of the last printed digit, in percentage points, and a little."""
NAMES = {
    "cohen": "gaussian",
    "stab": "stability",
    "salman": "smoothadv",
    "macer": "macer",
    "consistency": "consistency",
    "smoothmix": "smoothmix",
    "cat-rs": "cat_rs",
}
"""Published names of the logs."""


def run(sigma: float, method: str) -> Run:
    reference = os.environ.get("RADII_TEST_REFERENCE")
    if not reference:
        pytest.skip("RADII_TEST_REFERENCE names no folder with certify-logs")
    path = Path(reference) / "certify-logs" / "cifar10" / f"sigma_{sigma}" / f"{method}.tsv"
    return run_of(method, read_tsv(path, sigma=sigma, n0=100, n=100_000, alpha=0.001))


def published_name(sigma: float, method: str) -> str:
    """The log of SmoothMix at 0.5 is of another run than the row that was printed."""
    other = (sigma, method) == (0.5, "smoothmix")
    return f"cifar10/{'smoothmix-one-step-log' if other else NAMES[method]}/{sigma}"


@pytest.fixture(scope="module")
def quarter() -> Comparison:
    return compare([run(0.25, method) for method in NAMES], radii=(0.0, 0.25, 0.5, 0.75), resamples=1_000)


@pytest.mark.parametrize(("sigma", "method"), [(sigma, method) for sigma in (0.25, 0.5) for method in NAMES])
def test_every_released_log_gives_its_published_result(sigma: float, method: str) -> None:
    printed = published(published_name(sigma, method))
    (line,) = compare([run(sigma, method)], published=[printed]).runs
    assert line.own.inputs == printed.inputs == 10_000
    assert f"{line.own.acr:.3f}" == f"{printed.acr:.3f}"
    compared = 0
    for point in line.own.certified_accuracy:
        percent = printed.percent_at(point.radius)
        if percent is not None:
            assert abs(100 * point.certified_accuracy - percent) <= POINTS
            compared += 1
    assert compared == len(printed.certified_accuracy)


def test_cat_rs_beats_gaussian_augmentation_by_the_published_difference(quarter: Comparison) -> None:
    pair = next(pair for pair in quarter.pairs if pair.run == "cat-rs")
    assert pair.baseline == "cohen"
    assert pair.acr is not None and pair.acr.low is not None and pair.acr.high is not None
    assert abs(pair.acr.difference - (0.562 - 0.424)) < 0.001, "each ACR is printed with three decimals"
    assert 0.13 < pair.acr.low < pair.acr.difference < pair.acr.high < 0.145
    printed = [published(f"cifar10/{name}/0.25") for name in ("cat_rs", "gaussian")]
    for test in pair.tests[1:]:
        ours, theirs = (one.percent_at(test.radius) or 0.0 for one in printed)
        assert abs(100 * test.difference - (ours - theirs)) <= 2 * POINTS
        assert test.p_holm < 1e-40


def test_at_radius_0_cat_rs_is_not_told_from_gaussian_augmentation(quarter: Comparison) -> None:
    """76.3 and 76.6 % of 10,000 inputs: what a table of one decimal makes look like a difference."""
    pair = next(pair for pair in quarter.pairs if pair.run == "cat-rs")
    assert pair.tests[0].radius == 0.0
    assert pair.tests[0].p_value > 0.05


def test_tests_of_six_runs_against_one_are_counted_together(quarter: Comparison) -> None:
    assert (quarter.shared, quarter.tests) == (10_000, 6 * 4)
