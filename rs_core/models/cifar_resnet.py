"""Residual networks for 32x32 images, of depth 6n + 2: He et al., "Deep Residual Learning for Image Recognition", 2015,
arXiv 1512.03385, section 4.2, in the variant of the public smoothing code.

A 3x3 convolution to 16 channels with batch normalisation and ReLU; three stages of n blocks of widths 16, 32, 64 and
strides 1, 2, 2; 8x8 average pooling; a linear layer. Unlike the paper's parameter-free shortcut, the first block of the
second and third stage has a 1x1 strided convolution with batch normalisation. Parameters for ten classes: 272,474 at
depth 20 and 1,730,714 at depth 110 (1,736,564 for a hundred). Names in the state dict are those of public checkpoints.
"""

import math
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.models.architecture import Shape


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (B, c_in, h, w) -> (B, c_out, h / stride, w / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(c_in, c_out, 3, stride)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = _conv(c_out, c_out, 3, 1)
        self.bn2 = nn.BatchNorm2d(c_out)
        same = c_in == c_out and stride == 1
        self.downsample = None if same else nn.Sequential(_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, after the last ReLU."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class CifarResNet(nn.Module):
    """(B, 3, 32, 32) -> logits (B, K), with ``blocks`` residual blocks in each of the three stages."""

    def __init__(self, blocks: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = _conv(3, 16, 3, 1)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16, 1)
        self.layer2 = _stage(blocks, 16, 32, 2)
        self.layer3 = _stage(blocks, 32, 64, 2)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = F.relu(self.bn1(self.conv1(x)))  # (B, 16, 32, 32)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, 8, 8)
        return cast(Tensor, self.fc(F.avg_pool2d(x, 8).flatten(1)))


def _stage(blocks: int, c_in: int, c_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(c_in, c_out, stride), *(BasicBlock(c_out, c_out, 1) for _ in range(blocks - 1)))


def _conv(c_in: int, c_out: int, size: int, stride: int) -> nn.Conv2d:
    """A convolution without bias, its weights drawn from N(0, 2 / (size * size * c_out))."""
    conv = nn.Conv2d(c_in, c_out, size, stride, padding=size // 2, bias=False)
    nn.init.normal_(conv.weight, 0.0, math.sqrt(2 / (size * size * c_out)))
    return conv


def cifar_resnet20(num_classes: int, input_shape: Shape) -> nn.Module:
    """Depth 20; the one shape it takes, (3, 32, 32), was checked in the table."""
    return CifarResNet(3, num_classes)


def cifar_resnet110(num_classes: int, input_shape: Shape) -> nn.Module:
    """Depth 110; the one shape it takes, (3, 32, 32), was checked in the table."""
    return CifarResNet(18, num_classes)
