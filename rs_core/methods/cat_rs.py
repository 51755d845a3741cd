"""CAT-RS: Jeong, Kim and Shin 2023, "Confidence-aware Training of Smoothed Classifiers for Certified Robustness", arXiv
2212.09000, equations (6) to (11).

Per image with soft label q (votes of a classifier under noise), over m noises:

    K        max(1, Binomial(m, confidence)),  confidence the share of copies classified right
    low      (1/m) * sum of the K smallest cross-entropies at x + noise_i
    high     max_i KL(q || F(x + worse_i)),  only where K = m
    L        mean [ low + weight * 1[K = m] * high ]

``worse`` comes from ascending (1/m) sum_i KL(q || F(x + noise_i)) in the noises themselves, in steps of 2 epsilon / T
within the epsilon-ball around each, and after each step every noise is given back its mean and root mean square. There
is no clamp to [0, 1]: it is noise that moves, not the image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from radii.rs_core.attacks import SMALLEST_PROBABILITY, ascent, frozen, require_pixels, unit
from radii.rs_core.errors import Mismatch
from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import by_copy, draw, noisy
from radii.rs_core.specs.jobs import CatRs


def loss(hp: CatRs, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels, labels ``y`` (B,) and the step's soft labels (B, K)."""
    soft = _soft_labels(x, step)
    noises = draw(x, hp.m, step.sigma, step.generator)
    logits = model(noisy(x, noises))  # (m * B, K)
    k = _how_many(hp, logits, y, soft, step.generator)
    low = _lowest(logits, y, k, hp.m)
    full = k == hp.m

    attacked = torch.ones_like(full) if _attack_all(hp, model) else full
    worse = noises.clone()
    if hp.weight > 0 and bool(attacked.any()):
        with frozen(model):
            worse[:, attacked] = _worst(hp, model, x[attacked], soft[attacked], noises[:, attacked], step.epoch)
    total, high = low.mean(), torch.zeros_like(low)
    if hp.weight > 0:
        high = full * _divergence(hp, model(noisy(x, worse)), soft, hp.m).amax(0)
        total = (low + hp.weight * high).mean()
    return LossTerms(
        total=total,
        accuracy=share_right(logits, y.repeat(hp.m)),
        parts={"low": low.mean(), "high": high.mean(), "confident": full.float().mean()},
    )


def _how_many(hp: CatRs, logits: Tensor, y: Tensor, soft: Tensor, generator: torch.Generator) -> Tensor:
    """K of each image, from 1 to m: (B,)."""
    if hp.confidence == "soft_labels":
        confidence = soft.gather(1, y[:, None])[:, 0]
    else:
        confidence = (by_copy(logits.argmax(1), hp.m) == y).float().mean(0)
    trials = torch.full_like(confidence, hp.m)
    return torch.binomial(trials, confidence.clamp(0, 1), generator=generator).long().clamp(min=1)


def _lowest(logits: Tensor, y: Tensor, k: Tensor, m: int) -> Tensor:
    """The k smallest of each image's m cross-entropies, summed and divided by m: (B,)."""
    losses = by_copy(F.cross_entropy(logits, y.repeat(m), reduction="none"), m).sort(0).values
    rank = torch.arange(m, device=k.device)[:, None]
    return (losses * (rank < k)).mean(0)


def _worst(hp: CatRs, model: nn.Module, x: Tensor, soft: Tensor, noises: Tensor, epoch: int) -> Tensor:
    """The noises (m, B, C, H, W) that the attack makes of ``noises``; each copy moves by itself."""
    require_pixels(x)
    m = len(noises)
    doubled = hp.epsilon_doubles_at is not None and epoch >= hp.epsilon_doubles_at
    epsilon = hp.epsilon * (2 if doubled else 1)
    start = noises.flatten(0, 1)
    images = x.repeat(m, 1, 1, 1)

    def objective(noise: Tensor) -> Tensor:
        return _divergence(hp, model(images + noise), soft, m).sum(0) / m

    moved = start
    for _ in range(hp.steps):
        moved = moved + 2 * epsilon / hp.steps * unit(ascent(objective, moved))
        moved = _restandardized(start + (moved - start).renorm(2, 0, epsilon), start)
    return moved.view_as(noises)


def _restandardized(noise: Tensor, start: Tensor) -> Tensor:
    """``noise`` with its mean taken off, scaled to the root mean square of ``start`` and given its mean: (m * B, ...).

    Root mean squares are about zero, over all pixels of a copy, that of ``noise`` before its mean is taken off.
    """
    pixels = (1, 2, 3)
    scale = _rms(start) / _rms(noise)
    return start.mean(pixels, keepdim=True) + (noise - noise.mean(pixels, keepdim=True)) * scale


def _rms(noise: Tensor) -> Tensor:
    return noise.square().mean((1, 2, 3), keepdim=True).sqrt()


def _divergence(hp: CatRs, logits: Tensor, soft: Tensor, m: int) -> Tensor:
    """Between soft labels (B, K) and the prediction at each copy: logits (m * B, K) -> (m, B)."""
    prediction = by_copy(logits.log_softmax(1), m)
    if hp.kl == "prediction_first":
        return (prediction.exp() * (prediction - soft.clamp(min=SMALLEST_PROBABILITY).log())).sum(2)
    return F.kl_div(prediction, soft.expand_as(prediction), reduction="none").sum(2)


def _attack_all(hp: CatRs, model: nn.Module) -> bool:
    """Whether images beyond the mask are attacked too: their copies enter the statistics of batch normalisation."""
    if hp.masked_attacks == "auto":
        return any(isinstance(module, _BatchNorm) for module in model.modules())
    return hp.masked_attacks == "all"


def _soft_labels(x: Tensor, step: Step) -> Tensor:
    if step.soft_labels is None:
        raise Mismatch(expected="soft labels for CAT-RS", got="none", where="method.soft_labels")
    return step.soft_labels.to(x.device, x.dtype)
