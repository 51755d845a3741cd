"""The small parts of the second derivation: logarithms, norms, projections, quantiles and draws, written out.

What is derived with them, and from what, is said in ``derivation``.
"""

import math
from collections.abc import Callable, Sequence

import scipy.special
import torch
from torch import Tensor, nn

from radii.rs_core.methods.base import Step
from radii.rs_core.noise.streams import draw

Noises = list[list[Tensor]]
"""``noises[i][b]`` is the i-th noise of image b, (C, H, W)."""


def forward(model: nn.Module, images: Sequence[Tensor]) -> list[Tensor]:
    """One pass over these images together; the logits (K,) of each."""
    return list(model(torch.stack(list(images))))


def log_softmax(logits: Tensor) -> Tensor:
    """log(exp z_k / sum_j exp z_j), (K,) -> (K,)."""
    shifted = logits - max(logits.tolist())
    return shifted - torch.log(torch.exp(shifted).sum())


def softmax(logits: Tensor) -> Tensor:
    """exp z_k / sum_j exp z_j, (K,) -> (K,)."""
    powers = torch.exp(logits - max(logits.tolist()))
    return powers / powers.sum()


def cross_entropy(logits: Tensor, label: int) -> Tensor:
    """-log F_label."""
    return -log_softmax(logits)[label]


def mean(values: Sequence[Tensor]) -> Tensor:
    """The sum, class by class, over how many there are."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total / len(values)


def norm(tensor: Tensor) -> float:
    """The l2 norm over all entries."""
    return math.sqrt(float((tensor * tensor).sum()))


def into_ball(offset: Tensor, radius: float) -> Tensor:
    """The nearest point of the l2 ball around zero."""
    length = norm(offset)
    return offset if length <= radius else offset * (radius / length)


def into_box(image: Tensor) -> Tensor:
    """The nearest image with pixels in [0, 1]."""
    image = torch.where(image < 0, torch.zeros_like(image), image)
    return torch.where(image > 1, torch.ones_like(image), image)


def first_largest(values: Tensor) -> int:
    """The index of the largest entry, the lowest of equals."""
    found = values.tolist()
    return found.index(max(found))


def quantile(probability: Tensor) -> Tensor:
    """The standard normal quantile; its derivative is one over the density there."""
    at = float(scipy.special.ndtri(probability.item()))
    density = math.exp(-at * at / 2) / math.sqrt(2 * math.pi)
    return at + (probability - probability.detach()) / density


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) = sum_k p_k (log p_k - log q_k)."""
    return (p * (torch.log(p) - torch.log(q))).sum()


def drawn(x: Tensor, m: int, step: Step) -> Noises:
    """The step's m noises for each image: the first thing that is taken from its stream."""
    tensor = draw(x.float(), m, step.sigma, step.generator).double()
    return [[tensor[i, b] for b in range(len(x))] for i in range(m)]


def growth(step: Step, epochs: int) -> float:
    """The linear warm-up: 1/epochs in the first epoch, 1 from the last of them on."""
    return min(1.0, (step.epoch + 1) / epochs)


def smoothed_objective(model: nn.Module, image: Tensor, noises: Sequence[Tensor], label: int) -> Tensor:
    """J = -log of the mean over the noises of F_label(image + noise), the mean at least 1e-20."""
    average = mean([softmax(z)[label] for z in forward(model, [image + noise for noise in noises])])
    return -torch.log(average if average.item() >= 1e-20 else torch.full_like(average, 1e-20))


def uphill(objective: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of the objective there."""
    at = at.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(at), at)
    return gradient
