"""PREDICT on each chosen input."""

from collections.abc import Iterator

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Progress
from radii.rs_core.records import Prediction
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import PredictSpec


def records(run: NoiseRun[PredictSpec]) -> Iterator[Progress | Prediction]:
    """One prediction for each input, and the votes on the way."""
    spec = run.spec
    return engine.predict(
        run.sampler(),
        run.inputs(),
        n=spec.n,
        alpha=spec.alpha,
        resume=run.unfinished,
        alone=run.alone,
        stop=run.stop,
    )
