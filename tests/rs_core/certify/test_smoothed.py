"""SmoothedClassifier as a user of the library meets it."""

import pytest
import torch
from torch import nn

from rs_core.certify.decision import ABSTAIN
from rs_core.certify.smoothed import SmoothedClassifier
from rs_core.errors import InvalidSpec


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_equal_calls_give_equal_counts_and_another_seed_gives_others(model: nn.Module) -> None:
    x = torch.rand(1, 4, 4)
    first, again = (SmoothedClassifier(model, 0.5, 3, seed=1).certify(x, 100, 1_000) for _ in range(2))
    assert first.counts == again.counts
    assert SmoothedClassifier(model, 0.5, 3, seed=2).certify(x, 100, 1_000).counts != first.counts


def test_calls_without_an_index_share_no_noise_and_calls_with_one_repeat_it(model: nn.Module) -> None:
    x, smoothed = torch.rand(1, 4, 4), SmoothedClassifier(model, 0.5, 3)
    assert smoothed.certify(x, 100, 1_000).counts != smoothed.certify(x, 100, 1_000).counts
    assert smoothed.certify(x, 100, 1_000, index=7).counts == smoothed.certify(x, 100, 1_000, index=7).counts


def test_a_classifier_that_never_changes_its_mind_reaches_the_cap() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(3)[1].expand(len(x), 3)

    certificate = SmoothedClassifier(Constant(), 0.25, 3).certify(torch.rand(1, 4, 4), 100, 10_000, 0.001)
    assert certificate.at_cap
    assert certificate.radius == pytest.approx(3.199 * 0.25, abs=2e-4)
    assert SmoothedClassifier(Constant(), 0.25, 3).predict(torch.rand(1, 4, 4)).prediction == 1


def test_a_classifier_that_tosses_a_coin_abstains() -> None:
    class Coin(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.flatten(1)[:, 0], -x.flatten(1)[:, 0]], dim=1)

    smoothed = SmoothedClassifier(Coin(), 0.25, 2)
    # False alarm at most 0.001 each, and the seed is fixed.
    assert smoothed.certify(torch.zeros(1, 4, 4), 100, 1_000).prediction == ABSTAIN
    assert smoothed.predict(torch.zeros(1, 4, 4)).prediction == ABSTAIN


@pytest.mark.parametrize("sigma", [0.0, -0.5, float("nan")])
def test_a_noise_level_that_is_not_above_zero_is_refused(model: nn.Module, sigma: float) -> None:
    with pytest.raises(InvalidSpec, match=f"above 0, got {sigma}"):
        SmoothedClassifier(model, sigma, 3)


def test_impossible_requests_say_what_was_expected(model: nn.Module) -> None:
    smoothed = SmoothedClassifier(model, 0.25, 3)
    with pytest.raises(InvalidSpec, match=r"\(0, 0\.5\], got 1"):
        smoothed.certify(torch.rand(1, 4, 4), alpha=1)
    with pytest.raises(InvalidSpec, match=r"n0\): expected at least 1 noise sample, got 0"):
        smoothed.certify(torch.rand(1, 4, 4), n0=0)
    with pytest.raises(InvalidSpec, match=r"\(C, H, W\), got torch.uint8 \(4, 4\)"):
        smoothed.predict(torch.zeros(4, 4, dtype=torch.uint8))
