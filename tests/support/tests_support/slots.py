"""A slot with a fake child, and a small job for it."""

import threading
from collections.abc import Callable
from pathlib import Path

from radii.worker.loop import WorkerSlot
from radii.worker.store import jobs
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Event, Job
from tests_support import processes, things

START = 1_500

SlotMaker = Callable[..., WorkerSlot]


def submit(database: Database, tmp_path: Path, count: int) -> str:
    """A certify job of so many inputs from ``START`` on; its identifier."""
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, tmp_path / "blobs", tenant_id),
        "checkpoint": things.checkpoint_of(database, tmp_path / "blobs", tenant_id),
        "inputs": {"start": START, "count": count},
        "n": 100,
    }
    return things.submit(database, tenant_id, body)


def job_of(database: Database, job_id: str) -> Job:
    """The job's row."""
    with database.read() as session:
        return session.get_one(Job, job_id)


def notes(database: Database, job_id: str) -> list[tuple[str, dict[str, object]]]:
    """The job's events that are no changes of its state."""
    states = (jobs.QUEUED, jobs.RUNNING, *jobs.TERMINAL)
    with database.read() as session:
        rows = session.query(Event).where(Event.job_id == job_id, Event.type.not_in(states)).order_by(Event.seq)
        return [(row.type, row.data) for row in rows]


def at_work(slot: WorkerSlot, database: Database, job_id: str) -> threading.Thread:
    """The thread in which the slot works on a part of the job, which has begun."""
    thread = threading.Thread(target=slot.work_once)
    thread.start()
    processes.until(lambda: job_of(database, job_id).state == jobs.RUNNING, 20, "the job runs")
    return thread


def work(slot: WorkerSlot) -> None:
    """Works until nothing is ready."""
    while slot.work_once():
        pass
