"""Votes on one view of each chosen input."""

from collections.abc import Iterator

from radii.rs_core.certify.engine import Progress
from radii.rs_core.records import Prediction
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.soft_labels import voting
from radii.rs_core.specs.jobs import SoftLabelSpec


def records(run: NoiseRun[SoftLabelSpec]) -> Iterator[Progress | Prediction]:
    """One prediction for each input, whose class counts are the votes, and the votes on the way."""
    spec = run.spec
    return voting.vote(
        run.sampler(),
        run.inputs(),
        n=spec.n,
        augmentation=spec.augmentation,
        crop_size=spec.crop_size,
        resume=run.unfinished,
        alone=run.alone,
        stop=run.stop,
    )
