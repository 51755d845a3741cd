"""From a specification to a job: do model and data fit, how much work is it, how is it cut into shards.

The estimate is in seconds on two CPU cores, from measured rates; it sizes shards and refuses what is far too large, and
promises nothing.
"""

import math
from typing import Any

from radii.rs_core.certify.procedure import USUAL_SAVING, procedure_of
from radii.rs_core.checkpoints.checkpoint_info import CLASSIFIER, make_info
from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.methods.registry import method
from radii.rs_core.reports.certification_of_spec import radii_of
from radii.rs_core.runs import resolution
from radii.rs_core.runs.resolution import S
from radii.rs_core.specs.composition import networks_in
from radii.rs_core.specs.evaluations import AutoAttack, passes_of, points_of
from radii.rs_core.specs.jobs import (
    CertifySpec,
    EvaluateSpec,
    Normalization,
    PredictSpec,
    Selection,
    SoftLabelSpec,
    TrainSpec,
)
from radii.rs_core.specs.training import trains_a_mix
from radii.rs_core.training import compatibility, start_compatibility
from radii.rs_core.training.compatibility import DatasetSummary
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Dataset
from radii.worker.store.specifications import NoisePlan

SAMPLES_PER_SECOND = {
    "digits_cnn": 100_000.0,
    "lenet": 15_000.0,
    "cifar_resnet20": 2_000.0,
    "cifar_resnet110": 350.0,
    "resnet50": 20.0,
    "wrn_28_10": 20.0,
    "wrn_28_10_silu": 19.0,
    "wrn_70_16": 2.7,
    "wrn_70_16_silu": 2.6,
    "preact_resnet18": 180.0,
    "preact_resnet18_silu": 145.0,
    "dncnn": 200.0,
}
"""Forward passes per second on two CPU cores. The wide networks of depth 70 are reckoned from those of depth 28, by their
multiplications; the denoiser's is for images of 32x32."""

FULL_PASS, INPUT_PASS = 3, 2
"""Forward passes that one costs which goes back to the weights, or to the input alone."""

UNITS_OF_WORK = {"train": ("optimiser steps", "inputs, epochs"), "evaluate": ("passes", "inputs, evaluation")}
"""What work is counted in, and which fields it grows with."""

UNKNOWN_RATE = 100.0
MIN_SHARDS, MAX_SHARDS = 8, 2_000


def plan(
    spec: TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec | EvaluateSpec,
    *,
    tenant_id: str,
    dataset: Dataset,
    test_dataset: Dataset | None = None,
    checkpoint: Checkpoint | None = None,
    maker: TrainSpec | None = None,
    start: Checkpoint | None = None,
    shard_seconds: float = 60.0,
    max_job_seconds: float = math.inf,
    priority: int = 0,
    measured: float | None = None,
    samples: float | None = None,
) -> tuple[NewJob, float]:
    """The job that ``spec`` asks for and its estimated seconds. Raises :class:`Mismatch` or :class:`InvalidSpec`.

    ``measured``: noise samples a second, where they are known better than from the table; ``samples``: about how many an
    input will need, where its procedure chooses.

    ``maker`` is the training that makes the checkpoint, where it is not ready or not even there yet; ``start`` the
    checkpoint that a training starts from.
    """
    chosen = len(_selected(spec.inputs, dataset))
    radii: tuple[float, ...] = ()
    if isinstance(spec, TrainSpec):
        row = method(spec.method.name)
        work = spec.epochs * math.ceil(chosen / spec.batch_size) * row.chunks(spec.method)
        full, of_input = row.passes(spec.method)
        units = FULL_PASS * full + INPUT_PASS * of_input
        speed = rate_of(start) if spec.architecture is None else rate(spec.architecture)
        seconds = units * spec.epochs * chosen / speed + _certification_seconds(spec, test_dataset, speed)
        check_training(spec, dataset, test_dataset, start)
        shards, total = [(0, chosen)], spec.epochs
        chosen_by_plan = None
    elif isinstance(spec, EvaluateSpec):
        _check_model(spec, dataset, checkpoint, maker)
        forward, to_the_input = passes_of(spec.evaluation)
        work, total = chosen * (forward + to_the_input), chosen
        seconds = chosen * (forward + INPUT_PASS * to_the_input) / rate_of(checkpoint)
        together = spec.evaluation.together if isinstance(spec.evaluation, AutoAttack) else 1
        shards = cut(chosen, seconds / chosen, shard_seconds, together)
        radii = points_of(spec.evaluation)
        chosen_by_plan = NoisePlan(sigma=resolve(spec, checkpoint).sigma)
    else:
        _check_model(spec, dataset, checkpoint, maker)
        resolved = resolve(spec, checkpoint)
        per_input = spec.n + (spec.n0 if isinstance(spec, CertifySpec) else 0)
        work, total = chosen * per_input, chosen
        usual = per_input / USUAL_SAVING[spec.sampling] if isinstance(spec, CertifySpec) else per_input
        known_rate = rate(maker.architecture) if maker is not None else rate_of(checkpoint)
        seconds = chosen * (samples or usual) / (measured or known_rate)
        shards = cut(chosen, seconds / chosen, shard_seconds)
        if isinstance(spec, CertifySpec):
            _check_grid(spec, dataset)
            assert isinstance(resolved, CertifySpec)
            procedure = procedure_of(resolved, inputs=chosen)
            work = chosen * procedure.most
            radii = radii_of(resolved, procedure.cap)
        chosen_by_plan = NoisePlan(sigma=resolved.sigma, robust_weight=getattr(resolved, "robust_weight", None))
    unit, where = UNITS_OF_WORK.get(spec.kind, ("noise samples", "inputs, n"))
    admit(seconds, max_job_seconds, f"{work} {unit}", where)
    job = NewJob(
        tenant_id=tenant_id,
        spec=spec,
        plan=chosen_by_plan,
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


def admit(seconds: float, most: float, work: str, where: str) -> None:
    """Raises :class:`InvalidSpec` for more work than one job may bring."""
    if seconds > most:
        raise InvalidSpec(
            expected=f"a job of at most {most:.0f} s of estimated work on two CPU cores",
            got=f"one of {seconds:.0f} s ({work})",
            where=where,
        )


def rate(architecture: str | None) -> float:
    """Forward passes per second on two CPU cores."""
    return SAMPLES_PER_SECOND.get(architecture or "", UNKNOWN_RATE)


def rate_of(checkpoint: Checkpoint | None) -> float:
    """The same of a model, which may be made of several: one pass takes the time of all of theirs."""
    names = networks_in(checkpoint.architecture, checkpoint.info) if checkpoint is not None else [""]
    return 1 / sum(1 / rate(name) for name in names)


def cut(inputs: int, seconds_per_input: float, shard_seconds: float, together: int = 1) -> list[tuple[int, int]]:
    """Positions ``[first, stop)`` of each shard: about ``shard_seconds`` of work, enough of them to share, and no more
    than ``MAX_SHARDS``: work that would make more wants a GPU, where each takes less time, and is kept input by input.
    ``together``: inputs that are worked on at once, which no cut divides.
    """
    size = max(1, min(math.ceil(inputs / MIN_SHARDS), round(shard_seconds / seconds_per_input)))
    size = max(size, math.ceil(inputs / MAX_SHARDS))
    size = math.ceil(size / together) * together
    return [(first, min(first + size, inputs)) for first in range(0, inputs, size)]


def resolve(spec: S, checkpoint: Checkpoint | None) -> S:
    """The specification with what it leaves to the checkpoint: noise level and weight."""
    if checkpoint is None:
        return resolution.resolve(spec, None, None, "none")
    return resolution.resolve(spec, checkpoint.sigma, (checkpoint.info or {}).get("composition"), checkpoint.id)


def shape_read(dataset: Dataset, crop_size: int | None) -> list[int]:
    """Channels, height and width of what a model reads of a data set's images: their own, or random parts resized."""
    channels, height, width = dataset.shape or (0, 0, 0)
    return [channels, crop_size or height, crop_size or width]


def _check_model(
    spec: CertifySpec | PredictSpec | SoftLabelSpec | EvaluateSpec,
    dataset: Dataset,
    checkpoint: Checkpoint | None,
    maker: TrainSpec | None,
) -> None:
    """Raises where the model cannot read what the job shows it."""
    crop_size = spec.crop_size if isinstance(spec, SoftLabelSpec) else None
    if crop_size is not None and spec.augmentation != "resized_crop_flip":  # type: ignore[union-attr]
        raise InvalidSpec(expected="a crop_size only with resized_crop_flip", got=str(crop_size), where="crop_size")
    shown = shape_read(dataset, crop_size)
    if maker is not None:
        _check_shapes(shape_read(dataset, maker.crop_size), shown, "the classifier that votes", dataset)
        return
    if checkpoint is None:
        raise InvalidSpec(expected="a checkpoint", got="none", where="checkpoint")
    check_fit(checkpoint, dataset, shown)


def _check_shapes(read: Any, shown: Any, who: str, dataset: Dataset) -> None:
    if list(read or []) != list(shown or []):
        raise Mismatch(
            expected=f"images of shape {_shape(read)}, as {who} reads them",
            got=f"shape {_shape(shown)} in data set {dataset.id}",
            where="dataset",
        )


def check_fit(checkpoint: Checkpoint, dataset: Dataset, shown: list[int] | None = None) -> None:
    """Raises :class:`Mismatch` where the model is no classifier, cannot read the images or has another number of classes.

    ``shown`` is the shape of what it is shown of an image; ``None``: the whole image.
    """
    if (checkpoint.info or {}).get("role") == "denoiser":
        raise Mismatch(
            expected=CLASSIFIER, got=f"{checkpoint.id} ({checkpoint.architecture}), a denoiser", where="checkpoint"
        )
    _check_shapes(checkpoint.input_shape, shown or dataset.shape, f"checkpoint {checkpoint.id}", dataset)
    if checkpoint.num_classes != dataset.num_classes:
        raise Mismatch(
            expected=f"{checkpoint.num_classes} classes, as checkpoint {checkpoint.id} tells apart",
            got=f"{dataset.num_classes} in data set {dataset.id}",
            where="dataset",
        )
    _check_names(checkpoint, dataset)


def _check_grid(spec: CertifySpec, dataset: Dataset) -> None:
    if spec.noise == "discrete" and dataset.eight_bit is False:
        raise Mismatch(
            expected="a data set whose pixels are whole multiples of 1/255, for noise = discrete",
            got=f"{dataset.id}, which has others",
            where="dataset",
        )


def _check_names(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Equal names in another order would give every label another meaning."""
    known, found = checkpoint.class_names or [], dataset.class_names or []
    if known and sorted(known) == sorted(found) and list(known) != list(found):
        raise Mismatch(
            expected=f"classes in the order of checkpoint {checkpoint.id} ({', '.join(known[:5])}, ...)",
            got=f"{', '.join(found[:5])}, ... in data set {dataset.id}",
            where="dataset",
        )


def check_training(
    spec: TrainSpec, dataset: Dataset, test_dataset: Dataset | None, start: Checkpoint | None = None
) -> None:
    """Raises where the architecture cannot be built for the images, where test set or starting weights are of another
    kind, or where a batch is too small for the method."""
    known_data = _known(dataset)
    compatibility.check_training(spec, known_data, _known(test_dataset) if test_dataset is not None else None)
    if start is not None and trains_a_mix(spec.method):
        start_compatibility.check_start_of(spec, make_info("start_from", start.record), known_data)
    elif start is not None:
        constants = (start.info or {}).get("normalization")
        known = None if constants is None else Normalization(**constants)
        compatibility.check_start(spec, start.architecture or "unknown", known)


def _known(dataset: Dataset) -> DatasetSummary:
    channels, height, width = dataset.shape or (0, 0, 0)
    return DatasetSummary(
        count=dataset.count or 0,
        shape=(channels, height, width),
        num_classes=dataset.num_classes or 0,
        class_names=tuple(dataset.class_names or ()),
    )


def _certification_seconds(spec: TrainSpec, test_dataset: Dataset | None, speed: float) -> float:
    """Of all the small certifications during a training."""
    plan = spec.certification
    if plan is None or test_dataset is None:
        return 0.0
    inputs = len(plan.indices(test_dataset.count or 0))
    return math.ceil(spec.epochs / plan.every) * inputs * (plan.n0 + plan.n) / speed


def _selected(inputs: Selection, dataset: Dataset) -> range:
    return resolution.chosen_inputs(inputs, dataset.count or 0, f"data set {dataset.id}")


def _shape(shape: Any) -> str:
    return "x".join(str(side) for side in shape) if shape else "unknown"
