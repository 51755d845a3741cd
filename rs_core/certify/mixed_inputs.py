"""For a mixed classifier: the robust network votes under noise, the standard one is evaluated once without noise.

How both become a certificate is in ``mixed``.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.errors import Mismatch, NotFinite
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.specs.fields import Bound

Standard = Callable[[Tensor], tuple[float, ...]]


def voting(model: nn.Module, bound: Bound) -> nn.Module:
    """The network whose votes under noise are counted: the model, or of a mix its robust part. Raises :class:`Mismatch` where
    ``bound`` is mixed and the model is no mix."""
    return model if bound != "mixed" else mix_of(model).robust


def standard_of(model: nn.Module, bound: Bound) -> Standard | None:
    """From an image (C, H, W) to the standard classifier's probabilities; None where the model is not certified as a mix."""
    if bound != "mixed":
        return None
    mix = mix_of(model)

    @torch.no_grad()
    def probabilities(image: Tensor) -> tuple[float, ...]:
        logits = mix.standard(mix.resized(image[None].contiguous())).float()
        found: list[float] = F.softmax(logits.double() * mix.spec.standard_scale, dim=1)[0].tolist()
        if not all(map(math.isfinite, found)):
            raise NotFinite(expected="finite logits of the standard classifier", got="infinite or NaN ones")
        return tuple(found)

    return probabilities


def mix_of(model: nn.Module) -> MixedClassifier:
    """The mix that a model is; raises :class:`Mismatch` where it is none."""
    network = getattr(model, "network", model)
    if not isinstance(network, MixedClassifier):
        wanted = "a checkpoint that mixes a standard and a robust classifier, for bound = mixed"
        raise Mismatch(expected=wanted, got=getattr(model, "architecture", type(network).__name__), where="bound")
    return network
