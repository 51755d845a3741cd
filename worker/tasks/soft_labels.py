"""A soft_labels shard: votes on one view of each input, kept as predictions."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from radii.rs_core.certify.engine import Progress
from radii.rs_core.soft_labels.voting import vote
from radii.worker.tasks.certify import progress
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``prediction``; then ``done`` or ``stopped``."""
    yield from task.settled()
    spec = task.spec
    records = vote(
        task.sampler(),
        task.inputs(),
        n=spec["n"],
        augmentation=spec["augmentation"],
        crop_size=spec["crop_size"],
        resume=task.unfinished(),
        alone=task.alone,
        stop=task.asked_to_stop.is_set,
    )
    for record in records:
        yield progress(record) if isinstance(record, Progress) else {"type": "prediction", **asdict(record)}
    yield task.last()
