"""Pre-activation ResNet-18 for 32x32 images: He et al., "Identity Mappings in Deep Residual Networks", 2016, arXiv 1603.05027, in
the two layouts of public robust checkpoints, which names and shapes tell apart.

The classic one is that of Rice et al. 2020 (arXiv 2002.11569): ReLU, 1x1 shortcuts that begin after the first rectification,
batch normalisation before the pooling. The one of Gowal et al. 2020 (arXiv 2010.03593) has SiLU (Swish), 3x3 shortcuts of the
block's bare input and, where the stride is 2, padding on the right and below alone; its files hold mean and std, which become the
normalisation. Parameters for ten classes: 11,172,170 and 12,548,426.
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.models.architecture import Shape


class PreActBlock(nn.Module):
    """Block of the classic layout: (B, c_in, h, w) -> (B, c_out, h / stride, w / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        same = c_in == c_out and stride == 1
        self.shortcut = None if same else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        rectified = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(rectified)
        return cast(Tensor, self.conv2(F.relu(self.bn2(self.conv1(rectified)))) + shortcut)


class PreActResNet(nn.Module):
    """(B, 3, 32, 32) -> logits (B, K), in the classic layout."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.layer1 = nn.Sequential(PreActBlock(64, 64, 1), PreActBlock(64, 64, 1))
        self.layer2 = nn.Sequential(PreActBlock(64, 128, 2), PreActBlock(128, 128, 1))
        self.layer3 = nn.Sequential(PreActBlock(128, 256, 2), PreActBlock(256, 256, 1))
        self.layer4 = nn.Sequential(PreActBlock(256, 512, 2), PreActBlock(512, 512, 1))
        self.bn = nn.BatchNorm2d(512)
        self.linear = nn.Linear(512, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))  # (B, 512, 4, 4)
        return cast(Tensor, self.linear(F.avg_pool2d(F.relu(self.bn(x)), 4).flatten(1)))


class SiluPreActBlock(nn.Module):
    """Block of the second layout: (B, c_in, h, w) -> (B, c_out, h / stride, w / stride), for even h and w."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(c_in)
        self.conv_2d_1 = nn.Conv2d(c_in, c_out, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(c_out)
        self.conv_2d_2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        same = c_in == c_out and stride == 1
        self.shortcut = None if same else nn.Conv2d(c_in, c_out, 3, stride, bias=False)
        self.padding = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        shortcut = x if self.shortcut is None else self.shortcut(F.pad(x, self.padding))
        inner = self.conv_2d_1(F.pad(F.silu(self.batchnorm_0(x)), self.padding))
        return cast(Tensor, self.conv_2d_2(F.silu(self.batchnorm_1(inner))) + shortcut)


class SiluPreActResNet(nn.Module):
    """(B, 3, 32, 32), normalised -> logits (B, K), in the second layout."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv_2d = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.layer_0 = nn.Sequential(SiluPreActBlock(64, 64, 1), SiluPreActBlock(64, 64, 1))
        self.layer_1 = nn.Sequential(SiluPreActBlock(64, 128, 2), SiluPreActBlock(128, 128, 1))
        self.layer_2 = nn.Sequential(SiluPreActBlock(128, 256, 2), SiluPreActBlock(256, 256, 1))
        self.layer_3 = nn.Sequential(SiluPreActBlock(256, 512, 2), SiluPreActBlock(512, 512, 1))
        self.batchnorm = nn.BatchNorm2d(512)
        self.logits = nn.Linear(512, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = self.layer_3(self.layer_2(self.layer_1(self.layer_0(self.conv_2d(x)))))  # (B, 512, 4, 4)
        return cast(Tensor, self.logits(F.avg_pool2d(F.silu(self.batchnorm(x)), 4).flatten(1)))


def preact_resnet18(num_classes: int, input_shape: Shape) -> nn.Module:
    """The classic layout; the one shape it takes, (3, 32, 32), was checked in the table."""
    return PreActResNet(num_classes)


def preact_resnet18_silu(num_classes: int, input_shape: Shape) -> nn.Module:
    """The second layout; the one shape it takes, (3, 32, 32), was checked in the table."""
    return SiluPreActResNet(num_classes)
