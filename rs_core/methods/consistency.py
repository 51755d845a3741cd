"""Consistency regularisation: Jeong and Shin 2020, "Consistency Regularization for Certified Robustness of Smoothed
Classifiers", arXiv 2006.04062, equations (8) and (9).

    L = mean CE(F(x + noise_i), y) + mean [ weight * (1/m) sum_i KL(Fbar || F(x + noise_i)) + eta * H(Fbar) ]

with Fbar the mean prediction over the m copies of an image; the first mean is over images and copies, the second over
images. Gradients flow through Fbar in both places. With ``attack``, x is SmoothAdv's adversarial example under the same
noise (arXiv 1906.04584), found by the variant of PGD in the public Consistency code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.attacks import SMALLEST_PROBABILITY, average_softmax, frozen, pgd, smoothed_loss
from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import by_copy, draw, noisy
from radii.rs_core.specs.jobs import Consistency


def loss(hp: Consistency, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    noises = draw(x, hp.m, step.sigma, step.generator)
    at = _attacked(hp, model, x, y, noises, step)
    labels = y.repeat(hp.m)
    logits = model(noisy(at, noises))
    natural = F.cross_entropy(logits, labels)
    parts = {"natural": natural} | _regularizers(hp, logits)
    weights = {"divergence": hp.weight, "squared_difference": hp.weight}
    weights["entropy"] = hp.weight if hp.form == "cross_entropy" else hp.eta
    total = natural
    for name in [name for name in parts if name in weights]:  # a set's order is another in each process
        total = total + weights[name] * parts[name]
    return LossTerms(total=total, accuracy=share_right(logits, labels), parts=parts)


def _regularizers(hp: Consistency, logits: Tensor) -> dict[str, Tensor]:
    """The parts of the consistency loss without their weights, each a mean over images: logits (m * B, K)."""
    if hp.form == "mse":
        first, second = by_copy(logits.softmax(1), hp.m)[:2]
        return {"squared_difference": ((second - first) ** 2).sum(1).mean()}
    mean = average_softmax(logits, hp.m)
    above_zero = mean.clamp(min=torch.finfo(mean.dtype).tiny)  # the divergence's gradient at 0 is no number
    divergence = F.kl_div(logits.log_softmax(1), above_zero.repeat(hp.m, 1), reduction="none").sum(1).mean()
    if hp.form == "kl":
        return {"divergence": divergence}
    entropy = -(mean * mean.clamp(min=SMALLEST_PROBABILITY).log()).sum(1).mean()
    return {"divergence": divergence, "entropy": entropy}


def _attacked(hp: Consistency, model: nn.Module, x: Tensor, y: Tensor, noises: Tensor, step: Step) -> Tensor:
    if hp.attack is None or hp.attack.steps == 0:
        return x
    with frozen(model):
        return pgd(
            smoothed_loss(model, noises, y),
            x,
            epsilon=hp.attack.epsilon * step.warmed_up(hp.attack.warmup_epochs),
            steps=hp.attack.steps,
            generator=step.generator,
            order="project_first",
        )
