"""A classifier with a known boundary: two half-spaces of 8x8 images, whose smoothed classifier is itself.

With ``u`` the unit vector across the boundary and ``margin`` the distance of the grey image from it, class 0 has at an image x a
probability of ``Phi((margin - (x - grey) u) / sigma)`` under noise of that level, and its certified radius is that distance.
"""

import torch
from scipy.special import ndtr
from torch import Tensor, nn

from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.evaluate.common import EvaluationTarget

SIDE, SHARPNESS = 8, 4.0


class HalfSpaces(nn.Module):
    """Images (B, 1, 8, 8) -> logits (B, 2): class 0 where all pixels together are dark enough."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(margin))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        across = (x - 0.5).flatten(1).sum(1) / SIDE
        beyond = SHARPNESS * (across - self.margin)
        return torch.stack([-beyond, beyond], 1)


def grey() -> Tensor:
    """The image (1, 8, 8) that lies ``margin`` from the boundary."""
    return torch.full((1, SIDE, SIDE), 0.5)


def subject(
    margin: float, sigma: float, *, batch_size: int = 100, seed: int = 0, model: nn.Module | None = None
) -> EvaluationTarget:
    """The classifier, or a ``model`` in its place, ready to be evaluated."""
    model = (model or HalfSpaces(margin)).eval()
    sampler = Sampler(model, sigma, 2, seed=seed, batch_size=batch_size)
    return EvaluationTarget(model=model, sampler=sampler, seed=seed, device=torch.device("cpu"), batch_size=batch_size)


def probability(margin: float, moved: float, sigma: float) -> float:
    """Of class 0 where the grey image was moved so far towards the boundary."""
    return float(ndtr((margin - moved) / sigma))
