"""A certify shard: the engine's records as messages."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Progress
from radii.rs_core.certify.sampler import Votes
from radii.rs_core.records import Certificate
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``certificate``; then ``done``, which says whether another turn is to come, or ``stopped``.

    An urgent shard goes through all its turns at once, with a message ``turn`` between two of them.
    """
    yield from task.settled()
    yield from _all_turns(task) if task.urgent else _one_turn(task)


def _one_turn(task: Task) -> Iterator[dict[str, Any]]:
    procedure = task.procedure()
    records = engine.certify(
        task.sampler(),
        task.inputs(),
        procedure,
        resume=task.unfinished(),
        alone=task.alone,
        standard=task.standard(),
        stop=task.asked_to_stop.is_set,
    )
    yield from map(_message, records)
    yield task.last(more=not procedure.last)


def _all_turns(task: Task) -> Iterator[dict[str, Any]]:
    """Each turn begins with the votes of the one before; model, buffers and batches stay as they are."""
    sampler, known, turn = task.sampler(), {begun.index: begun for begun in task.unfinished()}, task.turn
    while True:
        procedure = task.procedure(turn)
        records = engine.certify(
            sampler,
            task.inputs(),
            procedure,
            resume=known.values(),
            alone=task.alone,
            stop=task.asked_to_stop.is_set,
        )
        for record in records:
            known[record.index] = record if isinstance(record, Progress) else _begun(record)
            yield _message(record)
        if procedure.last or task.asked_to_stop.is_set():
            yield task.last()
            return
        turn += 1
        yield {"type": "turn", "turn": turn}


def _begun(record: Certificate) -> Progress:
    """The votes of a certificate, for the next turn to go on from."""
    parts = enumerate((record.counts0, record.counts))
    votes = {stage: Votes(drawn=sum(counts), counts=counts) for stage, counts in parts}
    return Progress(
        index=record.index, label=record.label, votes=votes, seconds=record.seconds, batch_size=record.batch_size
    )


def _message(record: Progress | Certificate) -> dict[str, Any]:
    return progress(record) if isinstance(record, Progress) else {"type": "certificate", **asdict(record)}


def progress(record: Progress) -> dict[str, Any]:
    """The votes of an unfinished input, as a message; the first one of an input tells that it has begun."""
    return {"type": "progress", "label": record.label, **record.body()}
