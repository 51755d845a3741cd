"""Adaptive Smoothing: Bai, Anderson, Kim and Sojoudi 2023, "Improving the Accuracy-Robustness Trade-Off of Classifiers via
Adaptive Smoothing", arXiv 2301.12554: the training of the mixing network, which is to tell attacked images from clean ones.

``model`` is the mix as its training sees it (``models.mixed.MixWithGamma``): log-probabilities and gamma side by side. Of each
image there are clean copies, with target s = 0, and attacked ones, with s = 1; over all of them

    L = mean scale_s [ c_bce BCE(gamma, s) + c_ce CE(mix, y) + c_prod BCE(gamma, s) CE(mix, y) ]

An attacked copy ascends (1 - u) CE(mix, y) + u BCE(gamma, 1), so that it also tries to look clean, within epsilon U(0.4, 1.1)
in l_inf; u ~ U(0, 0.4) per image, and about chi-squared(T) steps per copy. The attack is PGD on the mix in evaluation mode,
gradients going through the mixing network, where the public code has APGD with cross-entropy and targeted losses. With a noise
level, each copy is shown with a noise of its own, an attacked one with that under which it was found; published is none.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.attacks import frozen, pgd_linf
from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import draw
from radii.rs_core.specs.jobs import AdaptiveSmoothing


def loss(hp: AdaptiveSmoothing, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    clean = x + _noise(x, 1 + hp.extra_clean, step)  # (1 + extra_clean, B, C, H, W)
    attacked = [_attacked(hp, model, x, y, step) for _ in range(hp.attacked)]
    log_probs, gamma = _apart(model(torch.cat([clean.flatten(0, 1), *attacked])))
    labels = y.repeat(len(clean) + hp.attacked)
    target = torch.ones_like(gamma)
    target[: clean.shape[0] * len(x)] = 0

    bce = F.binary_cross_entropy_with_logits(gamma, target, reduction="none")
    ce = F.cross_entropy(log_probs, labels, reduction="none")
    each = hp.bce_weight * bce + hp.ce_weight * ce + hp.product_weight * bce * ce
    scale = hp.clean_scale * (1 - target) + hp.attacked_scale * target
    told = ((gamma.detach() > 0) == (target > 0)).to(gamma.dtype)
    return LossTerms(
        total=(scale * each).mean(),
        accuracy=share_right(log_probs, labels),
        parts={"bce": bce.mean(), "ce": ce.mean(), "product": (bce * ce).mean(), "told_apart": told.mean()},
    )


def _attacked(hp: AdaptiveSmoothing, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """One attacked copy of each image, with its noise: (B, C, H, W)."""
    noise = _noise(x, 1, step)
    low, high = hp.epsilon_range
    epsilon = hp.epsilon * (low + (high - low) * _uniform(x, step))
    share = hp.gamma_share * _uniform(x, step)
    steps = _steps(hp, step)

    def objective(at: Tensor) -> Tensor:
        log_probs, gamma = _apart(model(at + noise[0]))
        return (1 - share) * F.cross_entropy(log_probs, y, reduction="none") + share * F.softplus(-gamma)

    with frozen(model):
        return pgd_linf(objective, x, epsilon=epsilon, steps=steps, generator=step.generator) + noise[0]


def _noise(x: Tensor, copies: int, step: Step) -> Tensor:
    """(copies, B, C, H, W); without a noise level nothing is drawn."""
    return (
        draw(x, copies, step.sigma, step.generator)
        if step.sigma > 0
        else torch.zeros_like(x).repeat(copies, 1, 1, 1, 1)
    )


def _uniform(x: Tensor, step: Step) -> Tensor:
    """A number in [0, 1) for each image, (B,)."""
    return torch.rand(len(x), generator=step.generator, device=x.device)


def _steps(hp: AdaptiveSmoothing, step: Step) -> int:
    """How many steps the next copies' attack takes: about a chi-squared of as many degrees of freedom as the mean."""
    if hp.step_count == "fixed":
        return hp.steps
    normal = torch.randn(hp.steps, generator=step.generator, device=step.generator.device)
    return max(1, round(normal.square().sum().item()))


def _apart(output: Tensor) -> tuple[Tensor, Tensor]:
    """(B, K + 1) as log-probabilities (B, K) and gamma (B,)."""
    return output[:, :-1], output[:, -1]
