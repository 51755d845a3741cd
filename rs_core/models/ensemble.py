"""The mean of several classifiers' logits, under noise their common vote: an ensemble as in Horváth et al., "Boosting
Randomized Smoothing with Variance Reduced Classifiers", 2022, arXiv 2106.06946.

The members are whole base classifiers, each with its own normalisation; what is known of them is in ``checkpoints.composite_info``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """(B, C, H, W) in [0, 1], noise included -> logits (B, K), the mean of the parts' logits."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return torch.stack([part(x) for part in self.parts]).mean(0)
