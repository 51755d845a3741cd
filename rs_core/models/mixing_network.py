"""The mixing network of Adaptive Smoothing, which tells from two feature maps of a standard and of a robust classifier how
much an input is worth of the robust one: Bai et al., "Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive
Smoothing", 2023, arXiv 2301.12554, in the layout of the public code's fourth version.

The first maps of both classifiers, side by side, pass a stage of two pre-activation blocks with stride 2; a 1x1 convolution
of the second ones is added; two more such stages, a global mean and a linear layer without bias give one number, which is
normalised over inputs to gamma. Maps are brought to one size by adaptive mean pooling, so that any two architectures go
together. Parameters have names of their own, so that weights of the public code's mixing networks are not read. Its training, and which loss it has, are left to a training method; the mix is in ``mixed``.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.errors import Mismatch
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.feature_maps import channels_of
from radii.rs_core.models.registry import architecture
from radii.rs_core.specs.composition import Mixing

MOMENTUM = 0.01
CLAMP = 0.6
"""Standard deviations from the mean to which a batch's numbers are clamped in training, before they are normalised."""
PUBLISHED_WIDTHS = {
    64: (128, 256, 512),
    160: (320, 512, 768),
    256: (256, 384, 512),
    512: (256, 384, 512),
}
"""Widths of the three stages for so many channels of a part's first map, added over the two parts."""
WIDEST = (256, 384, 512)


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, normalised and rectified before each: (B, c_in, h, w) -> (B, c_out, h / stride, w / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        same = c_in == c_out and stride == 1
        self.shortcut = None if same else nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways, not rectified."""
        rectified = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(rectified)
        return cast(Tensor, self.conv2(F.relu(self.bn2(self.conv1(rectified)))) + shortcut)


class MixingNetwork(nn.Module):
    """Two feature maps of each of two classifiers -> gamma (B,); the sigmoid of it is the robust classifier's weight."""

    def __init__(self, spec: Mixing) -> None:
        super().__init__()
        self.spec = spec
        first, second = (sum(pair) for pair in zip(*spec.channels, strict=True))
        one, two, three = spec.widths
        self.stage1 = _stage(first, one)
        self.second = nn.Conv2d(second, one, 1, bias=False)
        self.stage2 = _stage(one, two)
        self.stage3 = _stage(two, three)
        self.linear = nn.Linear(three, 1, bias=False)
        self.norm = nn.BatchNorm1d(1, affine=False, momentum=MOMENTUM)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """``first`` and ``second`` are the maps (B, c, h, w) of each part; sizes may differ."""
        x = self.stage1(_beside(first, first[0]))
        x = self.stage3(self.stage2(x + self.second(_beside(second, x))))
        number = self.linear(x.mean(dim=(2, 3)))  # (B, 1)
        if self.training:
            number = _clamped(number)
        gamma = self.norm(number)[:, 0] * self.spec.gamma_scale + self.spec.gamma_bias
        return cast(Tensor, gamma)

    def weight(self, gamma: Tensor) -> Tensor:
        """The robust classifier's weight, of gamma's shape; only in evaluation within the range that was chosen for it."""
        weight = torch.sigmoid(gamma)
        return weight if self.training else weight * self.spec.weight_scale + self.spec.weight_bias


def mixing_for(parts: Sequence[BaseClassifier], shapes: Sequence[Shape], **scales: float) -> Mixing:
    """What a fresh mixing network for two classifiers is; ``shapes`` are those of the images that each is shown, ``scales`` the
    fields of :class:`~radii.rs_core.specs.composition.Mixing` about gamma and weight. Raises :class:`Mismatch` where a part's architecture
    names no feature maps."""
    features = [_features(part.architecture) for part in parts]
    found = [channels_of(part, shape, names) for part, shape, names in zip(parts, shapes, features, strict=True)]
    widths = [sum(stage) for stage in zip(*(widths_for(first) for first, _ in found), strict=True)]
    return Mixing(
        features=(features[0], features[1]),
        channels=(found[0], found[1]),
        widths=(widths[0], widths[1], widths[2]),
        **scales,
    )


def widths_for(channels: int) -> tuple[int, int, int]:
    """A part's share of the three stages' widths: the published one, or twice, four and eight times its first map's channels
    up to what was published for wide networks."""
    doubled = (min(2 * channels, WIDEST[0]), min(4 * channels, WIDEST[1]), min(8 * channels, WIDEST[2]))
    return PUBLISHED_WIDTHS.get(channels, doubled)


def _features(name: str) -> tuple[str, str]:
    found = architecture(name).features
    if found is None:
        raise Mismatch(
            expected="an architecture with feature maps that a mixing network can read (the field features of its row)",
            got=name,
            where="mixing",
        )
    return found


def _stage(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(PreActBlock(c_in, c_out, 2), PreActBlock(c_out, c_out, 1))


def _beside(maps: Sequence[Tensor], like: Tensor) -> Tensor:
    """The maps along their channels, in the height and width of ``like``."""
    sized = [F.adaptive_avg_pool2d(part, like.shape[-2:]) for part in maps]  # type: ignore[arg-type]
    return torch.cat(sized, dim=1)


def _clamped(number: Tensor) -> Tensor:
    mean, std = number.detach().mean(), number.detach().std()
    return number.clamp(mean - CLAMP * std, mean + CLAMP * std)
