"""Stability training: Li et al. 2019, "Certified Adversarial Robustness with Additive Noise", arXiv 1809.03113, as the
baseline of Jeong and Shin 2020 (arXiv 2006.04062) has it.

    L = CE(F(x), y) + weight * H(F(x), F(x + noise)),   H(p, q) = -sum_c p_c log q_c

The cross-entropy is at the *clean* image. The clean prediction is the target of the second term and is not detached.
Two forward passes, clean first: running statistics of batch normalisation see both kinds of images.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import draw, noisy
from radii.rs_core.specs.jobs import Stability


def loss(hp: Stability, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    noises = draw(x, 1, step.sigma, step.generator)
    clean = model(x)
    perturbed = model(noisy(x, noises))
    natural = F.cross_entropy(clean, y)
    stability = -(clean.softmax(1) * perturbed.log_softmax(1)).sum(1).mean()
    return LossTerms(
        total=natural + hp.weight * stability,
        accuracy=share_right(perturbed, y),
        parts={"natural": natural, "stability": stability},
    )
