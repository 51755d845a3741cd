"""Attacks in l2 on the noise-averaged prediction of a base classifier: PGD, DDN and the unrestricted ascent; and PGD in l_inf.

Salman et al. 2019, "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", arXiv 1906.04584,
section 3.1, equation (6): the objective is J(x) = -log mean_i F_y(x + noise_i), with the same noise in every step. PGD is
their SmoothAdv-PGD; DDN is Rony et al. 2018, arXiv 1811.09600, judged by the majority of the noisy copies. The
unrestricted ascent is that of SmoothMix, Jeong et al. 2021, arXiv 2111.09277, equation (5). PGD in l_inf is that of Madry et
al. 2017, "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083.

Images and results lie in [0, 1]; radii are in [0, 1]-pixel units. Nothing here gives a gradient to the weights: use
these inside :func:`frozen`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.errors import Mismatch
from radii.rs_core.noise.streams import by_copy, noisy

SMALLEST_PROBABILITY = 1e-20
SMALLEST_NORM = 1e-8
LEVELS = 255
"""Steps between black and white of an 8-bit image, on whose grid DDN looks for its examples."""

Objective = Callable[[Tensor], Tensor]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without gradients for its weights; afterwards everything is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    try:
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, needed in wanted:
            parameter.requires_grad_(needed)
        for module, training in modes:
            module.training = training


def average_softmax(logits: Tensor, m: int) -> Tensor:
    """Mean prediction over the m copies of each image: logits (m * B, K), copy by copy -> probabilities (B, K)."""
    return by_copy(logits.softmax(1), m).mean(0)


def smoothed_loss(model: nn.Module, noises: Tensor, y: Tensor) -> Objective:
    """J as a function of images (B, C, H, W) -> (B,), for noises (m, B, C, H, W) and labels (B,).

    For m = 1 it is the cross-entropy, as in the public code.
    """

    return lambda x: _loss_of(model(noisy(x, noises)), y, len(noises))


def _loss_of(logits: Tensor, y: Tensor, m: int) -> Tensor:
    """J of each image from the logits of its m copies: (m * B, K) -> (B,)."""
    if m == 1:
        return F.cross_entropy(logits, y, reduction="none")
    right = average_softmax(logits, m).gather(1, y[:, None])[:, 0]
    return -right.clamp(min=SMALLEST_PROBABILITY).log()


def pgd(
    objective: Objective,
    x: Tensor,
    *,
    epsilon: float,
    steps: int,
    generator: torch.Generator,
    order: Literal["clamp_first", "project_first"] = "clamp_first",
) -> Tensor:
    """The last of :func:`pgd_iterates`: (B, C, H, W)."""
    return _last(pgd_iterates(objective, x, epsilon=epsilon, steps=steps, generator=generator, order=order))


def pgd_iterates(
    objective: Objective,
    x: Tensor,
    *,
    epsilon: float,
    steps: int,
    generator: torch.Generator,
    order: Literal["clamp_first", "project_first"] = "clamp_first",
) -> Iterator[Tensor]:
    """Ascends ``objective`` from x in steps of 2 epsilon / steps, in the epsilon-ball and in [0, 1]: x itself and what each
    step makes of it, each (B, C, H, W).

    ``clamp_first`` is Salman's code: [0, 1], then the ball; a gradient of exactly zero is replaced by Gaussian noise from
    ``generator``. ``project_first`` is the copy in the Consistency code: the ball, then [0, 1]; gradients are divided by
    their norm plus 1e-8. Both end inside both sets, since x is in [0, 1]. ``random_start`` of the public code did nothing.
    """
    require_pixels(x)
    adversary = x
    yield adversary
    for _ in range(steps):
        gradient = ascent(objective, adversary)
        if order == "clamp_first":
            moved = adversary + 2 * epsilon / steps * _direction(gradient, generator)
            adversary = x + (moved.clamp(0, 1) - x).renorm(2, 0, epsilon)
        else:
            moved = adversary + 2 * epsilon / steps * unit(gradient)
            adversary = (x + (moved - x).renorm(2, 0, epsilon)).clamp(0, 1)
        yield adversary


def pgd_linf(objective: Objective, x: Tensor, *, epsilon: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Ascends ``objective`` by the signs of its gradient, in steps of 2.5 epsilon / steps, in the l_inf ball and in [0, 1], from
    a uniformly drawn point of the ball: (B, C, H, W). ``epsilon`` (B,) is each image's own.
    """
    require_pixels(x)
    radius = _column(epsilon, x)
    low, high = (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)
    adversary = x + radius * (2 * torch.rand(x.shape, generator=generator, device=x.device) - 1)
    adversary = adversary.clamp(low, high)
    for _ in range(steps):
        moved = adversary + 2.5 / steps * radius * ascent(objective, adversary).sign()
        adversary = moved.clamp(low, high)
    return adversary


def ddn(
    model: nn.Module,
    noises: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int,
    gamma: float,
    generator: torch.Generator,
) -> Tensor:
    """The last of :func:`ddn_iterates`: (B, C, H, W)."""
    return _last(ddn_iterates(model, noises, x, y, epsilon=epsilon, steps=steps, gamma=gamma, generator=generator))


def ddn_iterates(
    model: nn.Module,
    noises: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int,
    gamma: float,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """x moved by the smallest perturbation found so far that most noisy copies are classified wrong under: before the first
    step and after each, (B, C, H, W).

    The norm begins at ``epsilon`` and shrinks by ``gamma`` where the example is adversarial, else grows; the step of
    unit direction falls by a cosine from 1 towards 0.01; candidates lie on the 8-bit grid. What was found is brought
    into the epsilon-ball and rounded to whole levels, which can move a pixel by half a level beyond it; where nothing
    was found the image itself is returned. The norm is bounded by that of the farthest corner of [0, 1].
    """
    require_pixels(x)
    farthest = _norms(torch.maximum(x, 1 - x))
    norm = torch.full_like(farthest, epsilon)
    delta, best, best_norm = torch.zeros_like(x), torch.zeros_like(x), farthest
    yield x
    for i in range(steps):
        gradient, voted = _gradient_and_votes(model, noises, x + delta, y)
        wrong = voted != y
        better = wrong & (_norms(delta) < best_norm)
        best_norm = torch.where(better, _norms(delta), best_norm)
        best = torch.where(_column(better, x), delta, best)
        length = 0.01 + 0.99 * (1 + math.cos(math.pi * i / steps)) / 2
        delta = delta + length * _direction(gradient, generator)
        norm = torch.minimum(torch.where(wrong, norm * (1 - gamma), norm * (1 + gamma)), farthest)
        delta = delta * _column(norm / _norms(delta).clamp(min=SMALLEST_NORM), x)
        delta = ((x + delta) * LEVELS).round().div(LEVELS).clamp(0, 1) - x
        yield (x + best.renorm(2, 0, epsilon).mul(LEVELS).round().div(LEVELS)).clamp(0, 1)


def unrestricted(
    objective: Objective, x: Tensor, *, steps: int, step_size: float, max_norm: float | None = None
) -> list[Tensor]:
    """The iterates x_0 = x, x_1, ... x_steps of plain ascent in [0, 1], each (B, C, H, W); ``max_norm`` bounds them."""
    return list(unrestricted_iterates(objective, x, steps=steps, step_size=step_size, max_norm=max_norm))


def unrestricted_iterates(
    objective: Objective, x: Tensor, *, steps: int, step_size: float, max_norm: float | None = None
) -> Iterator[Tensor]:
    """The same, one after the other."""
    require_pixels(x)
    at = x
    yield at
    for _ in range(steps):
        at = project(at + step_size * unit(ascent(objective, at)), x, max_norm)
        yield at


def project(moved: Tensor, x: Tensor, radius: float | None) -> Tensor:
    """``moved`` brought into the l2 ball around x, where there is one, then into [0, 1]: (B, C, H, W)."""
    near = moved if radius is None else x + (moved - x).renorm(2, 0, radius)
    return near.clamp(0, 1)


def ascent(objective: Objective, at: Tensor) -> Tensor:
    """The gradient of the summed objective: (B, ...) -> the same shape, detached."""
    point = at.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(point).sum(), [point])
    return gradient


def unit(gradient: Tensor) -> Tensor:
    """Each row over its l2 norm plus 1e-8: (B, ...) -> the same shape."""
    return gradient / _column(_norms(gradient) + SMALLEST_NORM, gradient)


def require_pixels(x: Tensor) -> None:
    """Raises :class:`Mismatch` where an image leaves [0, 1]: the attack's box would be another one."""
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise Mismatch(expected="images in [0, 1]", got=f"values from {low!r} to {high!r}", where="attack")


def _last(iterates: Iterator[Tensor]) -> Tensor:
    """The last one, the others forgotten on the way."""
    (last,) = deque(iterates, maxlen=1)
    return last


def _direction(gradient: Tensor, generator: torch.Generator) -> Tensor:
    """Each row over its l2 norm; a row that is zero becomes Gaussian noise, as it is in Salman's code."""
    norms = _norms(gradient)
    if bool((norms == 0).any()):
        noise = torch.randn(gradient.shape, generator=generator, device=gradient.device)
        return torch.where(_column(norms == 0, gradient), noise, gradient / _column(norms, gradient))
    return gradient / _column(norms, gradient)


def _gradient_and_votes(model: nn.Module, noises: Tensor, at: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """From one forward pass: the gradient of J, and the class that most noisy copies are taken for (B,), the lowest
    index where several are."""
    point = at.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(noisy(point, noises))
        (gradient,) = torch.autograd.grad(_loss_of(logits, y, len(noises)).sum(), [point])
    votes = by_copy(F.one_hot(logits.argmax(1), logits.shape[1]), len(noises)).sum(0)
    return gradient, votes.argmax(1)


def _norms(rows: Tensor) -> Tensor:
    return rows.flatten(1).square().sum(1).sqrt()


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1), to go with images."""
    return values.view(-1, *[1] * (like.dim() - 1))
