"""What a training run says as it goes on; beside these records it gives ``snapshots.Snapshot``."""

from dataclasses import dataclass
from typing import Any

from radii.rs_core.models.base_classifier import BaseClassifier


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """Where a run stands; about one a second. ``done`` of ``total`` optimiser steps are behind it."""

    epoch: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch came to: means over its images, accuracies under one noise draw per image, its first step's rate.

    ``seconds`` are those of training and of the test accuracy; ``certification`` is ``epoch_evaluation.summary``.
    """

    epoch: int
    steps: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    accuracy: float
    test_accuracy: float | None
    seconds: float
    certification: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The end of a run of ``epochs`` epochs: the model in evaluation mode, with its weights after ``epoch`` of them.

    ``value`` is what that epoch was chosen by; None where the weights are the last ones.
    """

    model: BaseClassifier
    epochs: int
    epoch: int
    value: float | None = None
