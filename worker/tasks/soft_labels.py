"""A soft_labels shard: the records of its inputs."""

from collections.abc import Iterator
from typing import Any

from radii.rs_core.runs import soft_labels
from radii.worker.tasks.messages import messages
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``prediction``; then ``done`` or ``stopped``."""
    run = task.run()
    yield from task.settled(run)
    yield from messages(soft_labels.records(run))
    yield task.last()
