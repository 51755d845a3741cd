"""From a specification to a job: do model and data fit, how much work is it, how is it cut into shards.

The estimate is in seconds on two CPU cores, from measured rates; it sizes shards and refuses what is far too large, and
promises nothing.
"""

import math
from typing import Any

from rs_core.errors import InvalidSpec, Mismatch
from rs_core.models import table as architectures
from rs_core.spec import CertifySpec, PredictSpec, Selection, TrainSpec, dump_spec, normalization
from rs_core.tally import default_radii
from worker.store.jobs import NewJob
from worker.store.tables import Checkpoint, Dataset

SAMPLES_PER_SECOND = {
    "digits_cnn": 100_000.0,
    "lenet": 15_000.0,
    "cifar_resnet20": 2_000.0,
    "cifar_resnet110": 350.0,
    "resnet50": 20.0,
}
"""Forward passes per second on two CPU cores; a training step costs about three per image."""

UNKNOWN_RATE = 100.0
BACKWARD = 3
MIN_SHARDS = 8


def plan(
    spec: TrainSpec | CertifySpec | PredictSpec,
    *,
    tenant_id: str,
    dataset: Dataset,
    test_dataset: Dataset | None = None,
    checkpoint: Checkpoint | None = None,
    shard_seconds: float = 60.0,
    max_job_seconds: float = math.inf,
    priority: int = 0,
) -> tuple[NewJob, float]:
    """The job that ``spec`` asks for and its estimated seconds. Raises :class:`Mismatch` or :class:`InvalidSpec`."""
    chosen = len(_selected(spec.inputs, dataset))
    radii: tuple[float, ...] = ()
    if isinstance(spec, TrainSpec):
        work = spec.epochs * math.ceil(chosen / spec.batch_size)
        seconds = BACKWARD * spec.epochs * chosen / rate(spec.architecture)
        check_training(spec, dataset, test_dataset)
        shards, total = [(0, chosen)], spec.epochs
        body = dump_spec(spec)
    else:
        if checkpoint is None:
            raise InvalidSpec(expected="a checkpoint", got="none", where="checkpoint")
        check_fit(checkpoint, dataset)
        sigma = resolve_sigma(spec, checkpoint)
        per_input = spec.n + (spec.n0 if isinstance(spec, CertifySpec) else 0)
        work, total = chosen * per_input, chosen
        seconds = work / rate(checkpoint.architecture or "")
        shards = cut(chosen, seconds / chosen, shard_seconds)
        if isinstance(spec, CertifySpec):
            radii = default_radii(sigma, spec.n, spec.alpha)
        body = dump_spec(spec) | {"sigma": sigma}
    if seconds > max_job_seconds:
        raise InvalidSpec(
            expected=f"a job of at most {max_job_seconds:.0f} s of estimated work on two CPU cores",
            got=f"one of {seconds:.0f} s ({work} {'optimiser steps' if spec.kind == 'train' else 'noise samples'})",
            where="inputs, epochs" if spec.kind == "train" else "inputs, n",
        )
    job = NewJob(
        tenant_id=tenant_id,
        kind=spec.kind,
        spec=body,
        shards=shards,
        total=total,
        work_total=work,
        radii=radii,
        dataset_id=dataset.id,
        test_dataset_id=test_dataset.id if test_dataset else None,
        checkpoint_id=checkpoint.id if checkpoint else None,
        priority=priority,
    )
    return job, seconds


def rate(architecture: str) -> float:
    """Forward passes per second on two CPU cores."""
    return SAMPLES_PER_SECOND.get(architecture, UNKNOWN_RATE)


def cut(inputs: int, seconds_per_input: float, shard_seconds: float) -> list[tuple[int, int]]:
    """Positions ``[first, stop)`` of each shard: about ``shard_seconds`` of work, and enough of them to share."""
    size = max(1, min(math.ceil(inputs / MIN_SHARDS), round(shard_seconds / seconds_per_input)))
    return [(first, min(first + size, inputs)) for first in range(0, inputs, size)]


def resolve_sigma(spec: CertifySpec | PredictSpec, checkpoint: Checkpoint) -> float:
    """The job's noise level: its own, else the checkpoint's."""
    sigma = spec.sigma if spec.sigma is not None else checkpoint.sigma
    if sigma is None:
        raise InvalidSpec(
            expected="a noise level, since the checkpoint does not say with which one it was trained",
            got="none",
            where="sigma",
        )
    return sigma


def check_fit(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Raises :class:`Mismatch` where the model cannot read the images or has another number of classes."""
    if list(checkpoint.input_shape or []) != list(dataset.shape or []):
        raise Mismatch(
            expected=f"images of shape {_shape(checkpoint.input_shape)}, as checkpoint {checkpoint.id} reads them",
            got=f"shape {_shape(dataset.shape)} in data set {dataset.id}",
            where="dataset",
        )
    if checkpoint.num_classes != dataset.num_classes:
        raise Mismatch(
            expected=f"{checkpoint.num_classes} classes, as checkpoint {checkpoint.id} tells apart",
            got=f"{dataset.num_classes} in data set {dataset.id}",
            where="dataset",
        )
    _check_names(checkpoint, dataset)


def _check_names(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Equal names in another order would give every label another meaning."""
    known, found = (checkpoint.info or {}).get("class_names") or [], dataset.class_names or []
    if known and sorted(known) == sorted(found) and list(known) != list(found):
        raise Mismatch(
            expected=f"classes in the order of checkpoint {checkpoint.id} ({', '.join(known[:5])}, ...)",
            got=f"{', '.join(found[:5])}, ... in data set {dataset.id}",
            where="dataset",
        )


def check_training(spec: TrainSpec, dataset: Dataset, test_dataset: Dataset | None) -> None:
    """Raises where the architecture cannot be built for the images, or where the test set is of another kind."""
    channels, height, width = dataset.shape or (0, 0, 0)
    architectures.check(
        spec.architecture,
        num_classes=dataset.num_classes or 0,
        input_shape=(channels, height, width),
        normalization=normalization(spec.normalization),
    )
    if test_dataset is not None and (test_dataset.shape, test_dataset.num_classes) != (
        dataset.shape,
        dataset.num_classes,
    ):
        raise Mismatch(
            expected=f"a test set of shape {_shape(dataset.shape)} with {dataset.num_classes} classes",
            got=f"shape {_shape(test_dataset.shape)} with {test_dataset.num_classes} classes",
            where="test_dataset",
        )


def _selected(inputs: Selection, dataset: Dataset) -> range:
    chosen = inputs.indices(dataset.count or 0)
    if not chosen:
        raise InvalidSpec(
            expected=f"at least one input of data set {dataset.id}, which has {dataset.count}",
            got=f"none from index {inputs.start} on",
            where="inputs",
        )
    return chosen


def _shape(shape: Any) -> str:
    return "x".join(str(side) for side in shape) if shape else "unknown"
