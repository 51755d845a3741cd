"""What a training method is given and what it gives back; see ``registry`` for the methods."""

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

    def warmed_up(self, epochs: int) -> float:
        """How far a quantity that grows over so many epochs has come: in (0, 1], and above 0 in the first epoch."""
        return min(1.0, (self.epoch + 1) / epochs)


@dataclass(frozen=True, kw_only=True)
class LossTerms:
    """The loss to minimise (scalar, with gradient), its named parts, and the share of noisy copies classified right."""

    total: Tensor
    accuracy: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


def share_right(logits: Tensor, y: Tensor) -> Tensor:
    """The share of rows classified right: logits (B, K), labels (B,) -> scalar."""
    return (logits.detach().argmax(1) == y).float().mean()
