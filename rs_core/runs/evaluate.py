"""An evaluation of each chosen input."""

from collections.abc import Iterator

from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.evaluate.runner import evaluated, is_noisy
from radii.rs_core.evaluate.targets import bound_of, subject_of
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import DEFAULT_BATCH, EvaluateSpec


def records(run: NoiseRun[EvaluateSpec]) -> Iterator[Heartbeat | EvaluationRecord]:
    """One record for each input, and signs of life on the way."""
    spec = run.spec
    subject = subject_of(
        run.model,
        spec,
        run.num_classes,
        batch_size=run.forced or run.batch_size or DEFAULT_BATCH,
        sampler=run.sampler(bound_of(spec.evaluation)) if is_noisy(spec.evaluation) else None,
    )
    return evaluated(subject, run.inputs(), spec.evaluation, alone=run.alone or run.forced is not None)
