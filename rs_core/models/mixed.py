"""A standard and a robust classifier, mixed in their probabilities: Bai et al., "Improving the Accuracy-Robustness Trade-Off
of Classifiers via Adaptive Smoothing", 2023, arXiv 2301.12554:

``log[(1 - w) softmax(standard_scale g(x)) + w softmax(robust_scale h(x))]``

with a constant weight w, or with one that a mixing network gives each input. Computed from log-probabilities in float32, so
that a class which both find next to impossible has a finite number, also where the parts run in half precision. Certificates
that rest on h alone are left to others: they read :attr:`standard` and :attr:`robust`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.feature_maps import logits_and_maps
from radii.rs_core.models.mixing_network import MixingNetwork
from radii.rs_core.specs.composition import Mixed


class MixOutput(NamedTuple):
    """Log-probabilities (B, K), the robust classifier's weight (B,), and gamma (B,), ``None`` where the weight is constant."""

    log_probs: Tensor
    weight: Tensor
    gamma: Tensor | None


class MixedClassifier(nn.Module):
    """(B, C, H, W) in [0, 1], noise included -> log-probabilities (B, K), float32, which serve as logits.

    The parts stay in evaluation mode whatever :meth:`train` says: only a mixing network is ever trained.
    """

    def __init__(self, spec: Mixed, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.spec = spec
        self.parts = nn.ModuleList(parts)
        self.mixing = None if spec.mixing is None else MixingNetwork(spec.mixing)

    @property
    def standard(self) -> BaseClassifier:
        """The standard classifier g, which takes images of ``standard_size`` where there is one."""
        return cast(BaseClassifier, self.parts[0])

    @property
    def robust(self) -> BaseClassifier:
        """The robust classifier h."""
        return cast(BaseClassifier, self.parts[1])

    def train(self, mode: bool = True) -> "MixedClassifier":
        """As of any module, but for the parts."""
        super().train(mode)
        self.parts.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (B, K). With a constant weight of 0 or 1 only the one classifier that counts is run."""
        if self.spec.robust_weight == 1:
            return self._of_robust(self.robust(x))
        if self.spec.robust_weight == 0:
            return self._of_standard(self.standard(self.resized(x)))
        if self.spec.robust_weight is not None:
            standard = self._of_standard(self.standard(self.resized(x)))
            return mix(standard, self._of_robust(self.robust(x)), self.spec.robust_weight)
        return self.forward_parts(x).log_probs

    def forward_parts(self, x: Tensor) -> MixOutput:
        """The same with what it was made of: what a mixing network is trained on."""
        if self.mixing is None:
            log_probs = self(x)
            return MixOutput(log_probs, torch.full_like(log_probs[:, 0], cast(float, self.spec.robust_weight)), None)
        assert self.spec.mixing is not None
        names = self.spec.mixing.features
        g, g_first, g_second = logits_and_maps(self.standard, self.resized(x), names[0])
        h, h_first, h_second = logits_and_maps(self.robust, x, names[1])
        gamma = _single(self.mixing([g_first, h_first], [g_second, h_second]))
        weight = self.mixing.weight(gamma)
        return MixOutput(mix_by(self._of_standard(g), self._of_robust(h), weight), weight, gamma)

    def resized(self, x: Tensor) -> Tensor:
        """What the standard classifier is shown of ``x`` (B, C, H, W)."""
        size = self.spec.standard_size
        return x if size is None else F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)

    def _of_standard(self, logits: Tensor) -> Tensor:
        return F.log_softmax(_single(logits) * self.spec.standard_scale, dim=1)

    def _of_robust(self, logits: Tensor) -> Tensor:
        return F.log_softmax(_single(logits) * self.spec.robust_scale, dim=1)


class MixWithGamma(nn.Module):
    """A mix with a mixing network as its training sees it: (B, C, H, W) -> log-probabilities and gamma, side by side (B, K + 1)."""

    def __init__(self, mix: BaseClassifier) -> None:
        super().__init__()
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (B, K), then gamma."""
        mixture = cast(MixedClassifier, self.mix.network).forward_parts(x)
        assert mixture.gamma is not None
        return torch.cat([mixture.log_probs, mixture.gamma[:, None]], dim=1)


def _single(logits: Tensor) -> Tensor:
    """In float32, or in what is finer."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def mix(standard: Tensor, robust: Tensor, weight: float) -> Tensor:
    """Log-probabilities (B, K) of the mix of two, with a constant weight strictly between 0 and 1."""
    return torch.logaddexp(standard + math.log1p(-weight), robust + math.log(weight))


def mix_by(standard: Tensor, robust: Tensor, weight: Tensor) -> Tensor:
    """The same with a weight (B,) of each row's own, which may be 0 or 1: finite there, with finite gradients."""
    least = torch.finfo(weight.dtype).tiny
    of_standard, of_robust = (1 - weight).clamp_min(least).log(), weight.clamp_min(least).log()
    return torch.logaddexp(standard + of_standard[:, None], robust + of_robust[:, None])
