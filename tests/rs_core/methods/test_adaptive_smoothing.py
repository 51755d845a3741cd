"""Adaptive Smoothing on real mixes: what its loss comes to in special cases, its attack, and what is learned.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import mannwhitneyu
from tests_support import mixes, trainings
from tests_support.losses import step
from torch import Tensor
from torch.nn import functional as F

from radii.rs_core.attacks import pgd_linf
from radii.rs_core.data.builtin import digits
from radii.rs_core.errors import Mismatch
from radii.rs_core.methods.adaptive_smoothing import _attacked, loss
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.jobs import AdaptiveSmoothing, Selection, TrainSpec
from radii.rs_core.training.loop import train
from radii.rs_core.training.mixed_initialization import shown

FEW: dict[str, Any] = {"extra_clean": 0, "attacked": 1, "steps": 2, "step_count": "fixed"}


@pytest.fixture
def model() -> BaseClassifier:
    mix, _ = mixes.adaptive()
    mix.network.parts.requires_grad_(False)  # type: ignore[union-attr]
    return mix.train()


def _images(count: int = 12) -> tuple[Tensor, Tensor]:
    data = digits()
    return torch.stack([data.image(index) for index in range(count)]), torch.from_numpy(
        data.labels[:count].copy()
    ).long()


class TestLoss:
    def test_with_the_cross_entropy_alone_it_is_that_of_the_mix_at_clean_and_attacked_images(
        self, model: BaseClassifier
    ) -> None:
        x, y = _images()
        hp = AdaptiveSmoothing(**FEW, epsilon=0.0, bce_weight=0, ce_weight=1, product_weight=0)
        found = loss(hp, shown(model), x, y, step(sigma=0.0))
        wanted = F.cross_entropy(model(torch.cat([x, x])), y.repeat(2))
        assert torch.allclose(found.total, wanted)
        assert torch.equal(found.parts["ce"], found.total)

    def test_without_a_scale_for_attacked_copies_it_is_the_loss_of_clean_ones(self, model: BaseClassifier) -> None:
        x, y = _images()
        hp = AdaptiveSmoothing(**FEW, epsilon=0.0, attacked_scale=0.0, bce_weight=1, product_weight=0)
        gamma = model.network.forward_parts(torch.cat([x, x])).gamma  # type: ignore[operator, union-attr]
        wanted = F.softplus(gamma[:12]).sum() / 24  # BCE against s = 0, over as many copies as there are
        assert torch.allclose(loss(hp, shown(model), x, y, step(sigma=0.0)).total, wanted)

    def test_a_noise_level_moves_every_copy_by_a_noise_of_its_own(self, model: BaseClassifier) -> None:
        x, y = _images(3)
        passed: list[Tensor] = []
        view = shown(model)
        view.register_forward_pre_hook(lambda module, given: passed.append(given[0]) if module.training else None)
        loss(AdaptiveSmoothing(extra_clean=1, attacked=2, steps=1, epsilon=0.0), view, x, y, step(sigma=0.5))
        noises = passed[0] - x.repeat(4, 1, 1, 1)
        assert len({tuple(noise.flatten().tolist()) for noise in noises}) == 12
        assert noises.std().item() == pytest.approx(0.5, rel=0.1)

    def test_it_has_gradients_for_the_mixing_network_alone(self, model: BaseClassifier) -> None:
        x, y = _images()
        loss(AdaptiveSmoothing(**FEW), shown(model), x, y, step(sigma=0.0)).total.backward()  # type: ignore[no-untyped-call]
        learned = {name.split(".")[1] for name, weight in model.named_parameters() if weight.grad is not None}
        assert learned == {"mixing"}


class TestAttack:
    def test_it_stays_within_each_images_radius_and_in_the_box(self, model: BaseClassifier) -> None:
        x, y = _images()
        hp = AdaptiveSmoothing(**FEW, epsilon=0.1, epsilon_range=(0.5, 2.0))
        found = _attacked(hp, shown(model), x, y, step(sigma=0.0))
        radii = (found - x).abs().flatten(1).amax(1)
        assert found.min() >= 0 and found.max() <= 1
        assert radii.min() > 0.05 and radii.max() <= 0.2 + 1e-6
        assert radii.std() > 0.01, "each image has a radius of its own"

    @pytest.mark.parametrize(("share", "falls"), [(0.0, "right"), (1.0, "gamma")])
    def test_it_goes_against_the_prediction_or_against_gamma(
        self, model: BaseClassifier, share: float, falls: str
    ) -> None:
        """u is drawn up to ``gamma_share``, so that with 1 the attack goes against gamma on the whole."""
        x, y = _images(40)
        hp = AdaptiveSmoothing(attacked=1, steps=10, epsilon=0.2, gamma_share=share, step_count="fixed")
        model.eval()
        moved = _attacked(hp, shown(model), x, y, step(sigma=0.0))
        with torch.no_grad():
            before, after = (model.network.forward_parts(at) for at in (x, moved))  # type: ignore[operator, union-attr]
        right = (after.log_probs - before.log_probs).gather(1, y[:, None]).mean()
        assert (right if falls == "right" else (after.gamma - before.gamma).mean()) < 0

    def test_pgd_in_the_maximum_norm_reaches_the_corner_of_a_linear_objective(self) -> None:
        x = torch.full((2, 1, 2, 2), 0.5)
        slope = torch.tensor([[[[1.0, -2.0], [3.0, -0.1]]]])
        epsilon = torch.tensor([0.1, 0.7])
        stream = torch.Generator().manual_seed(1)
        found = pgd_linf(lambda at: (at * slope).sum((1, 2, 3)), x, epsilon=epsilon, steps=4, generator=stream)
        assert torch.allclose(found[0], 0.5 + 0.1 * slope[0].sign())
        assert torch.equal(found[1], slope[0].sign().clamp(0, 1)), "no further than [0, 1]"

    def test_images_that_leave_the_box_are_refused(self) -> None:
        with pytest.raises(Mismatch, match=r"expected images in \[0, 1\]"):
            pgd_linf(lambda at: at.sum((1, 2, 3)), torch.full((1, 1, 2, 2), 1.5), epsilon=torch.ones(1), steps=1,
                     generator=torch.Generator())  # fmt: skip

    def test_about_chi_squared_many_steps_are_taken(self) -> None:
        from radii.rs_core.methods.adaptive_smoothing import _steps

        hp = AdaptiveSmoothing(steps=75)
        taken = torch.tensor([float(_steps(hp, step(at=at))) for at in range(400)])
        assert taken.mean().item() == pytest.approx(75, abs=2.5)  # four standard errors
        assert taken.std().item() == pytest.approx(150**0.5, rel=0.15)
        assert _steps(replace(hp, step_count="fixed"), step()) == 75


def test_the_mixing_network_learns_to_tell_attacked_digits_from_clean_ones() -> None:
    """Seeded; AUC of gamma on 200 digits that were not trained on, attacked anew: above 0.6, and near 0.5 before."""
    data = digits()
    classifier = TrainSpec(
        dataset="digits", architecture="digits_cnn", sigma=0.25, epochs=3, batch_size=64, learning_rate=0.05
    )
    parts = [
        trainings.trained(train(replace(classifier, seed=seed, inputs=Selection(count=1200)), data)).model
        for seed in (0, 1)
    ]
    start, _ = mixes.adaptive(parts, widths=(16, 16, 16))
    hp = AdaptiveSmoothing(extra_clean=0, attacked=1, steps=3, epsilon=0.2, epsilon_range=(0.8, 1.1))
    spec = replace(
        trainings.by(hp, classifier),
        sigma=None,
        epochs=5,
        optimizer="adamw",
        learning_rate=3e-3,
        schedule="cosine",
        clip_norm=10.0,
        inputs=Selection(count=1200),
    )
    made = trainings.trained(train(spec, data, start=start)).model
    assert _auc(made, hp) > 0.6
    assert abs(_auc(start, hp) - 0.5) < 0.1


def _auc(model: BaseClassifier, hp: AdaptiveSmoothing) -> float:
    """Of gamma, between digits and the same ones attacked."""
    data = digits()
    x = torch.stack([data.image(index) for index in range(1500, 1700)])
    y = torch.from_numpy(data.labels[1500:1700].copy()).long()
    attacked = _attacked(hp, shown(model), x, y, step(sigma=0.0, seed=9))
    with torch.no_grad():
        clean, moved = (model.network.forward_parts(at).gamma for at in (x, attacked))  # type: ignore[operator, union-attr]
    return float(mannwhitneyu(moved.numpy(), clean.numpy()).statistic / (len(x) * len(x)))
