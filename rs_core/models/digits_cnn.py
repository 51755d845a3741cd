"""A small network for 8x8 handwritten digits: 38,282 parameters for ten classes, seconds to train, quick under noise.

Two 3x3 convolutions of 16 and 32 channels, each followed by ReLU, one 2x2 max-pooling, then 512 -> 64 -> K; torch's
default initialisation. Ten epochs at noise level 0.25 give about 94 % accuracy on noisy held-out digits.
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.models.architecture import Shape


class DigitsCNN(nn.Module):
    """(B, 1, 8, 8) -> logits (B, K)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(512, 64)
        self.fc2 = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = F.relu(self.conv1(x))  # (B, 16, 8, 8)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 32, 4, 4)
        return cast(Tensor, self.fc2(F.relu(self.fc1(x.flatten(1)))))


def digits_cnn(num_classes: int, input_shape: Shape) -> nn.Module:
    """The table's builder; the one shape it takes, (1, 8, 8), was checked there."""
    return DigitsCNN(num_classes)
