"""The attacks: where they may go, what they raise, and what they leave alone. Fixed weights, images and noise."""

from itertools import pairwise

import pytest
import torch
from tests_support.losses import CLASSES, images, labels, network
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.attacks import ascent, average_softmax, ddn, frozen, pgd, project, smoothed_loss, unit, unrestricted
from radii.rs_core.errors import Mismatch

ROUNDING = 1e-6
LEVELS = 255


pytestmark = pytest.mark.usefixtures("one_thread")  # The network is too small to share between threads.


def _noises(m: int = 3) -> Tensor:
    return 0.25 * torch.randn((m, 5, 2, 6, 6), generator=torch.Generator().manual_seed(17), dtype=torch.float64)


def _stream() -> torch.Generator:
    return torch.Generator().manual_seed(19)


def _pgd(epsilon: float, steps: int = 4, order: str = "clamp_first") -> Tensor:
    model = network()
    with frozen(model):
        objective = smoothed_loss(model, _noises(), labels())
        return pgd(objective, images(), epsilon=epsilon, steps=steps, generator=_stream(), order=order)  # type: ignore[arg-type]


def _ddn(model: nn.Module, x: Tensor, y: Tensor, *, epsilon: float = 1.0, steps: int = 6) -> Tensor:
    with frozen(model):
        return ddn(model, _noises(), x, y, epsilon=epsilon, steps=steps, gamma=0.05, generator=_stream())


def _ascended(steps: int = 3, step_size: float = 0.7, max_norm: float | None = None) -> list[Tensor]:
    model = network()
    with frozen(model):
        objective = smoothed_loss(model, _noises(), labels())
        return unrestricted(objective, images(), steps=steps, step_size=step_size, max_norm=max_norm)


def _mean_loss(x: Tensor) -> float:
    with torch.no_grad():
        return smoothed_loss(network().eval(), _noises(), labels())(x).mean().item()


def _lengths(moved: Tensor) -> Tensor:
    return (moved - images()).flatten(1).norm(dim=1)


class Blind(nn.Module):
    """The same logits for every image, with a gradient of exactly zero."""

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(CLASSES, dtype=x.dtype)
        logits[2] = 5.0
        return logits + 0 * x.sum((1, 2, 3))[:, None]


# The objective


def test_the_objective_is_minus_the_log_of_the_mean_probability() -> None:
    model, noises, y = network(), _noises(), labels()
    by_hand = [
        -torch.stack([model(images() + noise).softmax(1)[b, y[b]] for noise in noises]).mean().log() for b in range(5)
    ]
    assert torch.allclose(smoothed_loss(model, noises, y)(images()), torch.stack(by_hand), rtol=1e-12)


def test_with_one_noise_it_is_the_cross_entropy() -> None:
    model, noises = network(), _noises(1)
    wanted = F.cross_entropy(model(images() + noises[0]), labels(), reduction="none")
    assert torch.allclose(smoothed_loss(model, noises, labels())(images()), wanted, rtol=1e-12)


def test_a_probability_below_1e_20_counts_as_that() -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([200.0, 0.0], dtype=x.dtype).expand(len(x), 2)

    loss = smoothed_loss(Sure(), _noises(), torch.ones(5, dtype=torch.long))(images())
    assert torch.allclose(loss, torch.full_like(loss, 46.0517018598809))


def test_average_softmax_takes_logits_copy_by_copy() -> None:
    logits = torch.randn(6, 4, generator=_stream())
    wanted = (logits[:2].softmax(1) + logits[2:4].softmax(1) + logits[4:].softmax(1)) / 3
    assert torch.allclose(average_softmax(logits, 3), wanted)


# What an attack leaves alone


def test_a_frozen_model_is_in_evaluation_mode_without_gradients_and_afterwards_as_before() -> None:
    model = network(batch_norm=True)
    model[1].eval()  # type: ignore[index]
    model[0].weight.requires_grad_(False)  # type: ignore[index, union-attr]
    modes = [module.training for module in model.modules()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    with pytest.raises(KeyError), frozen(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise KeyError
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted


def test_attacks_give_no_gradient_to_weights_move_no_statistics_and_return_detached_images() -> None:
    model = network(batch_norm=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with frozen(model):
        objective = smoothed_loss(model, _noises(), labels())
        found = [pgd(objective, images(), epsilon=1.0, steps=2, generator=_stream())]
        found += unrestricted(objective, images(), steps=2, step_size=0.5)
        found += [ddn(model, _noises(), images(), labels(), epsilon=1.0, steps=3, gamma=0.05, generator=_stream())]
    assert not any(x.requires_grad for x in found)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_the_gradient_of_the_objective_is_found_where_gradients_are_off() -> None:
    with torch.no_grad():
        gradient = ascent(lambda x: x.square().flatten(1).sum(1), images())
    assert torch.allclose(gradient, 2 * images())


def test_a_unit_direction_has_length_one_and_a_gradient_of_zero_has_none() -> None:
    directions = unit(torch.stack([torch.full((2, 6, 6), 3.0), torch.zeros(2, 6, 6)]))
    assert directions[0].norm().item() == pytest.approx(1.0)
    assert directions[1].norm().item() == 0.0


# PGD


@pytest.mark.parametrize("order", ["clamp_first", "project_first"])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
def test_pgd_ends_in_the_ball_and_in_the_unit_interval(order: str, epsilon: float) -> None:
    found = _pgd(epsilon, order=order)
    assert found.min() >= -ROUNDING and found.max() <= 1 + ROUNDING
    assert (_lengths(found) <= epsilon + ROUNDING).all()
    assert (_lengths(found) > 0.5 * min(epsilon, 1.0)).all(), "and goes somewhere"


@pytest.mark.parametrize("order", ["clamp_first", "project_first"])
def test_without_steps_or_without_radius_pgd_returns_the_image(order: str) -> None:
    assert torch.equal(_pgd(1.0, steps=0, order=order), images())
    assert torch.equal(_pgd(0.0, order=order), images())


@pytest.mark.parametrize("order", ["clamp_first", "project_first"])
def test_a_larger_ball_never_holds_a_weaker_adversary(order: str) -> None:
    losses = [_mean_loss(_pgd(epsilon, order=order)) for epsilon in (0.0, 0.1, 0.3, 0.6, 1.0, 2.0)]
    assert losses == sorted(losses)
    assert losses[-1] > losses[0] + 1


def test_in_one_step_it_goes_two_epsilon_along_the_gradient_and_back_to_the_ball() -> None:
    x = torch.full((5, 2, 6, 6), 0.5, dtype=torch.float64)  # the box is out of reach
    model = network()
    with frozen(model):
        objective = smoothed_loss(model, _noises(), labels())
        gradient = ascent(objective, x)
        found = pgd(objective, x, epsilon=0.2, steps=1, generator=_stream())
    assert torch.allclose(found, x + 0.2 * gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None], atol=1e-6)


def test_a_gradient_of_exactly_zero_becomes_noise_in_salmans_order_only() -> None:
    x = torch.full((5, 2, 6, 6), 0.5, dtype=torch.float64)
    objective = smoothed_loss(Blind(), _noises(), labels())
    moved = pgd(objective, x, epsilon=0.3, steps=1, generator=_stream())
    noise = torch.randn(x.shape, generator=_stream())
    assert torch.allclose(moved - x, ((0.6 * noise + x).clamp(0, 1) - x).renorm(2, 0, 0.3).double(), atol=1e-6)
    assert torch.equal(pgd(objective, x, epsilon=0.3, steps=3, generator=_stream(), order="project_first"), x)


def test_images_are_attacked_each_by_itself() -> None:
    whole = _pgd(1.0)
    model = network()
    with frozen(model):
        objective = smoothed_loss(model, _noises()[:, 3:4], labels()[3:4])
        alone = pgd(objective, images()[3:4], epsilon=1.0, steps=4, generator=_stream())
    assert torch.allclose(whole[3:4], alone, atol=1e-9)


# DDN


def test_ddn_stays_in_the_unit_interval_and_half_a_level_a_pixel_from_the_ball() -> None:
    for epsilon in (0.1, 0.5, 2.0):
        found = _ddn(network(), images(), labels(), epsilon=epsilon)
        assert found.min() >= 0 and found.max() <= 1
        assert (_lengths(found) <= epsilon + 72**0.5 / (2 * LEVELS) + ROUNDING).all()


def test_of_images_on_the_8_bit_grid_it_makes_others_on_it() -> None:
    x = (images() * LEVELS).round() / LEVELS
    found = _ddn(network(), x, labels())
    assert not torch.equal(found, x)
    assert torch.allclose((found * LEVELS).round(), found * LEVELS, atol=1e-9)


def test_it_fools_most_copies_of_what_it_moves_and_leaves_the_rest_as_it_was() -> None:
    model, noises = network().eval(), _noises()
    found = _ddn(model, images(), labels(), epsilon=3.0, steps=10)
    with torch.no_grad():
        votes = torch.stack([model(found + noise).argmax(1) for noise in noises])
    moved = _lengths(found) > 0
    assert moved.any()
    assert (votes.mode(0).values != labels())[moved].all()


def test_a_model_that_cannot_be_fooled_leaves_the_image() -> None:
    assert torch.equal(_ddn(Blind(), images(), torch.full((5,), 2)), images())


def test_an_image_that_is_misclassified_already_is_not_moved() -> None:
    assert torch.equal(_ddn(Blind(), images(), torch.full((5,), 1)), images())


def test_more_steps_find_a_smaller_perturbation() -> None:
    few, many = (_ddn(network(), images(), labels(), epsilon=3.0, steps=steps) for steps in (3, 30))
    both = (_lengths(few) > 0) & (_lengths(many) > 0)
    assert both.any()
    assert _lengths(many)[both].mean() < 0.8 * _lengths(few)[both].mean()


# The unrestricted ascent


def test_the_ascent_begins_at_the_image_and_goes_one_step_size_at_a_time() -> None:
    iterates = _ascended(steps=3, step_size=0.7)
    assert torch.equal(iterates[0], images()) and len(iterates) == 4
    for before, after in pairwise(iterates):
        assert after.min() >= 0 and after.max() <= 1
        assert ((after - before).flatten(1).norm(dim=1) <= 0.7 + ROUNDING).all(), "the box only shortens a step"


def test_it_leaves_every_ball_unless_one_is_given() -> None:
    assert _lengths(_ascended(steps=6)[-1]).max() > 1.5
    assert all((_lengths(x) <= 0.9 + ROUNDING).all() for x in _ascended(steps=6, max_norm=0.9))


def test_it_ascends() -> None:
    losses = [_mean_loss(x) for x in _ascended(steps=4, step_size=0.3)]
    assert losses == sorted(losses)


def test_a_projection_is_into_the_ball_first_and_into_the_unit_interval_then() -> None:
    x, moved = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[3.5, 4.5]]]])
    assert torch.allclose(project(moved, x, 1.0), torch.tensor([[[[1.0, 1.0]]]]))
    assert torch.allclose(project(moved, x, 0.25), torch.tensor([[[[0.65, 0.70]]]]))
    assert torch.equal(project(moved, x, None), torch.ones(1, 1, 1, 2))


@pytest.mark.parametrize("shift", [-0.01, 0.01])
def test_images_outside_the_unit_interval_are_refused(shift: float) -> None:
    outside, model = images() + shift, network()
    objective = smoothed_loss(model, _noises(), labels())
    with pytest.raises(Mismatch, match=r"images in \[0, 1\]"):
        pgd(objective, outside, epsilon=1.0, steps=1, generator=_stream())
    with pytest.raises(Mismatch, match=r"images in \[0, 1\]"):
        unrestricted(objective, outside, steps=1, step_size=1.0)
    with pytest.raises(Mismatch, match=r"images in \[0, 1\]"):
        _ddn(model, outside, labels())
