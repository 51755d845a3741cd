"""The attacks of the second derivation, on one image; the model is in evaluation mode. See ``derivation``."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests_support.derivation_parts import (
    first_largest,
    forward,
    into_ball,
    into_box,
    log_softmax,
    mean,
    norm,
    smoothed_objective,
    uphill,
)


def pgd_clamp_first(
    model: nn.Module, image: Tensor, noises: Sequence[Tensor], label: int, epsilon: float, steps: int
) -> Tensor:
    """SmoothAdv's PGD: exact unit steps of 2 epsilon / T, then [0, 1], then the ball."""
    delta = torch.zeros_like(image)
    for _ in range(steps):
        gradient = uphill(lambda at: smoothed_objective(model, at, noises, label), image + delta)
        assert norm(gradient) > 0, "a zero gradient is replaced by noise, which is not derived here"
        delta = delta + (2 * epsilon / steps) * gradient / norm(gradient)
        delta = into_box(image + delta) - image
        delta = into_ball(delta, epsilon)
    return (image + delta).detach()


def pgd_project_first(
    model: nn.Module, image: Tensor, noises: Sequence[Tensor], label: int, epsilon: float, steps: int
) -> Tensor:
    """The same as the Consistency code has it: norms plus 1e-8; the ball, then [0, 1]."""
    at = image
    for _ in range(steps):
        gradient = uphill(lambda at: smoothed_objective(model, at, noises, label), at)
        at = at + (2 * epsilon / steps) * gradient / (norm(gradient) + 1e-8)
        at = into_box(image + into_ball(at - image, epsilon))
    return at.detach()


def ddn(
    model: nn.Module,
    image: Tensor,
    noises: Sequence[Tensor],
    label: int,
    epsilon: float,
    steps: int,
    gamma: float,
) -> Tensor:
    """Decoupled direction and norm, judged by the majority of the noisy copies; the image where nothing was found.

    Candidates are rounded to 8 bits; so is the perturbation in the end, after its ball, as the public code has it.
    """
    farthest = norm(torch.where(image > 0.5, image, 1 - image))
    delta, length = torch.zeros_like(image), epsilon
    best, smallest = torch.zeros_like(image), farthest
    for t in range(steps):
        rate = 0.01 + 0.99 * (1 + math.cos(math.pi * t / steps)) / 2
        votes = [first_largest(z) for z in forward(model, [image + delta + noise for noise in noises])]
        winner = min(set(votes), key=lambda vote: (-votes.count(vote), vote))
        fooled = winner != label
        if fooled and norm(delta) < smallest:
            best, smallest = delta, norm(delta)
        gradient = uphill(lambda at: smoothed_objective(model, at, noises, label), image + delta)
        assert norm(gradient) > 0, "a zero gradient is replaced by noise, which is not derived here"
        delta = delta + rate * gradient / norm(gradient)
        length = min(length * (1 - gamma if fooled else 1 + gamma), farthest)
        moved = image + delta * (length / norm(delta))
        delta = into_box(torch.round(moved * 255) / 255) - image
    return into_box(image + torch.round(into_ball(best, epsilon) * 255) / 255).detach()


def fooling(
    model: nn.Module,
    image: Tensor,
    noise: Tensor,
    label: int,
    radius: float,
    share: float,
    steps: int,
    begin: Tensor,
) -> Tensor:
    """Signed steps of 2.5 radius / T up (1 - u) CE + u BCE(gamma, 1), within radius of each pixel and [0, 1]."""

    def objective(at: Tensor) -> Tensor:
        (output,) = forward(model, [at + noise])
        seen = -torch.log(1 / (1 + torch.exp(-output[-1])))
        return (1 - share) * -log_softmax(output[:-1])[label] + share * seen

    def allowed(at: Tensor) -> Tensor:
        return into_box(image + torch.clamp(at - image, -radius, radius))

    at = allowed(image + radius * begin)
    for _ in range(steps):
        at = allowed(at + 2.5 * radius / steps * torch.sign(uphill(objective, at)))
    return at.detach()


def ascent_iterates(
    model: nn.Module,
    image: Tensor,
    noises: Sequence[Tensor],
    label: int,
    steps: int,
    step_size: float,
    max_norm: float | None,
) -> list[Tensor]:
    """SmoothMix's ascent: x_0 = image, x_1, ... x_T, in [0, 1], without a ball unless ``max_norm`` is given."""
    found = [image]
    for _ in range(steps):
        gradient = uphill(lambda at: smoothed_objective(model, at, noises, label), found[-1])
        moved = found[-1] + step_size * gradient / (norm(gradient) + 1e-8)
        if max_norm is not None:
            moved = image + into_ball(moved - image, max_norm)
        found.append(into_box(moved).detach())
    return found


def worst_noises(
    model: nn.Module,
    image: Tensor,
    noises: Sequence[Tensor],
    target: Tensor,
    epsilon: float,
    steps: int,
    kl: str,
) -> list[Tensor]:
    """CAT-RS's attack on the noises of one image together; each keeps its mean, and its size as ``standardised`` says."""
    current = list(noises)
    for _ in range(steps):
        at = [noise.detach().clone().requires_grad_() for noise in current]
        answers = forward(model, [image + noise for noise in at])
        objective = mean([label_divergence(target, z, kl) for z in answers])
        gradients = torch.autograd.grad(objective, at)
        for i, gradient in enumerate(gradients):
            moved = at[i].detach() + (2 * epsilon / steps) * gradient / (norm(gradient) + 1e-8)
            moved = noises[i] + into_ball(moved - noises[i], epsilon)
            current[i] = standardised(moved, noises[i])
    return current


def standardised(moved: Tensor, original: Tensor) -> Tensor:
    """mu0 + (d' - mu) / rms * rms0, with means and root mean squares (about zero) over all pixels."""
    pixels = moved.numel()
    rms, rms0 = norm(moved) / math.sqrt(pixels), norm(original) / math.sqrt(pixels)
    return float(original.sum()) / pixels + (moved - float(moved.sum()) / pixels) / rms * rms0


def label_divergence(target: Tensor, logits: Tensor, kl: str) -> Tensor:
    """KL(soft label || prediction), zeros of the label adding nothing; or the other direction, zeros raised to 1e-20."""
    if kl == "prediction_first":
        raised = torch.tensor([max(value, 1e-20) for value in target.tolist()], dtype=torch.float64)
        log_prediction = log_softmax(logits)
        return (torch.exp(log_prediction) * (log_prediction - torch.log(raised))).sum()
    log_prediction = log_softmax(logits)
    total = torch.zeros((), dtype=torch.float64)
    for k, share in enumerate(target.tolist()):
        if share > 0:
            total = total + share * (math.log(share) - log_prediction[k])
    return total
