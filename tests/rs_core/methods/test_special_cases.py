"""What the losses come to in special cases, as the papers say: without their extra terms, with one copy, without attack.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

import pytest
import torch
from tests_support.losses import (
    CLASSES,
    SIGMA,
    assert_near,
    assert_same,
    images,
    implemented,
    labels,
    measure,
    network,
    soft_labels,
    step,
    terms,
)
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.errors import Mismatch
from radii.rs_core.methods.base import Step
from radii.rs_core.methods.registry import loss_function
from radii.rs_core.noise.streams import draw, noisy
from radii.rs_core.specs.jobs import CatRs, Consistency, Gaussian, Macer, Method, SmoothAdv, SmoothMix, Stability
from radii.rs_core.specs.methods import AttackFirst


@pytest.mark.parametrize(
    "hp",
    [
        SmoothAdv(m=1, steps=0),
        SmoothAdv(m=1, steps=3, epsilon=0.0),
        SmoothAdv(m=1, steps=3, epsilon=0.0, attack="ddn"),
        SmoothAdv(m=1, steps=0, attack="ddn"),
        Consistency(m=1, weight=0.0, eta=0.0),
        Consistency(m=1, weight=9.0, form="kl"),
        SmoothMix(m=1, eta=0.0, steps=2),
        CatRs(m=1, weight=0.0, steps=2),
    ],
    ids=repr,
)
def test_one_copy_without_the_extra_term_is_gaussian_training(hp: Method) -> None:
    assert_same(hp, Gaussian())


def test_macer_with_one_copy_and_no_weight_is_gaussian_training_but_for_1e_10_in_its_logarithm() -> None:
    assert_same(Macer(m=1, weight=0.0), Gaussian(), tolerance=1e-6)


def test_stability_without_weight_is_the_cross_entropy_of_the_clean_images() -> None:
    def clean(hp: object, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        return F.cross_entropy(model(x), y)

    assert_near(measure(implemented, Stability(weight=0.0)), measure(clean, None))


@pytest.mark.parametrize(
    "hp",
    [
        Consistency(m=3, weight=0.0, eta=0.0),
        Consistency(m=3, weight=0.0, form="cross_entropy"),
        Consistency(m=3, weight=0.0, form="kl"),
        Consistency(m=3, weight=0.0, form="mse"),
        SmoothAdv(m=3, steps=0),
        SmoothMix(m=3, eta=0.0, steps=2),
        CatRs(m=3, weight=0.0, confidence="soft_labels"),
    ],
    ids=repr,
)
def test_many_copies_without_the_extra_term_are_gaussian_training_on_each(hp: Method) -> None:
    def each_copy(hp: object, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        noises = draw(x, 3, step.sigma, step.generator)
        return sum(F.cross_entropy(model(x + noise), y) for noise in noises) / 3  # type: ignore[return-value]

    certain = F.one_hot(labels(), CLASSES).float()  # with full confidence CAT-RS keeps all copies
    assert_near(measure(implemented, hp, soft=certain), measure(each_copy, None))


def test_without_a_robust_weight_macer_is_the_cross_entropy_of_the_mean_prediction() -> None:
    def of_the_mean(hp: object, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        logits = model(noisy(x, draw(x, 4, step.sigma, step.generator)))
        return F.nll_loss((logits.softmax(1).view(4, -1, CLASSES).mean(0) + 1e-10).log(), y)

    assert_near(measure(implemented, Macer(m=4, weight=0.0)), measure(of_the_mean, None))


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.1), (4, 0.5), (9, 1.0), (20, 1.0)])
def test_a_warm_up_over_ten_epochs_begins_above_zero_and_ends_with_the_tenth(epoch: int, share: float) -> None:
    assert step(epoch=epoch).warmed_up(10) == share
    assert_same(
        SmoothAdv(m=2, steps=2, epsilon=0.8), SmoothAdv(m=2, steps=2, epsilon=0.8 * share, warmup_epochs=1), epoch=epoch
    )
    attack, full = AttackFirst(steps=2, epsilon=0.8), AttackFirst(steps=2, epsilon=0.8 * share, warmup_epochs=1)
    assert_same(Consistency(attack=attack), Consistency(attack=full), epoch=epoch)
    assert_same(SmoothMix(steps=2, eta=4.0), SmoothMix(steps=2, eta=4.0 * share, warmup_epochs=1), epoch=epoch)


@pytest.mark.parametrize(
    ("hp", "weights"),
    [
        (Stability(weight=0.7), {"natural": 1.0, "stability": 0.7}),
        (Macer(m=4, beta=1.0, weight=3.0), {"classification": 1.0, "robustness": 3.0}),
        (Consistency(m=2, weight=7.0, eta=0.2), {"natural": 1.0, "divergence": 7.0, "entropy": 0.2}),
        (Consistency(form="cross_entropy", weight=3.0), {"natural": 1.0, "divergence": 3.0, "entropy": 3.0}),
        (Consistency(form="kl", weight=3.0), {"natural": 1.0, "divergence": 3.0}),
        (Consistency(form="mse", weight=3.0), {"natural": 1.0, "squared_difference": 3.0}),
        (SmoothMix(steps=2, eta=4.0), {"natural": 1.0, "mixup": 2.0}),
        (CatRs(m=3, steps=2, weight=0.6), {"low": 1.0, "high": 0.6, "confident": 0.0}),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
def test_the_named_parts_add_up_to_the_loss_with_their_weights(hp: Method, weights: dict[str, float]) -> None:
    found = terms(hp, epoch=4)
    assert set(found.parts) == set(weights)
    total = sum(weight * found.parts[name].item() for name, weight in weights.items())
    assert found.total.item() == pytest.approx(total, rel=1e-6)


def test_accuracy_is_the_share_of_noisy_copies_that_are_classified_right() -> None:
    with torch.no_grad():
        noises = draw(images(), 3, SIGMA, step().generator)
        right = [network()(images() + noise).argmax(1) == labels() for noise in noises]
    for hp in (Consistency(m=3), Macer(m=3), SmoothAdv(m=3, steps=0), CatRs(m=3, steps=1), SmoothMix(m=3, steps=1)):
        assert terms(hp).accuracy.item() == pytest.approx(torch.stack(right).float().mean().item())


@pytest.mark.parametrize("shift", [-0.01, 0.01])
@pytest.mark.parametrize(
    "hp",
    [
        SmoothAdv(m=2, steps=1),
        SmoothAdv(m=2, steps=1, attack="ddn"),
        Consistency(attack=AttackFirst(steps=1)),
        SmoothMix(steps=1),
        CatRs(m=2, steps=1, masked_attacks="all"),
    ],
    ids=repr,
)
def test_images_outside_the_unit_interval_are_refused_by_every_attack(hp: Method, shift: float) -> None:
    with pytest.raises(Mismatch, match=r"images in \[0, 1\]"):
        loss_function(hp.name)(hp, network(), images() + shift, labels(), step(soft=soft_labels()))
