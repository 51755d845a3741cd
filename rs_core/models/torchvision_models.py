"""torchvision's classification networks without their weights; which there are stands in ``torchvision_names``.

Two differ from torchvision's own defaults: GoogLeNet and Inception v3 are built without their auxiliary classifiers,
which give several logits in training. Transformers that are made for one image size are built for the images at hand.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from radii.rs_core.models.architecture import Shape

NO_AUXILIARY = ("googlenet", "inception_v3")


def network(name: str, num_classes: int, input_shape: Shape) -> nn.Module:
    """torchvision's ``name``, freshly initialised: (B, 3, H, W) -> logits (B, K)."""
    options: dict[str, Any] = {}
    if name in NO_AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": input_shape[1]}
    elif name.startswith("maxvit_"):
        options = {"input_size": input_shape[1:]}
    with _ReadableNumbers() if name.startswith("regnet_") else nullcontext():
        return cast(nn.Module, torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options))


class _ReadableNumbers(TorchFunctionMode):
    """RegNet's constructor computes with tensors and reads them, also where the default device keeps no numbers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in (torch.arange, torch.tensor):
            options["device"] = "cpu"
        return func(*args, **options)
