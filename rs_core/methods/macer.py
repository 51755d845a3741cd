"""MACER: Zhai et al. 2020, "MACER: Attack-free and Scalable Robust Training via Maximizing Certified Radius", arXiv
2001.02378, algorithm 1.

Per image, over k noisy copies with logits z_j:

    classification  -log(mean_j softmax(z_j)_y + 1e-10)
    robustness      sigma / 2 * (margin - xi),   xi = Phi^-1(p1) - Phi^-1(p2),   p = mean_j softmax(beta * z_j)

with p1, p2 the two largest entries of p. The robustness loss is for images that p gets right and whose xi is finite and
at most the margin in size; both are summed and divided by the number of *all* images.
"""

import torch
from torch import Tensor, nn

from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import by_copy, draw, noisy
from radii.rs_core.specs.jobs import Macer

SMALLEST_PROBABILITY = 1e-10


def loss(hp: Macer, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    logits = model(noisy(x, draw(x, hp.m, step.sigma, step.generator)))
    copies = by_copy(logits, hp.m)  # (m, B, K)
    right = copies.softmax(2).mean(0).gather(1, y[:, None])[:, 0]
    classification = -(right + SMALLEST_PROBABILITY).log().mean()
    parts = {"classification": classification}
    total = classification
    if hp.weight > 0 and not (hp.deferred and step.epoch < step.first_drop):
        robustness = step.sigma / 2 * _hinge((hp.beta * copies).softmax(2).mean(0), y, hp.margin) / len(x)
        parts["robustness"] = robustness
        total = classification + hp.weight * robustness
    return LossTerms(total=total, accuracy=share_right(logits, y.repeat(hp.m)), parts=parts)


def _hinge(p: Tensor, y: Tensor, margin: float) -> Tensor:
    """Sum of margin - xi over the images that count: p (B, K), labels (B,) -> scalar.

    Quantiles are taken a second time of the chosen images alone: behind a mask, an infinite one would have the gradient
    0 * inf, which is no number.
    """
    top, classes = p.topk(2, dim=1)
    xi = (_quantile(top[:, 0]) - _quantile(top[:, 1])).detach()
    kept = (classes[:, 0] == y) & torch.isfinite(xi) & (xi.abs() <= margin)
    first, second = top[kept].unbind(1)
    return (margin - (_quantile(first) - _quantile(second))).sum()


def _quantile(p: Tensor) -> Tensor:
    """The standard normal's, written so that its derivative is finite wherever it is."""
    return torch.erfinv(2 * p - 1) * 2**0.5
