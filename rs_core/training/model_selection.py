"""Which epoch's weights a training run ends with: the last one's, or those of the best epoch by one number."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

LOWER_IS_BETTER = ("loss",)


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The weights after the best epoch so far (from 0), on the CPU, and the number that makes it the best."""

    epoch: int
    value: float
    weights: Mapping[str, Tensor]


def better(
    kept: BestEpoch | None,
    by: str,
    model: nn.Module,
    *,
    epoch: int,
    loss: float,
    test_accuracy: float | None,
    certification: Mapping[str, Any] | None,
) -> BestEpoch | None:
    """What is kept after ``epoch``. Ties go to the earlier one; an epoch without the number is passed over."""
    acr = None if certification is None else certification["acr"]
    value = {"loss": loss, "test_accuracy": test_accuracy, "acr": acr}.get(by)
    if value is None or not math.isfinite(value) or (kept is not None and not _beats(by, value, kept.value)):
        return kept
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    return BestEpoch(epoch=epoch, value=value, weights=weights)


def _beats(by: str, value: float, best: float) -> bool:
    return value < best if by in LOWER_IS_BETTER else value > best
