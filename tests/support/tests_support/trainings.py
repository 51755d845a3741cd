"""A small training on the digits, and what its records end with."""

from collections.abc import Iterable

from rs_core.spec import PeriodicCertification, Selection, TrainSpec
from rs_core.training import EpochRecord, Trained

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


def trained(records: Iterable[object]) -> Trained:
    """The last record of a training."""
    return next(record for record in records if isinstance(record, Trained))


def epochs(records: Iterable[object]) -> list[EpochRecord]:
    """Its epochs."""
    return [record for record in records if isinstance(record, EpochRecord)]
