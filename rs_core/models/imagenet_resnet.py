"""ResNet-50 as torchvision builds it, without its weights: He et al., "Deep Residual Learning for Image Recognition",
2015, arXiv 1512.03385, table 1. 25,557,032 parameters for a thousand classes.

It ends in a global average pooling, so height and width are free; three channels are not.
"""

from typing import cast

import torchvision
from torch import nn

from radii.rs_core.models.architecture import Shape


def resnet50(num_classes: int, input_shape: Shape) -> nn.Module:
    """The table's builder: (B, 3, H, W) -> logits (B, K)."""
    return cast(nn.Module, torchvision.models.resnet50(weights=None, num_classes=num_classes))
