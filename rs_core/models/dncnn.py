"""DnCNN, a denoiser: Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", 2017,
arXiv 1608.03981, in the layout of the public denoised-smoothing checkpoints (Salman et al. 2020, arXiv 2003.01908).

Seventeen 3x3 convolutions, 64 channels between them, the inner fifteen with batch normalisation, predict the noise, which is
taken from the image. Height and width are free; 558,400 parameters for three channels. Fresh weights are torch's default,
but for the last layer's, which are zero, so that a fresh network gives images back as they are.
"""

from typing import cast

from torch import Tensor, nn

from radii.rs_core.models.architecture import Shape

DEPTH, WIDTH = 17, 64
EPSILON, MOMENTUM = 1e-4, 0.95
"""Of the batch normalisation, as the public code has them."""


class DnCNN(nn.Module):
    """Noisy images (B, C, H, W) -> images of the same shape, not clamped."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU()]
        for _ in range(DEPTH - 2):
            norm = nn.BatchNorm2d(WIDTH, eps=EPSILON, momentum=MOMENTUM)
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), norm, nn.ReLU()]
        last = nn.Conv2d(WIDTH, channels, 3, padding=1, bias=False)
        nn.init.zeros_(last.weight)
        self.dncnn = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        """The image without what is taken for noise."""
        return cast(Tensor, x - self.dncnn(x))


def dncnn(num_classes: int, input_shape: Shape) -> nn.Module:
    """The table's builder; a denoiser has 0 classes."""
    return DnCNN(input_shape[0])
