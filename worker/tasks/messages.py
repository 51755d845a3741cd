"""Records of a run as the messages that a child sends to its loop."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from radii.rs_core.certify.engine import Progress
from radii.rs_core.evaluate.records import Heartbeat
from radii.rs_core.runs.certify import TurnBegins

Message = dict[str, Any]


def message(record: Any) -> Message:
    """What a runner yields as a message: the record of an input, its progress, or another turn.

    The first ``progress`` of an input says that it has begun; that of an evaluation has no votes.
    """
    if isinstance(record, Progress):
        return {"type": "progress", "label": record.label, **record.body()}
    if isinstance(record, Heartbeat):
        return {"type": "progress", **asdict(record), "votes": {}, "seconds": 0.0}
    return {"type": "turn" if isinstance(record, TurnBegins) else "record", **asdict(record)}


def messages(records: Iterable[Any]) -> Iterator[Message]:
    """Each record as a message."""
    return map(message, records)
