"""The base classifier: normalisation as the first layer, then the network.

Noise is added to pixels in [0, 1], before this layer, so that radii are in [0, 1]-pixel units (Cohen et al.,
"Certified Adversarial Robustness via Randomized Smoothing", 2019, arXiv 1902.02918). The constants are no weights: they
stay out of the state dict, which holds the network alone. Architectures are in ``registry``.
"""

from typing import cast

import torch
from torch import Tensor, nn

from radii.rs_core.specs.jobs import Normalization


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel: (B, C, H, W) -> (B, C, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(normalization.mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalization.std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0, 1]-pixel units to the network's units."""
        return (x - self.mean) / self.std


class BaseClassifier(nn.Module):
    """``network(normalize(x))``: (B, C, H, W) in [0, 1], noise included -> logits (B, K).

    ``architecture`` is the network's name in the table, for messages.
    """

    def __init__(self, network: nn.Module, normalization: Normalization | None, architecture: str = "") -> None:
        super().__init__()
        self.architecture = architecture or type(network).__name__
        self.normalize: nn.Module = nn.Identity() if normalization is None else Normalize(normalization)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return cast(Tensor, self.network(self.normalize(x)))
