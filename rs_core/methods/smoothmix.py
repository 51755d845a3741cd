"""SmoothMix: Jeong et al. 2021, "SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified
Robustness", arXiv 2111.09277, equations (5) to (8).

One set of noises serves the attack, the loss at the image and the loss at the mix:

    x_T      unrestricted ascent of -log mean_i F_y(x + noise_i) from x
    mix      (1 - r) x + r x_T,  towards  (1 - r) Fbar(x) + r / K,  r ~ U(0, 1/2) per image
    L        mean CE(F(x + noise_i), y) + eta * w * mean [ right * KL(target || F(mix + noise_i)) ]

where ``right`` says that the mean prediction Fbar has the label's class and w grows over the warm-up; the mean is over
all images and copies, masked ones included. With ``mix_step`` an early iterate of the attack stands in for x in both
losses. The target is not detached: the public code descends through it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.attacks import average_softmax, frozen, project, smoothed_loss, unrestricted
from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import draw, noisy
from radii.rs_core.specs.jobs import SmoothMix


def loss(hp: SmoothMix, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    noises = draw(x, hp.m, step.sigma, step.generator)
    ratio = (torch.rand(len(x), generator=step.generator, device=x.device) / 2).to(x.dtype)
    warm = step.warmed_up(hp.warmup_epochs)
    clean, adversary = _endpoints(hp, model, x, y, noises, warm)

    logits = model(noisy(clean, noises))
    natural = F.cross_entropy(logits, y.repeat(hp.m))
    smoothed = average_softmax(logits, hp.m)

    mixed = torch.lerp(clean, adversary, ratio[:, None, None, None])
    uniform = torch.full_like(smoothed, 1 / smoothed.shape[1])
    target = torch.lerp(smoothed, uniform, ratio[:, None])
    target = (target.detach() if hp.target == "detached" else target).repeat(hp.m, 1)
    distance = _distance(hp, target, model(noisy(mixed, noises)).log_softmax(1))
    right = (smoothed.argmax(1) == y).repeat(hp.m)
    mixup = (right * distance).mean()
    return LossTerms(
        total=natural + hp.eta * warm * mixup,
        accuracy=share_right(logits, y.repeat(hp.m)),
        parts={"natural": natural, "mixup": mixup},
    )


def _endpoints(
    hp: SmoothMix, model: nn.Module, x: Tensor, y: Tensor, noises: Tensor, warm: float
) -> tuple[Tensor, Tensor]:
    """The two ends of the mix: the image or an early iterate, and the last iterate."""
    with frozen(model):
        objective = smoothed_loss(model, noises, y)
        iterates = unrestricted(objective, x, steps=hp.steps, step_size=hp.step_size, max_norm=hp.max_norm)
    if hp.mix_step == 0 or hp.mix_step >= hp.steps:
        return x, iterates[-1]
    radius = hp.step_size * hp.mix_step * (warm if hp.one_step_radius == "warmed_up" else 1.0)
    return project(iterates[hp.mix_step], x, radius), iterates[-1]


def _distance(hp: SmoothMix, target: Tensor, log_prediction: Tensor) -> Tensor:
    """From the target to the prediction, per copy: two of (m * B, K) -> (m * B,)."""
    if hp.mix_loss == "cross_entropy":
        return -(target * log_prediction).sum(1)
    positive = target.clamp(min=torch.finfo(target.dtype).tiny)  # at 0 the gradient of t log t is no number
    return F.kl_div(log_prediction, positive, reduction="none").sum(1)
