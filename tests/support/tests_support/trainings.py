"""A small training on the digits, and what its records end with."""

from collections.abc import Iterable
from dataclasses import replace

from radii.rs_core.data.dataset import Dataset
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.soft_labels import labels
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import (
    AdaptiveSmoothing,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    Method,
    PeriodicCertification,
    Selection,
    SmoothAdv,
    SmoothMix,
    Stability,
    TrainSpec,
)
from radii.rs_core.specs.methods import AttackFirst
from radii.rs_core.specs.training import trains_a_mix
from radii.rs_core.training.loop import EpochRecord, TrainingResult
from tests_support import mixes

SPEC = TrainSpec(
    dataset="digits",
    architecture="digits_cnn",
    sigma=0.25,
    epochs=2,
    batch_size=40,
    learning_rate=0.05,
    inputs=Selection(count=100),
    seed=3,
)
CERTIFICATION = PeriodicCertification(every=2, inputs=Selection(start=3, step=5, count=6), n0=20, n=200, alpha=0.01)
METHODS: dict[str, Method] = {
    "gaussian": Gaussian(),
    "stability": Stability(),
    "smoothadv": SmoothAdv(m=2, steps=2),
    "smoothadv with ddn": SmoothAdv(m=2, steps=2, attack="ddn"),
    "macer": Macer(m=4),
    "consistency": Consistency(),
    "consistency with smoothadv": Consistency(attack=AttackFirst(steps=2)),
    "smoothmix": SmoothMix(steps=2, mix_step=1),
    "cat_rs": CatRs(m=2, steps=2),
    "adaptive_smoothing": AdaptiveSmoothing(extra_clean=0, attacked=1, steps=2),
}
"""Every method, as cheap as it gets with all its parts."""


def by(hp: Method, spec: TrainSpec = SPEC) -> TrainSpec:
    """The training by that method; a mixing network's starts from a mix, :func:`start_of`."""
    if trains_a_mix(hp):
        return replace(spec, method=hp, architecture=None, start_from="mix")
    return replace(spec, method=hp)


def start_of(spec: TrainSpec) -> BaseClassifier | None:
    """What such a training starts from."""
    return mixes.adaptive()[0] if trains_a_mix(spec.method) else None


def votes(data: Dataset, count: int) -> SoftLabels:
    """Ten votes on each of the first images, eight of them for its label."""
    rows = [[8 * (c == label) + 2 * (c == (label + 1) % 10) for c in range(10)] for label in data.labels[:count]]
    return labels.from_counts(range(count), rows, 10)


def trained(records: Iterable[object]) -> TrainingResult:
    """The last record of a training."""
    return next(record for record in records if isinstance(record, TrainingResult))


def epochs(records: Iterable[object]) -> list[EpochRecord]:
    """Its epochs."""
    return [record for record in records if isinstance(record, EpochRecord)]
