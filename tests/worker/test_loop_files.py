"""What the loop prepares before a child begins: it is interrupted, refused and tried again like the child's own work."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests_support import fake_child, things

from radii.rs_core.errors import InvalidResults
from radii.worker.child import handle
from radii.worker.kinds.certify import Certify
from radii.worker.loop import WorkerSlot, end
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import jobs
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Job, Shard


@pytest.fixture
def slot(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., WorkerSlot]]:
    """Makes a slot whose jobs need a file, made as told."""
    monkeypatch.setattr(handle, "COMMAND", (sys.executable, fake_child.__file__))
    made: list[WorkerSlot] = []

    def make(prepare: Callable[[Callable[[], None]], str], **changes: object) -> WorkerSlot:
        def prepared(kind: object, database: object, settings: object, job: object, beat: Callable[[], None]) -> object:
            return {"files": {"soft_labels": prepare(beat)}}

        monkeypatch.setattr(Certify, "prepared", prepared)
        fields = {"data": tmp_path, "database_url": database_url, "commit": 0.02, "retry_pause": 0.0}
        made.append(WorkerSlot(Settings(**fields | changes), database))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        end(one)


def _submit(database: Database, tmp_path: Path) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, tmp_path / "blobs", tenant_id),
        "checkpoint": things.checkpoint_of(database, tmp_path / "blobs", tenant_id),
        "inputs": {"count": 1},
        "n": 10,
    }
    return things.submit(database, tenant_id, body)


def _seen(database: Database, job_id: str) -> tuple[str, str, int]:
    with database.read() as session:
        shard = session.get_one(Shard, (job_id, 0))
        return session.get_one(Job, job_id).state, shard.state, shard.lost


def _endless(beat: Callable[[], None]) -> str:
    for _ in range(1000):
        time.sleep(0.01)
        beat()
    raise AssertionError("nobody stopped it")


def test_a_job_that_is_cancelled_meanwhile_ends(
    database: Database, tmp_path: Path, slot: Callable[..., WorkerSlot]
) -> None:
    job_id = _submit(database, tmp_path)

    def prepare(beat: Callable[[], None]) -> str:
        with database.write() as session:
            jobs.cancel(session, job_id)
        return _endless(beat)

    assert slot(prepare).work_once()
    assert _seen(database, job_id) == (jobs.CANCELLED, "dropped", 0)


def test_a_worker_that_is_to_stop_hands_the_shard_back(
    database: Database, tmp_path: Path, slot: Callable[..., WorkerSlot]
) -> None:
    job_id = _submit(database, tmp_path)
    worker = slot(lambda beat: worker.stop.set() or _endless(beat))  # type: ignore[func-returns-value]
    assert worker.work_once()
    assert _seen(database, job_id) == (jobs.RUNNING, "ready", 0)


def test_the_lease_is_kept_meanwhile(database: Database, tmp_path: Path, slot: Callable[..., WorkerSlot]) -> None:
    job_id = _submit(database, tmp_path)
    leases: list[float] = []

    def prepare(beat: Callable[[], None]) -> str:
        for _ in range(10):
            time.sleep(0.05)
            beat()
            with database.read() as session:
                leases.append(session.get_one(Shard, (job_id, 0)).lease_until)
        return "0" * 64

    assert slot(prepare).work_once()
    assert leases[0] < leases[-1]
    assert _seen(database, job_id)[0] == jobs.SUCCEEDED


def test_what_cannot_be_prepared_fails_the_job_with_its_problem(
    database: Database, tmp_path: Path, slot: Callable[..., WorkerSlot]
) -> None:
    job_id = _submit(database, tmp_path)

    def prepare(beat: Callable[[], None]) -> str:
        raise InvalidResults(expected="votes", got="none for index 7")

    assert slot(prepare).work_once()
    assert _seen(database, job_id)[:2] == (jobs.FAILED, "failed")
    with database.read() as session:
        assert "none for index 7" in (session.get_one(Job, job_id).problem or {})["detail"]


@pytest.mark.parametrize(("number", "lost"), [(errno.ENOSPC, 0), (errno.EIO, 1)])
def test_a_disk_that_fails_is_tried_again_and_a_full_one_is_no_mark_against_the_job(
    database: Database, tmp_path: Path, slot: Callable[..., WorkerSlot], number: int, lost: int
) -> None:
    job_id = _submit(database, tmp_path)

    def prepare(beat: Callable[[], None]) -> str:
        raise OSError(number, os.strerror(number))

    assert slot(prepare).work_once()
    assert _seen(database, job_id) == (jobs.RUNNING, "ready", lost)


def test_those_that_waited_are_rung_for_as_soon_as_the_job_has_succeeded(
    database: Database, tmp_path: Path, slot: Callable[..., WorkerSlot], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _submit(database, tmp_path)
    with database.write() as session:
        first = session.get_one(Job, job_id)
        shared = {"tenant_id": first.tenant_id, "spec": things.spec("train"), "total": 1, "work_total": 1}
        jobs.submit(session, jobs.NewJob(**shared, shards=[(0, 1)] * 3, needs_id=job_id))  # type: ignore[arg-type]
    rung: list[int] = []
    monkeypatch.setattr(broker, "wake_workers", lambda settings, count=1: rung.append(count))
    assert slot(lambda beat: "0" * 64).work_once()
    assert sum(rung) == 3
