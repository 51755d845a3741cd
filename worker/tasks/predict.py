"""A predict shard: the records of its inputs."""

from collections.abc import Iterator
from typing import Any

from radii.rs_core.runs import predict
from radii.worker.tasks.messages import messages
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``prediction``; then ``done`` or ``stopped``."""
    run = task.run()
    yield from task.settled(run)
    yield from messages(predict.records(run))
    yield task.last()
