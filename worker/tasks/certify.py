"""A certify shard: the records of one turn, or of an urgent shard those of all turns."""

from collections.abc import Iterator
from typing import Any

from radii.rs_core.runs import certify
from radii.rs_core.specs.jobs import CertifySpec
from radii.worker.tasks.messages import messages
from radii.worker.tasks.task import Task


def run(task: Task[CertifySpec]) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``record``; then ``done``, which says whether another turn is to come, or ``stopped``.

    An urgent shard goes through all its turns at once, with a message ``turn`` between two of them.
    """
    run = task.run()
    yield from task.settled(run)
    if task.urgent:
        yield from messages(certify.records_of_all_turns(run, task.turn))
        yield task.last()
    else:
        yield from messages(certify.records(run, task.turn))
        yield task.last(more=not certify.procedure(run, task.turn).last)
