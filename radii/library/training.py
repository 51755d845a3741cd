"""Training in one call, on a dataset in memory or in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from radii.library.arguments import as_device
from radii.library.datasets import as_dataset
from radii.library.progress import bar
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.methods.registry import METHODS
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.runs.train import TrainRun
from radii.rs_core.specs.jobs import parse_spec
from radii.rs_core.specs.training import TrainSpec, trains_a_mix
from radii.rs_core.training.records import EpochRecord, StepRecord
from radii.rs_core.training.records import TrainingResult as LastRecord
from radii.version import installed_version


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What :func:`train` returns; :func:`save_checkpoint` writes it.

    Attributes:
        model: the classifier in evaluation mode, from images (B, C, H, W) in [0, 1] to logits (B, K), on the device of the training.
        spec: what was trained and how.
        dataset: what it was trained on.
        epoch: the number of epochs after which the model had these weights; ``spec.epochs`` unless ``spec.keep`` chose others.
        value: what the epoch was chosen by; None where the weights are the last ones.
        history: loss, accuracies and learning rate of each epoch, in order.
        device: where it was trained, such as "cuda:0".
    """

    model: BaseClassifier
    spec: TrainSpec
    epoch: int
    value: float | None
    history: tuple[EpochRecord, ...] = field(repr=False)
    device: str
    dataset: Dataset = field(repr=False)

    @cached_property
    def info(self) -> CheckpointInfo:
        """The record of a checkpoint of this model, as :func:`load_checkpoint` returns it."""
        last = LastRecord(model=self.model, epochs=self.spec.epochs, epoch=self.epoch, value=self.value)
        versions = {"radii": installed_version(), "torch": torch.__version__}
        machine = {"versions": versions, "device_type": torch.device(self.device).type}
        return TrainRun(spec=self.spec, data=self.dataset).checkpoint_info(last, machine)


def train(
    dataset: Dataset | str | Path | Sequence[str | Path],
    spec: TrainSpec | None = None,
    *,
    test_data: Dataset | str | Path | Sequence[str | Path] | None = None,
    device: torch.device | str = "auto",
    progress: bool = True,
    **fields: Any,
) -> TrainingResult:
    """Trains a base classifier under noise.

    Args:
        dataset: a dataset, or what :func:`load_dataset` takes.
        spec: what is trained and how. Or give its fields as keywords: ``architecture``, ``sigma``, ``method`` (such as
            ``{"name": "smoothadv"}``), ``epochs``, ``batch_size``, ``learning_rate``, ...; see :class:`TrainSpec`. CAT-RS, adaptive
            smoothing and ``start_from`` need other models first: use ``radii train`` or a service for them.
        test_data: for the accuracy under noise after each epoch; by default the dataset of the field ``test_dataset``.
        device: where it is trained: a torch device, or "auto" for a GPU if there is one, else the CPU.
        progress: whether a progress bar is shown on a terminal or in a notebook.

    Returns:
        The trained model, in evaluation mode and on that device, the epoch of its weights, and the records of all epochs.

    Raises:
        InvalidSpec: a field is unknown or out of its range.
        Mismatch: images and architecture do not fit.
        TrainingDiverged: the loss is not finite.
    """
    data = as_dataset(dataset, "dataset")
    test = None if test_data is None else as_dataset(test_data, "test_data")
    chosen = _spec(spec, fields, data, test)
    if test is None and chosen.test_dataset is not None:
        test = as_dataset(chosen.test_dataset, "test_dataset")
    return _trained(chosen, data, test, as_device(device), progress)


def _trained(
    spec: TrainSpec, data: Dataset, test_data: Dataset | None, device: torch.device, progress: bool
) -> TrainingResult:
    history: list[EpochRecord] = []
    with bar("Training", spec.epochs, shown=progress) as advance:
        for record in TrainRun(spec=spec, data=data, test_data=test_data, device=device).records():
            if isinstance(record, EpochRecord):
                history.append(record)
                advance(1)
            elif isinstance(record, StepRecord):
                advance(0)
            elif isinstance(record, LastRecord):
                return _result(spec, data, record, history, device)
    raise AssertionError("training ended without its last record")


def _result(
    spec: TrainSpec, data: Dataset, last: LastRecord, history: Sequence[EpochRecord], device: torch.device
) -> TrainingResult:
    return TrainingResult(
        model=last.model,
        spec=spec,
        epoch=last.epoch,
        value=last.value,
        history=tuple(history),
        device=str(device),
        dataset=data,
    )


def _spec(given: Any, fields: Mapping[str, Any], data: Dataset, test_data: Dataset | None) -> TrainSpec:
    """The specification that was given, or the one that its fields make."""
    if given is None:
        _check_alone(fields.get("method"), fields.get("start_from"))
        test = {} if test_data is None else {"test_dataset": test_data.name or "test data"}
        given = parse_spec({**test, **fields, "kind": "train", "dataset": data.name or "dataset"})
    elif fields:
        raise InvalidSpec(expected="a specification or its fields", got=f"both: {', '.join(fields)}", where="spec")
    if not isinstance(given, TrainSpec):
        expected = 'a radii.TrainSpec, or its fields as keywords: train(data, architecture="lenet", sigma=0.25)'
        raise InvalidSpec(expected=expected, got=_kind_of(given), where="spec")
    _check_alone(given.method, given.start_from)
    return given


def _kind_of(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__} itself"
    return "a dict; pass it as train(data, **fields)" if isinstance(given, dict) else f"a {type(given).__name__}"


def _check_alone(method: Any, start_from: Any) -> None:
    """Raises :class:`InvalidSpec` for a training that needs another model first."""
    name = method.get("name") if isinstance(method, Mapping) else getattr(method, "name", None)
    if name in METHODS and METHODS[name].needs_soft_labels:
        got = f"{name}: run the command `radii train --method {name}`, which trains the classifier that votes first, or use a service"
        raise InvalidSpec(expected="a method that needs no soft labels", got=got, where="method")
    if start_from is not None or trains_a_mix(method):
        got = f"{start_from or name}: run the command `radii train --start-from FILE`, or use a service"
        where = "method" if start_from is None else "start_from"
        raise InvalidSpec(expected="a training that starts from no other checkpoint", got=got, where=where)
