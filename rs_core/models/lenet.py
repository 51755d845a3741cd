"""LeNet as the field trains it on MNIST and Fashion-MNIST: 431,080 parameters for ten classes.

Two valid 5x5 convolutions of 20 and 50 channels, each followed by ReLU and 2x2 max-pooling, then 800 -> 500 -> K.
No batch normalisation, no dropout; torch's default initialisation. After LeCun et al., "Gradient-Based Learning Applied
to Document Recognition", 1998, in the sizes of the public smoothing code. Normalisation is left to ``base_classifier``.
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.models.architecture import Shape


class LeNet(nn.Module):
    """(B, 1, 28, 28) -> logits (B, K)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 20, 12, 12)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 50, 4, 4)
        return cast(Tensor, self.fc2(F.relu(self.fc1(x.flatten(1)))))


def lenet(num_classes: int, input_shape: Shape) -> nn.Module:
    """The table's builder; the one shape it takes, (1, 28, 28), was checked there."""
    return LeNet(num_classes)
