"""A shard of a job on chosen inputs: the records of its runner."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from radii.rs_core.specs.jobs import NoiseJob
from radii.worker.tasks.messages import messages
from radii.worker.tasks.task import Task


def run(task: Task[NoiseJob]) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``record``; then ``done``, or ``stopped`` where the loop has asked for it."""
    run = task.run()
    if task.keeps_votes:
        yield from task.settled(run)
    module, function = task.records.split(":")
    yield from messages(getattr(import_module(module), function)(run))
    yield task.last()
