"""Whether a training specification fits its data and the weights that it starts from. Needs no torch.

The same questions are asked before a job is taken in, of what is known about its data sets, and before training begins.
"""

from dataclasses import dataclass
from typing import Protocol

from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.methods.registry import method
from radii.rs_core.models import registry as models
from radii.rs_core.models.architecture import Shape
from radii.rs_core.specs.composition import is_composite
from radii.rs_core.specs.jobs import Normalization, TrainSpec, normalization
from radii.rs_core.training.schedules import first_drop

ROUNDING = 1e-6
"""Constants of a normalisation that differ by less are equal: some were stored as float32."""


class DatasetLike(Protocol):
    """A data set, or what is known of one."""

    @property
    def shape(self) -> Shape: ...
    @property
    def num_classes(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """A data set that is elsewhere: how many images of which shape, in how many classes."""

    count: int
    shape: Shape
    num_classes: int
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count


def model_shape(spec: TrainSpec, shape: Shape) -> Shape:
    """(C, H, W) of what the model is trained on, for images of ``shape``: those, or their crops."""
    return shape if spec.crop_size is None else (shape[0], spec.crop_size, spec.crop_size)


def check_training(spec: TrainSpec, data: DatasetLike, test_data: DatasetLike | None) -> None:
    """Raises :class:`Mismatch` or :class:`InvalidSpec` where the data does not fit the model, no input is chosen, the test
    set is of another kind or missing, or a batch is too small for the method."""
    if not spec.inputs.indices(len(data)):
        wanted = f"at least one input of a dataset of {len(data):,}"
        raise InvalidSpec(expected=wanted, got=f"none from index {spec.inputs.start} on", where="inputs")
    shape = model_shape(spec, data.shape)
    if spec.architecture is not None:
        models.check(
            spec.architecture,
            num_classes=data.num_classes,
            input_shape=shape,
            normalization=normalization(spec.normalization),
        )
    _check_chunks(spec, len(data))
    _check_deferral(spec)
    if test_data is not None and (tuple(test_data.shape), test_data.num_classes) != (shape, data.num_classes):
        raise Mismatch(
            expected=f"a test set of shape {_sides(shape)} with {data.num_classes} classes",
            got=f"shape {_sides(test_data.shape)} with {test_data.num_classes} classes",
            where="test_dataset",
        )
    _check_test_data(spec, test_data)


def check_start(spec: TrainSpec, architecture: str, known: Normalization | None) -> None:
    """Raises :class:`Mismatch` unless weights of this architecture and normalisation can be trained on by ``spec``."""
    if is_composite(architecture):
        raise Mismatch(
            expected="a checkpoint of one network: of composites, only a mix is trained on, by adaptive_smoothing",
            got=architecture,
            where="start_from",
        )
    if architecture != spec.architecture:
        raise Mismatch(
            expected=f"a checkpoint of the architecture {spec.architecture}", got=architecture, where="start_from"
        )
    wanted = normalization(spec.normalization)
    if not _equal(wanted, known):
        raise Mismatch(
            expected=f"a checkpoint with the normalisation of this job ({_constants(wanted)})",
            got=f"one with {_constants(known)}; give its normalisation to the job",
            where="start_from",
        )


def _check_chunks(spec: TrainSpec, count: int) -> None:
    """A batch is cut into as many parts as the method makes optimiser steps of it: each must have an image."""
    chunks = method(spec.method.name).chunks(spec.method)
    chosen = len(spec.inputs.indices(count))
    if spec.batch_size < chunks:
        raise InvalidSpec(
            expected=f"at least {chunks}, the optimiser steps that {spec.method.name} makes of a batch",
            got=str(spec.batch_size),
            where="batch_size",
        )
    if 0 < chosen < chunks:
        raise InvalidSpec(
            expected=f"at least {chunks} inputs, the optimiser steps that {spec.method.name} makes of a batch",
            got=str(chosen),
            where="inputs",
        )


def _check_deferral(spec: TrainSpec) -> None:
    """A deferred term has to begin before training ends: shortened presets would otherwise train without it."""
    begins = first_drop(spec)
    if spec.method.name != "macer" or not spec.method.deferred or spec.method.weight == 0:
        return
    if spec.schedule != "step":
        raise InvalidSpec(
            expected="schedule = step, whose first drop begins the deferred robustness term (method.deferred)",
            got=spec.schedule,
            where="schedule",
        )
    if spec.epochs <= begins:
        raise InvalidSpec(
            expected=f"more than {begins} epochs, since the robustness term begins with the first drop of the learning "
            "rate (method.deferred); or a smaller lr_step",
            got=str(spec.epochs),
            where="epochs",
        )


def _check_test_data(spec: TrainSpec, test_data: DatasetLike | None) -> None:
    if spec.certification is None and spec.keep != "test_accuracy":
        return
    if test_data is None:
        raise InvalidSpec(expected="a test data set for what is measured on it", got="none", where="test_dataset")
    if spec.certification is not None and not spec.certification.indices(len(test_data)):
        start = 0 if spec.certification.inputs is None else spec.certification.inputs.start
        raise InvalidSpec(
            expected=f"at least one input of a test data set of {len(test_data):,}",
            got=f"none from index {start} on",
            where="certification.inputs",
        )


def _equal(one: Normalization | None, other: Normalization | None) -> bool:
    if one is None or other is None:
        return one is other
    pairs = [*zip(one.mean, other.mean, strict=False), *zip(one.std, other.std, strict=False)]
    return len(one.mean) == len(other.mean) and all(abs(a - b) <= ROUNDING for a, b in pairs)


def _constants(known: Normalization | None) -> str:
    if known is None:
        return "none"
    mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (known.mean, known.std))
    return f"mean {mean} and std {std}"


def _sides(shape: Shape) -> str:
    return "x".join(str(side) for side in shape)
