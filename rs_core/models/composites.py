"""A composite's network out of its parts, by kind. What the kinds are is in ``composition``."""

from collections.abc import Sequence

from torch import nn

from radii.rs_core.models import denoised, ensemble, mixed
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.composition import Composition, Denoised, Mixed


def network(composition: Composition, parts: Sequence[BaseClassifier]) -> nn.Module:
    """(B, C, H, W) in [0, 1] -> logits (B, K); a mixing network is freshly initialised, from torch's global generator."""
    if isinstance(composition, Mixed):
        return mixed.MixedClassifier(composition, parts)
    if isinstance(composition, Denoised):
        denoiser, classifier = parts
        return denoised.DenoisedClassifier(denoiser, classifier)
    return ensemble.Ensemble(parts)
