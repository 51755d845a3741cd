"""A certify shard: the engine's records as messages."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rs_core.certify import engine
from rs_core.certify.engine import Progress
from worker.run.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``certificate``; then ``done``."""
    spec = task.spec
    records = engine.certify(
        task.sampler(), task.inputs(), n0=spec["n0"], n=spec["n"], alpha=spec["alpha"], resume=task.unfinished()
    )
    for record in records:
        yield progress(record) if isinstance(record, Progress) else {"type": "certificate", **asdict(record)}
    yield {"type": "done"}


def progress(record: Progress) -> dict[str, Any]:
    """The votes of the unfinished input, as a message; the first one of an input tells that it has begun."""
    votes = {str(int(stage)): asdict(part) for stage, part in record.votes.items()}
    return {"type": "progress", "index": record.index, "label": record.label, "votes": votes, "seconds": record.seconds}
