"""What the losses come to in special cases, as the papers say: without their extra terms, with one copy, without attack.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

from typing import Any

import pytest
import torch
from tests_support.losses import (
    CLASSES,
    FIRST_DROP,
    SIGMA,
    Measured,
    apart,
    images,
    implemented,
    labels,
    measure,
    network,
    soft_labels,
    step,
)
from torch import Tensor, nn
from torch.nn import functional as F

from rs_core.errors import Mismatch
from rs_core.method_spec import AttackFirst
from rs_core.methods.table import loss_function
from rs_core.methods.terms import Step, Terms
from rs_core.noise import draw, noisy
from rs_core.spec import CatRs, Consistency, Gaussian, Macer, Method, SmoothAdv, SmoothMix, Stability


def _same(first: Method, second: Method, tolerance: float = 1e-12, **where: Any) -> None:
    _near(measure(implemented, first, **where), measure(implemented, second, **where), tolerance)


def _near(got: Measured, wanted: Measured, tolerance: float = 1e-12) -> None:
    loss, gradient = apart(got, wanted)
    assert loss < tolerance
    assert gradient < tolerance


def _terms(hp: Method, *, model: nn.Module | None = None, y: Tensor | None = None, **where: Any) -> Terms:
    model = network() if model is None else model
    return loss_function(hp.name)(hp, model, images(), labels() if y is None else y, step(**where))


class Recorded(nn.Module):
    """A network that keeps the images it is shown, each pass with the mode it was in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passes: list[tuple[bool, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append((self.training, x.detach().clone()))
        return self.network(x)  # type: ignore[no-any-return]

    def learned(self) -> list[Tensor]:
        """What the training-mode passes were shown."""
        return [x for training, x in self.passes if training]


# Without the extra term


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
    _same(hp, Gaussian())


def test_macer_with_one_copy_and_no_weight_is_gaussian_training_but_for_1e_10_in_its_logarithm() -> None:
    _same(Macer(m=1, weight=0.0), Gaussian(), tolerance=1e-6)


def test_stability_without_weight_is_the_cross_entropy_of_the_clean_images() -> None:
    def clean(hp: object, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        return F.cross_entropy(model(x), y)

    _near(measure(implemented, Stability(weight=0.0)), measure(clean, None))


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
    _near(measure(implemented, hp, soft=certain), measure(each_copy, None))


def test_without_a_robust_weight_macer_is_the_cross_entropy_of_the_mean_prediction() -> None:
    def of_the_mean(hp: object, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        logits = model(noisy(x, draw(x, 4, step.sigma, step.generator)))
        return F.nll_loss((logits.softmax(1).view(4, -1, CLASSES).mean(0) + 1e-10).log(), y)

    _near(measure(implemented, Macer(m=4, weight=0.0)), measure(of_the_mean, None))


# Consistency


def test_the_cross_entropy_form_is_the_published_one_with_eta_at_the_weight() -> None:
    _same(Consistency(m=3, weight=3.0, form="cross_entropy"), Consistency(m=3, weight=3.0, eta=3.0))


def test_the_kl_form_is_the_published_one_without_entropy() -> None:
    _same(Consistency(m=3, form="kl"), Consistency(m=3, eta=0.0))


def test_mse_compares_the_first_two_copies_alone() -> None:
    two = _terms(Consistency(m=2, form="mse"))
    assert _terms(Consistency(m=4, form="mse")).parts["squared_difference"] == two.parts["squared_difference"]


@pytest.mark.parametrize("attack", [AttackFirst(steps=0), AttackFirst(steps=3, epsilon=0.0)], ids=repr)
def test_an_attack_that_cannot_move_is_none(attack: AttackFirst) -> None:
    _same(Consistency(m=2, attack=attack), Consistency(m=2))


@pytest.mark.parametrize("form", ["kl_entropy", "cross_entropy", "kl", "mse"])
def test_a_prediction_that_underflows_to_zero_has_a_finite_gradient(form: Any) -> None:
    model = _constant([300.0, 0.0, -5.0, 0.0, 0.0]).float()
    single = measure(implemented, Consistency(form=form), model=model, x=images(dtype=torch.float32))
    assert torch.isfinite(single.gradient).all()


# MACER


def test_before_the_first_drop_deferred_macer_only_classifies() -> None:
    deferred, classifies = Macer(m=4, deferred=True), Macer(m=4, weight=0.0)
    _same(deferred, classifies, epoch=0)
    _same(deferred, classifies, epoch=FIRST_DROP - 1)
    _same(deferred, Macer(m=4), epoch=FIRST_DROP)
    assert _terms(deferred, epoch=FIRST_DROP).total > _terms(deferred, epoch=0).parts["classification"]


class Offset(nn.Module):
    """Logits that are weights, the image only adding a little to the first: every copy has the same prediction."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1) + 1e-3 * F.one_hot(torch.tensor(0), CLASSES) * x.mean((1, 2, 3))[:, None]


def _constant(logits: list[float]) -> Offset:
    return Offset(logits).train()


@pytest.mark.parametrize(
    ("logits", "label"),
    [([40.0, 0.0, 0.0, 0.0, 0.0], 0), ([0.0, 1.0, 0.0, 0.0, 0.0], 0), ([9.0, 0.0, 0.0, 0.0, 0.0], 1)],
    ids=["p1 rounds to 1", "misclassified", "both"],
)
def test_where_macer_keeps_no_image_the_robustness_loss_and_its_gradient_are_zero(
    logits: list[float], label: int
) -> None:
    y, x = torch.full((5,), label), images(dtype=torch.float32)
    model = _constant(logits).float()
    terms = loss_function("macer")(Macer(m=2), model, x, y, step())
    assert terms.parts["robustness"] == 0
    got = measure(implemented, Macer(m=2), model=_constant(logits).float(), x=x, y=y)
    wanted = measure(implemented, Macer(m=2, weight=0.0), model=_constant(logits).float(), x=x, y=y)
    assert torch.isfinite(got.gradient).all()
    assert torch.equal(got.gradient, wanted.gradient)


class ByBrightness(nn.Module):
    """Bright images have an overwhelming logit for class 0, dark ones a slight preference for it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        bright = (x.mean((1, 2, 3)) > 0.5).float()
        return self.scale * (bright * 100 + 0.02)[:, None] * F.one_hot(torch.tensor(0), CLASSES)


def test_an_infinite_quantile_of_one_image_leaves_the_gradient_of_another_alone() -> None:
    x = torch.stack([torch.ones(2, 6, 6), torch.zeros(2, 6, 6)])
    y = torch.zeros(2, dtype=torch.long)
    both = measure(implemented, Macer(m=2), model=ByBrightness(), x=x, y=y)
    one = measure(implemented, Macer(m=2), model=ByBrightness(), x=x[1:], y=y[1:])
    assert both.gradient.item() != 0
    assert both.gradient.item() == pytest.approx(one.gradient.item() / 2, rel=1e-5), "summed, then over both images"


# SmoothMix


def test_without_a_step_the_mix_is_the_image_drawn_towards_less_confidence() -> None:
    """T = 0: nothing to mix with, so the second term only pulls the prediction towards a part of uniform."""
    hp = SmoothMix(m=3, steps=0, eta=4.0)
    model = Recorded(network())
    terms = _terms(hp, model=model)
    natural, mixed = model.learned()
    assert torch.allclose(mixed, natural, atol=1e-12), "the mix is the image, under the same noises"
    stream = step().generator
    draw(images(), 3, SIGMA, stream)
    ratio = (torch.rand(5, generator=stream) / 2).double()[:, None]
    with torch.no_grad():
        prediction = network()(natural).softmax(1).view(3, 5, CLASSES)
    target = (1 - ratio) * prediction.mean(0) + ratio / CLASSES
    right = prediction.mean(0).argmax(1) == labels()
    divergence = (target * (target.log() - prediction.log())).sum(2) * right
    assert terms.parts["mixup"].item() == pytest.approx(divergence.mean().item(), rel=1e-6)
    each_copy = _terms(SmoothMix(m=3, steps=0, eta=0.0)).total
    assert terms.total.item() == pytest.approx(each_copy.item() + 4.0 * divergence.mean().item(), rel=1e-6)


@pytest.mark.parametrize("mix_step", [2, 3, 10])
def test_an_iterate_that_is_not_before_the_last_step_stays_the_image(mix_step: int) -> None:
    _same(SmoothMix(steps=2, mix_step=mix_step), SmoothMix(steps=2))


def test_the_first_iterate_stands_in_for_the_image_in_both_losses() -> None:
    hp = SmoothMix(m=1, steps=3, step_size=0.4, mix_step=1, one_step_radius="full")
    model = Recorded(network())
    _terms(hp, model=model)
    noise = draw(images(), 1, SIGMA, step().generator)[0]
    natural, mixed = (shown - noise for shown in model.learned())
    moved = (natural - images()).flatten(1).norm(dim=1)
    assert ((moved > 0.1) & (moved <= 0.4 + 1e-6)).all()
    assert natural.min() >= -1e-6 and natural.max() <= 1 + 1e-6
    assert ((mixed - natural).flatten(1).norm(dim=1) <= 0.5 * 2 * 0.4 + 1e-6).all(), "half way at most, two steps on"


def test_the_radius_of_the_first_iterate_follows_the_warm_up_unless_it_is_full() -> None:
    warmed_up, full = (SmoothMix(steps=2, mix_step=1, step_size=0.4, one_step_radius=r) for r in ("warmed_up", "full"))  # type: ignore[arg-type]
    _same(warmed_up, full, epoch=9)
    moved = []
    for hp in (warmed_up, full):
        model = Recorded(network())
        _terms(hp, model=model, epoch=0)
        at = model.learned()[0].view(2, 5, 2, 6, 6) - draw(images(), 2, SIGMA, step(epoch=0).generator)
        moved.append((at[0] - images()).flatten(1).norm(dim=1).max().item())
    assert moved[0] == pytest.approx(0.04, rel=1e-5)
    assert 0.3 < moved[1] <= 0.4 + 1e-6, "the ball of the first epoch would hold it to a tenth of that"


# CAT-RS


def test_skipping_masked_attacks_changes_nothing_without_batch_normalisation() -> None:
    every = CatRs(m=3, steps=2, masked_attacks="all")
    _same(CatRs(m=3, steps=2, masked_attacks="skip"), every)
    _same(CatRs(m=3, steps=2), every)


def test_auto_attacks_every_image_under_batch_normalisation() -> None:
    every, skip = (CatRs(m=3, steps=2, masked_attacks=masked) for masked in ("all", "skip"))  # type: ignore[arg-type]
    _same(CatRs(m=3, steps=2), every, batch_norm=True)
    auto, skipped = (measure(implemented, hp, batch_norm=True) for hp in (CatRs(m=3, steps=2), skip))
    assert apart(auto, skipped)[1] > 1e-4, "the copies of masked images enter the batch's statistics"


def _always_wrong() -> Tensor:
    """For each image, a class that none of its noisy copies is taken for."""
    with torch.no_grad():
        answers = network()(noisy(images(), draw(images(), 3, SIGMA, step().generator))).argmax(1).view(3, -1)
    return torch.tensor([next(c for c in range(CLASSES) if c not in seen) for seen in answers.T.tolist()])


def test_where_no_image_is_confident_nothing_is_attacked() -> None:
    model = Recorded(network())
    _terms(CatRs(m=3, steps=2), model=model, y=_always_wrong())
    assert all(training for training, _ in model.passes)
    model = Recorded(network())
    _terms(CatRs(m=3, steps=2, masked_attacks="all"), model=model, y=_always_wrong())
    assert [training for training, _ in model.passes].count(False) == 2


def test_an_image_without_a_right_copy_still_keeps_its_lowest_cross_entropy() -> None:
    y = _always_wrong()
    with torch.no_grad():
        logits = network()(noisy(images(), draw(images(), 3, SIGMA, step().generator)))
        lowest = F.cross_entropy(logits, y.repeat(3), reduction="none").view(3, -1).amin(0) / 3
    assert _terms(CatRs(m=3, steps=2), y=y).total.item() == pytest.approx(lowest.mean().item(), rel=1e-12)


def test_the_attack_leaves_each_noise_its_mean_and_nearly_its_root_mean_square() -> None:
    epsilon = 1.0
    model = Recorded(network())
    _terms(CatRs(m=3, steps=3, epsilon=epsilon, masked_attacks="all"), model=model)
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
    _terms(CatRs(m=3, steps=2, masked_attacks="all"), model=model)
    for shown in model.learned():
        assert shown.min() < 0 and shown.max() > 1


def test_a_class_without_votes_adds_nothing_to_the_divergence_and_stays_finite_the_other_way_round() -> None:
    certain = F.one_hot(labels(), CLASSES).float()
    for kl in ("labels_first", "prediction_first"):
        hp = CatRs(m=3, steps=2, kl=kl, confidence="soft_labels")  # type: ignore[arg-type]
        got = measure(implemented, hp, soft=certain)
        assert torch.isfinite(got.gradient).all() and got.loss < 1e3
    worst = _terms(CatRs(m=1, steps=0, confidence="soft_labels"), soft=certain)
    assert worst.parts["high"].item() == pytest.approx(worst.parts["low"].item(), rel=1e-6), "the cross-entropy"


def test_without_a_step_the_worst_noise_is_the_worst_of_those_drawn() -> None:
    """T = 0 with several copies: the second term is the largest divergence at the noises themselves."""
    certain = F.one_hot(labels(), CLASSES).float()
    hp = CatRs(m=3, steps=0, confidence="soft_labels", weight=2.0)
    terms = _terms(hp, soft=certain)
    with torch.no_grad():
        noises = draw(images(), 3, SIGMA, step().generator)
        at_each = torch.stack([F.cross_entropy(network()(images() + d), labels(), reduction="none") for d in noises])
    worst = at_each.amax(0).mean().item()  # against certain labels the divergence is the cross-entropy
    assert terms.parts["high"].item() == pytest.approx(worst, rel=1e-9)
    assert terms.total.item() == pytest.approx(at_each.mean().item() + 2.0 * worst, rel=1e-9)


def test_epsilon_doubles_from_its_epoch_on() -> None:
    doubling, small, large = CatRs(m=3, steps=2, epsilon=0.4, epsilon_doubles_at=80), 0.4, 0.8
    for epoch, epsilon in ((79, small), (80, large), (81, large)):
        _same(doubling, CatRs(m=3, steps=2, epsilon=epsilon), epoch=epoch)


def test_cat_rs_says_that_it_needs_soft_labels() -> None:
    where = Step(sigma=SIGMA, epoch=0, epochs=1, first_drop=1, step=0, generator=torch.Generator())
    with pytest.raises(Mismatch, match="soft labels"):
        loss_function("cat_rs")(CatRs(), network(), images(), labels(), where)


# Warm-up, parts, images


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.1), (4, 0.5), (9, 1.0), (20, 1.0)])
def test_a_warm_up_over_ten_epochs_begins_above_zero_and_ends_with_the_tenth(epoch: int, share: float) -> None:
    assert step(epoch=epoch).warmed_up(10) == share
    _same(
        SmoothAdv(m=2, steps=2, epsilon=0.8), SmoothAdv(m=2, steps=2, epsilon=0.8 * share, warmup_epochs=1), epoch=epoch
    )
    attack, full = AttackFirst(steps=2, epsilon=0.8), AttackFirst(steps=2, epsilon=0.8 * share, warmup_epochs=1)
    _same(Consistency(attack=attack), Consistency(attack=full), epoch=epoch)
    _same(SmoothMix(steps=2, eta=4.0), SmoothMix(steps=2, eta=4.0 * share, warmup_epochs=1), epoch=epoch)


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
    terms = _terms(hp, epoch=4)
    assert set(terms.parts) == set(weights)
    total = sum(weight * terms.parts[name].item() for name, weight in weights.items())
    assert terms.total.item() == pytest.approx(total, rel=1e-6)


def test_accuracy_is_the_share_of_noisy_copies_that_are_classified_right() -> None:
    with torch.no_grad():
        noises = draw(images(), 3, SIGMA, step().generator)
        right = [network()(images() + noise).argmax(1) == labels() for noise in noises]
    for hp in (Consistency(m=3), Macer(m=3), SmoothAdv(m=3, steps=0), CatRs(m=3, steps=1), SmoothMix(m=3, steps=1)):
        assert _terms(hp).accuracy.item() == pytest.approx(torch.stack(right).float().mean().item())


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
