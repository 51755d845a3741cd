"""Records of a run as the messages that a child sends to its loop."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from radii.rs_core.certify.engine import Progress
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.runs.certify import TurnBegins

Message = dict[str, Any]
Record = Progress | Heartbeat | TurnBegins | Certificate | Prediction | EvaluationRecord

TYPES = {Certificate: "certificate", Prediction: "prediction", EvaluationRecord: "evaluated", TurnBegins: "turn"}


def message(record: Record) -> Message:
    """A record as a message. The first ``progress`` of an input says that it has begun; that of an evaluation has no votes."""
    if isinstance(record, Progress):
        return {"type": "progress", "label": record.label, **record.body()}
    if isinstance(record, Heartbeat):
        return {"type": "progress", **asdict(record), "votes": {}, "seconds": 0.0}
    return {"type": TYPES[type(record)], **asdict(record)}


def messages(records: Iterable[Record]) -> Iterator[Message]:
    """Each record as a message."""
    return map(message, records)
