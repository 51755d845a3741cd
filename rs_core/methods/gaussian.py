"""Gaussian augmentation: Cohen et al. 2019, "Certified Adversarial Robustness via Randomized Smoothing", arXiv
1902.02918, section 3.3. The mean cross-entropy at ``x + sigma * noise``, one fresh draw per image and step.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.methods.base import LossTerms, Step, share_right
from radii.rs_core.noise.streams import draw, noisy
from radii.rs_core.specs.jobs import Gaussian


def loss(hp: Gaussian, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> LossTerms:
    """The loss for images ``x`` (B, C, H, W) in [0, 1] pixels and labels ``y`` (B,)."""
    logits = model(noisy(x, draw(x, 1, step.sigma, step.generator)))
    return LossTerms(total=F.cross_entropy(logits, y), accuracy=share_right(logits, y))
