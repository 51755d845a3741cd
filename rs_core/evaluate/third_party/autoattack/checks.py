"""The check that APGD imports by this name."""

import logging

from torch import Tensor

log = logging.getLogger("radii.autoattack")


def check_zero_gradients(grad: Tensor, logger: logging.Logger | None = None) -> None:
    """Logs how many images have a gradient of 0, since an attack by gradients cannot succeed there."""
    count = int((grad.flatten(1).abs().sum(1) == 0).sum())
    if count:
        (logger or log).warning("%d images have a gradient of 0: attacks by gradients are not reliable there", count)
