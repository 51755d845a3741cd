"""A certify shard: the engine's records as messages."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rs_core.certify import engine
from rs_core.certify.engine import Progress
from worker.run.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``certificate``; then ``done``, which says whether another turn is to come."""
    yield from task.settled()
    procedure = task.procedure()
    records = engine.certify(
        task.sampler(),
        task.inputs(),
        procedure,
        resume=task.unfinished(),
        alone=task.alone,
        standard=task.standard(),
    )
    for record in records:
        yield progress(record) if isinstance(record, Progress) else {"type": "certificate", **asdict(record)}
    yield {"type": "done", "more": not procedure.last}


def progress(record: Progress) -> dict[str, Any]:
    """The votes of an unfinished input, as a message; the first one of an input tells that it has begun."""
    return {"type": "progress", "label": record.label, **record.body()}
