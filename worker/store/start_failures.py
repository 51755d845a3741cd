"""Workers that cannot start: which machine, and why, for ``/readyz`` and ``radii doctor``.

Each is a row of the table of workers that nobody takes for a running one: it was never seen. ``started`` is when the worker
failed last. Functions take a session and never commit.
"""

import hashlib
import os
import socket
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from radii.worker.store.clock import clock
from radii.worker.store.models.tables import Worker

ROLE = "cannot start"
LASTS = 300.0
"""Seconds for which a failure counts: a worker that keeps failing tries again sooner."""
LONGEST = 2_000


@dataclass(frozen=True, kw_only=True)
class StartFailure:
    """A worker that could not start lately."""

    host: str
    why: str
    seconds_ago: float


def note(session: Session, number: int, why: str) -> None:
    """Notes that this machine's worker of that number could not start."""
    row = session.get(Worker, _id(number)) or Worker(id=_id(number), host=socket.gethostname()[:255], seen=0.0)
    row.pid, row.started, row.info = os.getpid(), clock(), {"role": ROLE, "why": why[:LONGEST]}
    session.add(row)


def forget(session: Session, number: int) -> None:
    """That worker has started."""
    session.execute(delete(Worker).where(Worker.id == _id(number)))


def recent(session: Session) -> list[StartFailure]:
    """The workers that could not start lately, the latest first."""
    query = select(Worker, clock() - Worker.started).where(Worker.seen == 0.0, Worker.started > clock() - LASTS)
    rows = session.execute(query.order_by(Worker.started.desc()))
    return [
        StartFailure(host=row.host, why=str(row.info.get("why")), seconds_ago=max(0.0, ago))
        for row, ago in rows
        if row.info.get("role") == ROLE
    ]


def _id(number: int) -> str:
    digest = hashlib.sha256(f"{socket.gethostname()} {number}".encode()).hexdigest()
    return f"start_{digest[:28]}"
