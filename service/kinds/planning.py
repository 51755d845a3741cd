"""From a specification to a job: do model and data fit, how much work is it, how is it cut into shards.

The estimate is in seconds on two CPU cores, from measured rates; it sizes shards and refuses what is far too large, and
promises nothing.
"""

import math
from dataclasses import dataclass
from typing import Any

from radii.rs_core.checkpoints.checkpoint_info import CLASSIFIER
from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.runs import resolution
from radii.rs_core.runs.resolution import S
from radii.rs_core.specs.composition import networks_in
from radii.rs_core.specs.jobs import CertifySpec, NoiseJob, Selection, TrainSpec
from radii.worker.store.models.tables import Checkpoint, Dataset
from radii.worker.store.specifications import Plan

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

UNKNOWN_RATE = 100.0
MIN_SHARDS, MAX_SHARDS = 8, 2_000


@dataclass(frozen=True, kw_only=True)
class JobResources:
    """What a job reads.

    ``maker`` is the training that makes the checkpoint, where it is not ready or not even there yet; ``start`` the checkpoint that
    a training starts from.
    """

    dataset: Dataset
    test_dataset: Dataset | None = None
    checkpoint: Checkpoint | None = None
    maker: TrainSpec | None = None
    start: Checkpoint | None = None

    def chosen(self, inputs: Selection) -> range:
        """The chosen indices; raises :class:`InvalidSpec` where there are none."""
        return resolution.chosen_inputs(inputs, self.dataset.count or 0, f"data set {self.dataset.id}")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast it goes, and how long a shard is to take.

    ``rate``: noise samples a second, where they are known better than from the table; ``samples``: about how many an input will
    need, where its procedure chooses.
    """

    shard_seconds: float = 60.0
    rate: float | None = None
    samples: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How much work a job is, and how it is cut.

    Attributes:
        total: Inputs, or epochs.
        work: In the unit of its kind.
        seconds: Of work on two CPU cores.
        shards: Positions of each.
        plan: What planning has chosen.
        radii: At which inputs are counted: radii of the report, or points of an evaluation.
    """

    total: int
    work: int
    seconds: float
    shards: list[tuple[int, int]]
    plan: Plan | None = None
    radii: tuple[float, ...] = ()


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


def check_model(spec: NoiseJob, resources: JobResources) -> None:
    """Raises where the model cannot read what the job shows it."""
    dataset, checkpoint, maker = resources.dataset, resources.checkpoint, resources.maker
    seen = shape_read(dataset, spec.crop_size)
    if maker is not None:
        _check_shapes(shape_read(dataset, maker.crop_size), seen, "the classifier that votes", dataset)
        return
    if checkpoint is None:
        raise InvalidSpec(expected="a checkpoint", got="none", where="checkpoint")
    check_fit(checkpoint, dataset, seen)


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


def check_grid(spec: CertifySpec, dataset: Dataset) -> None:
    """Raises :class:`Mismatch` for discrete noise on pixels that are not whole multiples of 1/255."""
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


def _shape(shape: Any) -> str:
    return "x".join(str(side) for side in shape) if shape else "unknown"
