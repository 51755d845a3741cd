"""CAT-RS in special cases: masks, the noise that the attack leaves behind, and no step.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

import pytest
import torch
from tests_support.losses import (
    CLASSES,
    SIGMA,
    Recorded,
    apart,
    assert_same,
    images,
    implemented,
    labels,
    measure,
    network,
    step,
    terms,
)
from torch import Tensor
from torch.nn import functional as F

from radii.rs_core.errors import Mismatch
from radii.rs_core.methods.base import Step
from radii.rs_core.methods.registry import loss_function
from radii.rs_core.noise.streams import draw, noisy
from radii.rs_core.specs.jobs import CatRs


def test_skipping_masked_attacks_changes_nothing_without_batch_normalisation() -> None:
    every = CatRs(m=3, steps=2, masked_attacks="all")
    assert_same(CatRs(m=3, steps=2, masked_attacks="skip"), every)
    assert_same(CatRs(m=3, steps=2), every)


def test_auto_attacks_every_image_under_batch_normalisation() -> None:
    every, skip = (CatRs(m=3, steps=2, masked_attacks=masked) for masked in ("all", "skip"))  # type: ignore[arg-type]
    assert_same(CatRs(m=3, steps=2), every, batch_norm=True)
    auto, skipped = (measure(implemented, hp, batch_norm=True) for hp in (CatRs(m=3, steps=2), skip))
    assert apart(auto, skipped)[1] > 1e-4, "the copies of masked images enter the batch's statistics"


def _always_wrong() -> Tensor:
    """For each image, a class that none of its noisy copies is taken for."""
    with torch.no_grad():
        answers = network()(noisy(images(), draw(images(), 3, SIGMA, step().generator))).argmax(1).view(3, -1)
    return torch.tensor([next(c for c in range(CLASSES) if c not in seen) for seen in answers.T.tolist()])


def test_where_no_image_is_confident_nothing_is_attacked() -> None:
    model = Recorded(network())
    terms(CatRs(m=3, steps=2), model=model, y=_always_wrong())
    assert all(training for training, _ in model.passes)
    model = Recorded(network())
    terms(CatRs(m=3, steps=2, masked_attacks="all"), model=model, y=_always_wrong())
    assert [training for training, _ in model.passes].count(False) == 2


def test_an_image_without_a_right_copy_still_keeps_its_lowest_cross_entropy() -> None:
    y = _always_wrong()
    with torch.no_grad():
        logits = network()(noisy(images(), draw(images(), 3, SIGMA, step().generator)))
        lowest = F.cross_entropy(logits, y.repeat(3), reduction="none").view(3, -1).amin(0) / 3
    assert terms(CatRs(m=3, steps=2), y=y).total.item() == pytest.approx(lowest.mean().item(), rel=1e-12)


def test_the_attack_leaves_each_noise_its_mean_and_nearly_its_root_mean_square() -> None:
    epsilon = 1.0
    model = Recorded(network())
    terms(CatRs(m=3, steps=3, epsilon=epsilon, masked_attacks="all"), model=model)
    before, after = (shown.view(3, 5, -1) - images().view(5, -1) for shown in model.learned())
    assert torch.allclose(after.mean(2), before.mean(2), atol=1e-12)
    moved = (after - before).norm(dim=2)
    assert (moved > 0.3 * epsilon).all() and (moved < 1.1 * epsilon).all(), "the last scaling follows the projection"
    # The mean is taken off before scaling by the mean square about zero, so this much of it is lost, and no more.
    square = before.square().mean(2)
    lost = (before.mean(2).abs() + epsilon / 72**0.5).square() / square
    assert ((after.square().mean(2) / square - 1).abs() <= lost).all()


def test_noisy_copies_may_leave_the_unit_interval() -> None:
    model = Recorded(network())
    terms(CatRs(m=3, steps=2, masked_attacks="all"), model=model)
    for shown in model.learned():
        assert shown.min() < 0 and shown.max() > 1


def test_a_class_without_votes_adds_nothing_to_the_divergence_and_stays_finite_the_other_way_round() -> None:
    certain = F.one_hot(labels(), CLASSES).float()
    for kl in ("labels_first", "prediction_first"):
        hp = CatRs(m=3, steps=2, kl=kl, confidence="soft_labels")  # type: ignore[arg-type]
        got = measure(implemented, hp, soft=certain)
        assert torch.isfinite(got.gradient).all() and got.loss < 1e3
    worst = terms(CatRs(m=1, steps=0, confidence="soft_labels"), soft=certain)
    assert worst.parts["high"].item() == pytest.approx(worst.parts["low"].item(), rel=1e-6), "the cross-entropy"


def test_without_a_step_the_worst_noise_is_the_worst_of_those_drawn() -> None:
    """T = 0 with several copies: the second term is the largest divergence at the noises themselves."""
    certain = F.one_hot(labels(), CLASSES).float()
    hp = CatRs(m=3, steps=0, confidence="soft_labels", weight=2.0)
    found = terms(hp, soft=certain)
    with torch.no_grad():
        noises = draw(images(), 3, SIGMA, step().generator)
        at_each = torch.stack([F.cross_entropy(network()(images() + d), labels(), reduction="none") for d in noises])
    worst = at_each.amax(0).mean().item()  # against certain labels the divergence is the cross-entropy
    assert found.parts["high"].item() == pytest.approx(worst, rel=1e-9)
    assert found.total.item() == pytest.approx(at_each.mean().item() + 2.0 * worst, rel=1e-9)


def test_epsilon_doubles_from_its_epoch_on() -> None:
    doubling, small, large = CatRs(m=3, steps=2, epsilon=0.4, epsilon_doubles_at=80), 0.4, 0.8
    for epoch, epsilon in ((79, small), (80, large), (81, large)):
        assert_same(doubling, CatRs(m=3, steps=2, epsilon=epsilon), epoch=epoch)


def test_cat_rs_says_that_it_needs_soft_labels() -> None:
    where = Step(sigma=SIGMA, epoch=0, epochs=1, first_drop=1, step=0, generator=torch.Generator())
    with pytest.raises(Mismatch, match="soft labels"):
        loss_function("cat_rs")(CatRs(), network(), images(), labels(), where)
