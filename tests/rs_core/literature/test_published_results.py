"""Published results: facts by name, equal to those that presets carry, with what is disputed beside them."""

import subprocess
import sys

import pytest

from radii.rs_core.errors import UnknownPublication
from radii.rs_core.literature import presets, published_results
from radii.rs_core.literature.published_results import Published
from radii.rs_core.models.registry import ARCHITECTURES

SAME_ROW = {f"cifar10/gaussian-cohen/{sigma}": f"cifar10/gaussian/{sigma}" for sigma in (0.25, 0.5, 1.0)}
"""Presets of the training whose checkpoints were certified for the row of another name."""


def accuracies(name: str) -> dict[float, float]:
    return {share.radius: share.percent for share in published_results.published(name).certified_accuracy}


@pytest.mark.parametrize("name", published_results.names())
def test_every_result_is_whole(name: str) -> None:
    found = published_results.published(name)
    assert found.name == name
    sigma = name.split("/")[2]
    assert (sigma == "any" and found.sigma is None) or float(sigma) == found.sigma
    assert found.architecture in ARCHITECTURES
    assert found.acr is not None or found.certified_accuracy
    percents = [share.percent for share in found.certified_accuracy]
    assert percents == sorted(percents, reverse=True), "certified accuracy cannot grow with the radius"
    assert all(0 <= percent <= 100 for percent in percents)


def bounds(found: Published) -> tuple[float, float]:
    """What ACR can be at certified accuracies that are known at some radii, up to a radius beyond which it is 0."""
    assert found.sigma is not None
    cap = 3.9105 * found.sigma  # of the logs with the loosest alpha
    radii = [share.radius for share in found.certified_accuracy]
    shares = [share.percent / 100 for share in found.certified_accuracy]
    gaps = [right - left for left, right in zip(radii, [*radii[1:], cap], strict=True)]
    low = sum(gap * share for gap, share in zip(gaps, [*shares[1:], 0.0], strict=True))
    return low, sum(gap * share for gap, share in zip(gaps, shares, strict=True))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in published_results.names()
        if len(accuracies(name)) > 1 and published_results.published(name).acr is not None
    ],
)
def test_acr_lies_between_the_sums_under_and_over_the_curve(name: str) -> None:
    """ACR is the area under the curve: a digit that was copied wrongly would often not fit the others. Printed accuracies
    are half a unit of their last digit away from the truth, or a whole one where they were truncated."""
    found = published_results.published(name)
    low, high = bounds(found)
    slack = 0.01 * 3.9105 * (found.sigma or 0.0) if found.inputs == 500 else 0.0005 * 3.9105 * (found.sigma or 0.0)
    assert found.acr is not None
    assert low - slack - 0.0005 <= found.acr <= high + slack + 0.0005


@pytest.mark.parametrize("name", [name for name in presets.names() if presets.preset(name).published is not None])
def test_the_acr_of_a_preset_is_the_published_one(name: str) -> None:
    assert presets.preset(name).published == published_results.published(SAME_ROW.get(name, name)).acr


# Copied by hand from the tables that were printed.
ROWS = [
    ("cifar10/cat_rs/0.25", 0.562, {0.0: 76.3, 0.25: 68.1, 0.5: 58.8, 0.75: 48.2}),
    ("cifar10/stability-slides/0.25", 0.421, {0.0: 72.3, 0.25: 58.0, 0.5: 43.3, 0.75: 27.3}),
    ("cifar10/smoothadv/1.0", 0.790, {0.0: 43.7, 1.0: 30.5, 2.5: 13.4}),
    ("cifar10c/cat_rs/0.25", 0.475, {0.0: 70.1}),
    ("cifar100/cat_rs/0.5", 0.368, {}),
    ("fmnist/cat_rs/1.0", 1.607, {}),
    ("mnist/smoothmix-one-step-eta5/1.0", 1.821, {}),
    ("imagenet/cat_rs/1.0", 1.071, {0.0: 44.0, 0.5: 38.0, 3.5: 17.0}),
    ("imagenet/smoothadv-best/any", None, {0.5: 56.0, 3.5: 16.0}),
    ("cifar10/gaussian-best/any", None, {0.25: 60.0, 2.25: 8.0}),
]


@pytest.mark.parametrize(("name", "acr", "some"), ROWS)
def test_figures_are_the_printed_ones(name: str, acr: float | None, some: dict[float, float]) -> None:
    assert published_results.published(name).acr == acr
    assert some.items() <= accuracies(name).items()
    assert bool(some) == bool(accuracies(name))


NOTES = [
    ("imagenet/consistency/0.5", "truncated, not rounded"),
    ("imagenet/smoothadv/1.0", "the CAT-RS poster 1.003"),
    ("imagenet/smoothadv-poster/1.0", "the SmoothMix slides print 1.040"),
    ("imagenet/cat_rs/1.0", "caption says sigma = 0.5"),
    ("imagenet/gaussian-cohen/1.0", "alpha = 0.01"),
    ("cifar10/smoothmix/0.5", "gives 0.712"),
    ("cifar10/gaussian/1.0", "garbled"),
    ("cifar10/stability/0.5", "print 0.521"),
    ("cifar10/macer-original/0.25", "0.531 there"),
    ("cifar100/stability/0.5", "failed"),
    ("mnist/cat_rs/0.5", "of one run"),
    ("cifar10c/macer/0.25", "15 corruptions"),
]


@pytest.mark.parametrize(("name", "words"), NOTES)
def test_what_is_disputed_truncated_or_of_another_run_says_so(name: str, words: str) -> None:
    assert words in (published_results.published(name).note or "")


def test_inputs_are_those_that_were_certified() -> None:
    inputs = {name: published_results.published(name).inputs for name in published_results.names()}
    assert (inputs["cifar10/macer/0.5"], inputs["cifar10/macer-original/0.5"]) == (10_000, 500)
    assert (inputs["imagenet/cat_rs/1.0"], inputs["cifar10c/cat_rs/0.25"]) == (500, 7_500)
    assert inputs["cifar10/smoothadv-best/any"] is None


def test_accuracy_is_asked_for_by_radius() -> None:
    found = published_results.published("cifar10/cat_rs/0.25")
    assert (found.percent_at(0.5), found.percent_at(0.3)) == (58.8, None)


class TestNames:
    def test_a_name_begins_with_whole_parts(self) -> None:
        of_cifar10 = {found.name.split("/")[0] for found in published_results.beginning("cifar10")}
        assert of_cifar10 == {"cifar10"}, "and not cifar100 or cifar10c"
        assert [found.sigma for found in published_results.beginning("cifar10/smoothmix/")] == [0.25, 0.5, 1.0]
        assert [found.name for found in published_results.beginning("cifar10/cat_rs/0.5")] == ["cifar10/cat_rs/0.5"]
        assert (
            len(published_results.beginning(None))
            == len(published_results.names())
            == len(set(published_results.names()))
        )

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("svhn/macer/0.25", "a data set out of mnist, fmnist, cifar10, cifar10c, cifar100, imagenet"),
            ("cifar10/trades/0.5", "a method out of gaussian, stability"),
            ("cifar10/smoothmix/0.3", "one of cifar10/smoothmix/0.25, cifar10/smoothmix/0.5"),
            ("x" * 10_000, "..."),
            ("", "a data set out of"),
        ],
    )
    def test_an_unknown_name_tells_what_there_is_instead(self, name: str, words: str) -> None:
        for ask in (published_results.published, published_results.beginning):
            with pytest.raises(UnknownPublication, match="published result") as caught:
                ask(name)
            assert words in str(caught.value) and len(str(caught.value)) < 700

    def test_the_nearest_names_are_the_similar_ones(self) -> None:
        assert published_results.nearest("cifar10/cat-rs/0.25")[0] == "cifar10/cat_rs/0.25"


def test_published_results_need_no_torch() -> None:
    code = "import sys, radii.rs_core.literature.published_results; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
