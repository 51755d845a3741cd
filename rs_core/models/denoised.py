"""A denoiser before a classifier: Salman et al., "Denoised Smoothing: A Provable Defense for Pretrained Classifiers", 2020,
arXiv 2003.01908.

A classifier that has never seen noise becomes a base classifier for smoothing. What the denoiser gives is not clamped to
[0, 1], as in the public code. The denoiser's training is left to whoever made it.
"""

from typing import cast

from torch import Tensor, nn


class DenoisedClassifier(nn.Module):
    """(B, C, H, W) in [0, 1], noise included -> logits (B, K) of what ``denoiser`` makes of it, (B, C, H, W)."""

    def __init__(self, denoiser: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList([denoiser, classifier])

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        denoiser, classifier = self.parts
        return cast(Tensor, classifier(denoiser(x)))
