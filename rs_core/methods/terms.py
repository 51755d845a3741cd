"""What a training method is given and what it gives back; see ``table`` for the methods."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where training stands at one optimiser step, and the randomness that belongs to it.

    ``epoch`` and ``step`` count from 0; ``first_drop`` is the first epoch with a lower learning rate; ``generator``
    stands at the beginning of this step's own noise stream; ``soft_labels`` (B, K), where a method needs them.
    """

    sigma: float
    epoch: int
    epochs: int
    first_drop: int
    step: int
    generator: torch.Generator
    soft_labels: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The loss to minimise (scalar, with gradient), its named parts, and the share of noisy copies classified right."""

    total: Tensor
    accuracy: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
