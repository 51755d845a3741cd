"""An evaluate shard: what the library finds of each input."""

from collections.abc import Iterator
from typing import Any

from radii.rs_core.runs import evaluate
from radii.worker.tasks.messages import messages
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress``, which say what is worked on and hold no votes, and ``evaluated``; then ``done``."""
    yield from messages(evaluate.records(task.run()))
    yield {"type": "done"}
