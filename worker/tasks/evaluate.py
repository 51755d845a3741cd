"""An evaluate shard: what the library finds of each input, as messages."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from radii.rs_core.evaluate.records import Heartbeat
from radii.rs_core.evaluate.runner import evaluated, is_noisy
from radii.rs_core.evaluate.targets import bound_of, subject_of
from radii.rs_core.specs.jobs import DEFAULT_BATCH, EvaluateSpec, parse_spec
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress``, which say what is worked on and hold no votes, and ``evaluated``; then ``done``."""
    spec = parse_spec(task.spec)
    assert isinstance(spec, EvaluateSpec)
    asked, forced = spec.evaluation, (task.resume or {}).get("rows")
    subject = subject_of(
        task.model(),
        spec,
        task.num_classes(),
        batch_size=forced or task.execution.get("batch_size") or DEFAULT_BATCH,
        sampler=task.sampler(bound_of(asked)) if is_noisy(asked) else None,
    )
    for record in evaluated(subject, task.inputs(), asked, alone=task.alone or forced is not None):
        if isinstance(record, Heartbeat):
            yield {"type": "progress", **asdict(record), "votes": {}, "seconds": 0.0}
        else:
            yield {"type": "evaluated", **asdict(record)}
    yield {"type": "done"}
