"""SmoothAdv: Salman et al. 2019, "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", arXiv
1906.04584, algorithm 1.

The attack ascends the *noise-averaged* prediction (``attacks``), the loss is the mean cross-entropy over the noisy
copies of what it found, with the same noise. Epsilon grows linearly over the warm-up, and PGD's step with it.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.attacks import ddn, frozen, pgd, smoothed_loss
from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import draw, noisy
from radii.rs_core.specs.jobs import SmoothAdv


def loss(hp: SmoothAdv, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    noises = draw(x, hp.m, step.sigma, step.generator)
    adversary = _attacked(hp, model, x, y, noises, step)
    used = noises[:1] if hp.copies == "one" else noises
    logits = model(noisy(adversary, used))
    labels = y.repeat(len(used))
    return LossTerms(total=F.cross_entropy(logits, labels), accuracy=share_right(logits, labels))


def _attacked(hp: SmoothAdv, model: nn.Module, x: Tensor, y: Tensor, noises: Tensor, step: Step) -> Tensor:
    epsilon = hp.epsilon * step.warmed_up(hp.warmup_epochs)
    if hp.steps == 0 or epsilon == 0:
        return x
    with frozen(model):
        if hp.attack == "ddn":
            return ddn(
                model,
                noises,
                x,
                y,
                epsilon=epsilon,
                steps=hp.steps,
                gamma=hp.ddn_gamma,
                generator=step.generator,
            )
        objective = smoothed_loss(model, noises, y)
        return pgd(objective, x, epsilon=epsilon, steps=hp.steps, generator=step.generator)
