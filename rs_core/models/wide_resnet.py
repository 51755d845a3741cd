"""Wide residual networks for 32x32 images: Zagoruyko and Komodakis, "Wide Residual Networks", 2016, arXiv 1605.07146, in the
two layouts of the public robust checkpoints, which names and shapes tell apart.

The classic one (TRADES and most of RobustBench) has ReLU and symmetric padding. The one of Gowal et al., "Uncovering the Limits
of Adversarial Training against Norm-Bounded Adversarial Examples", 2020, arXiv 2010.03593, has SiLU (Swish) and, where a
convolution has stride 2, pads on the right and below alone; its files hold mean and std, which become the normalisation.
Parameters for ten classes, in both: 36,479,194 at depth 28 and width 10, 266,796,506 at depth 70 and width 16.
"""

import math
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.models.architecture import Shape


class WideBlock(nn.Module):
    """Pre-activation block of the classic layout: (B, c_in, h, w) -> (B, c_out, h / stride, w / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = _conv(c_in, c_out, 3, stride, 1)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = _conv(c_out, c_out, 3, 1, 1)
        self.convShortcut = None if c_in == c_out else _conv(c_in, c_out, 1, stride, 0)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways; a shortcut with weights begins after the first rectification."""
        rectified = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(rectified)
        return cast(Tensor, self.conv2(F.relu(self.bn2(self.conv1(rectified)))) + shortcut)


class WideStage(nn.Module):
    """Blocks of one width, under the name ``layer``."""

    def __init__(self, blocks: int, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        rest = (WideBlock(c_out, c_out, 1) for _ in range(blocks - 1))
        self.layer = nn.Sequential(WideBlock(c_in, c_out, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """The last block's output."""
        return cast(Tensor, self.layer(x))


class WideResNet(nn.Module):
    """(B, 3, 32, 32) -> logits (B, K), in the classic layout."""

    def __init__(self, depth: int, width: int, num_classes: int) -> None:
        super().__init__()
        blocks, c = (depth - 4) // 6, 16 * width
        self.conv1 = _conv(3, 16, 3, 1, 1)
        self.block1 = WideStage(blocks, 16, c, 1)
        self.block2 = WideStage(blocks, c, 2 * c, 2)
        self.block3 = WideStage(blocks, 2 * c, 4 * c, 2)
        self.bn1 = nn.BatchNorm2d(4 * c)
        self.fc = nn.Linear(4 * c, num_classes)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))  # (B, 64 width, 8, 8)
        return cast(Tensor, self.fc(F.avg_pool2d(F.relu(self.bn1(x)), 8).flatten(1)))


class SiluBlock(nn.Module):
    """Pre-activation block of the second layout: (B, c_in, h, w) -> (B, c_out, h / stride, w / stride), for even h and w."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(c_in)
        self.conv_0 = _conv(c_in, c_out, 3, stride, 0)
        self.batchnorm_1 = nn.BatchNorm2d(c_out)
        self.conv_1 = _conv(c_out, c_out, 3, 1, 1)
        self.shortcut = None if c_in == c_out else _conv(c_in, c_out, 1, stride, 0)
        self.padding = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways; a shortcut with weights begins after the first activation."""
        active = F.silu(self.batchnorm_0(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        inner = F.silu(self.batchnorm_1(self.conv_0(F.pad(active, self.padding))))
        return cast(Tensor, self.conv_1(inner) + shortcut)


class SiluStage(nn.Module):
    """Blocks of one width, under the name ``block``."""

    def __init__(self, blocks: int, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        rest = (SiluBlock(c_out, c_out, 1) for _ in range(blocks - 1))
        self.block = nn.Sequential(SiluBlock(c_in, c_out, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """The last block's output."""
        return cast(Tensor, self.block(x))


class SiluWideResNet(nn.Module):
    """(B, 3, 32, 32), normalised -> logits (B, K), in the second layout."""

    def __init__(self, depth: int, width: int, num_classes: int) -> None:
        super().__init__()
        blocks, c = (depth - 4) // 6, 16 * width
        self.init_conv = _conv(3, 16, 3, 1, 1)
        self.layer = nn.Sequential(
            SiluStage(blocks, 16, c, 1), SiluStage(blocks, c, 2 * c, 2), SiluStage(blocks, 2 * c, 4 * c, 2)
        )
        self.batchnorm = nn.BatchNorm2d(4 * c)
        self.logits = nn.Linear(4 * c, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = self.layer(self.init_conv(x))  # (B, 64 width, 8, 8)
        return cast(Tensor, self.logits(F.avg_pool2d(F.silu(self.batchnorm(x)), 8).flatten(1)))


def _conv(c_in: int, c_out: int, size: int, stride: int, padding: int) -> nn.Conv2d:
    """A convolution without bias, its weights drawn from N(0, 2 / (size * size * c_out))."""
    conv = nn.Conv2d(c_in, c_out, size, stride, padding=padding, bias=False)
    nn.init.normal_(conv.weight, 0.0, math.sqrt(2 / (size * size * c_out)))
    return conv


def wrn_28_10(num_classes: int, input_shape: Shape) -> nn.Module:
    """Depth 28, width 10; the one shape it takes, (3, 32, 32), was checked in the table. So it was for the others."""
    return WideResNet(28, 10, num_classes)


def wrn_70_16(num_classes: int, input_shape: Shape) -> nn.Module:
    """Depth 70, width 16."""
    return WideResNet(70, 16, num_classes)


def wrn_28_10_silu(num_classes: int, input_shape: Shape) -> nn.Module:
    """Depth 28, width 10, in the second layout."""
    return SiluWideResNet(28, 10, num_classes)


def wrn_70_16_silu(num_classes: int, input_shape: Shape) -> nn.Module:
    """Depth 70, width 16, in the second layout."""
    return SiluWideResNet(70, 16, num_classes)
