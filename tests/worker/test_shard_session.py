"""What goes wrong around a child is kept from the inputs that are not to blame, and no job goes on for ever because of it."""

import errno
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.orm import Session
from tests_support import processes
from tests_support.slots import START, SlotMaker, job_of, notes, submit, work

from radii.worker import shard_session, task_message
from radii.worker.child.handle import ChildEnded
from radii.worker.commit import write
from radii.worker.store import certificate_rows, jobs, shards
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Job, Shard


def _shard(database: Database, job_id: str) -> Shard:
    with database.read() as session:
        return session.get_one(Shard, (job_id, 0))


def _errors(database: Database, job_id: str) -> list[int]:
    with database.read() as session:
        return [row.index for row in certificate_rows.read(session, job_id) if row.error]


def test_a_job_cancelled_as_its_child_dies_is_cancelled_and_the_worker_lives(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)
    died = shard_session.ShardSession._child_died

    def cancelled_then(self: shard_session.ShardSession, ended: ChildEnded) -> None:
        with database.write() as session:
            jobs.cancel(session, job_id)
        died(self, ended)

    monkeypatch.setattr(shard_session.ShardSession, "_child_died", cancelled_then)
    work(slot(f"{START}:die"))
    assert job_of(database, job_id).state == jobs.CANCELLED
    assert _errors(database, job_id) == []


def test_where_every_input_ends_its_child_the_job_fails_and_does_not_call_them_all_uncertified(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 20)
    work(slot(",".join(f"{START + number}:killed" for number in range(20))))
    job = job_of(database, job_id)
    assert (job.state, job.problem["type"]) == (jobs.FAILED, "urn:radii:problem:nothing-lives")
    assert "signal 9 (SIGKILL), 3 times on each of 4 inputs" in job.problem["detail"]
    assert "a smaller batch_size needs less" in job.problem["detail"]
    assert len(_errors(database, job_id)) == 3, "a few are given up before it is clear that they are not to blame"


def test_an_input_that_has_come_further_begins_anew_with_its_deaths(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)
    worker = slot()
    for act in ("die", "die", "die-further", "die", "die"):
        monkeypatch.setenv("FAKE_CHILD", f"{START}:{act}")
        worker.work_once()
    monkeypatch.setenv("FAKE_CHILD", "")
    work(worker)
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    assert _errors(database, job_id) == []


def test_the_last_try_of_an_input_whose_child_is_killed_from_outside_has_a_smaller_batch(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 3)
    worker = slot(f"{START}:killed")
    worker.work_once()
    assert _shard(database, job_id).resume is None, "once may be anything"
    worker.work_once()
    resume = _shard(database, job_id).resume
    assert resume is not None and resume["alone"] and resume["rows"] >= 1


def test_an_error_of_the_loop_itself_is_tried_again(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)
    prepare, tried = task_message.task, []

    def fails_once(*args: object, **named: object) -> object:
        tried.append(1)
        if len(tried) == 1:
            raise KeyError("a field of another version")
        return prepare(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(task_message, "task", fails_once)
    work(slot())
    assert job_of(database, job_id).state == jobs.SUCCEEDED


def test_an_error_of_the_loop_that_always_comes_fails_the_job_with_it(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)

    def fail(*_: object, **__: object) -> object:
        raise KeyError("a field of another version")

    monkeypatch.setattr(task_message, "task", fail)
    work(slot())
    job = job_of(database, job_id)
    assert job.state == jobs.FAILED
    assert "KeyError: 'a field of another version'" in job.problem["detail"]
    assert _shard(database, job_id).attempt == shards.MAX_LOST


def test_a_child_is_killed_while_the_database_neither_answers_nor_refuses(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 4)
    worker = slot("all:slow", lease=1.5)
    hanging, back = threading.Event(), threading.Event()

    def hangs_once(*args: object, **named: object) -> object:
        if not hanging.is_set():
            hanging.set()
            assert back.wait(30)
        return write(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(shard_session, "write", hangs_once)
    thread = threading.Thread(target=work, args=(worker,))
    thread.start()
    assert hanging.wait(20)
    child = worker.child
    assert child is not None
    began = time.monotonic()
    processes.until(lambda: not child.alive(), 20, "the child is killed")
    assert time.monotonic() - began < 1.5 + 0.5, "before the lease is over, but for the query itself"
    back.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    assert _errors(database, job_id) == []
    assert _shard(database, job_id).lost == 0


def test_a_broken_pipe_to_an_ended_child_is_told_as_its_end(slot: SlotMaker) -> None:
    worker = slot()
    worker.start()
    child = worker.child
    assert child is not None
    child.end()
    assert not os.path.exists(f"/proc/{child.pid}/exe")
    with pytest.raises(ChildEnded):
        child.send({"type": "stop"})


def test_a_child_in_the_middle_of_its_work_goes_where_a_file_cannot_be_kept(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would still say is of this shard, and the next one is not to hear it."""
    job_id, other = submit(database, tmp_path, 2), submit(database, tmp_path, 2)
    worker = slot("all:slow")
    children = []

    def full_once(session: Session, *args: object) -> object:
        if len(children) == 0 and worker.child is not None and args[2].at:  # type: ignore[attr-defined]
            children.append(worker.child)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(session, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(shard_session, "write", full_once)
    assert worker.work_once()
    assert not children[0].alive()
    assert notes(database, job_id) == [
        ("no_room", {"shard": 0, "error": "OSError: [Errno 28] No space left on device."})
    ]
    work(worker)
    for one in (job_id, other):
        assert job_of(database, one).state == jobs.SUCCEEDED
        with database.read() as session:
            assert [row.index for row in certificate_rows.read(session, one)] == [START, START + 1]


def test_a_lease_is_renewed_in_time_however_rarely_results_are_to_be_committed(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 1)
    work(slot("all:slower", lease=3.0, commit=60.0))
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    assert _shard(database, job_id).fence == 1, "its child was not ended for want of a renewal"


@pytest.mark.parametrize("why", [None, "the worker is to end", "the job was cancelled"])
def test_a_worker_that_is_stopping_calls_no_urgent_shard_that_it_will_not_claim(
    database: Database, tmp_path: Path, slot: SlotMaker, why: str | None
) -> None:
    held, asked = submit(database, tmp_path, 2), submit(database, tmp_path, 1)
    worker = slot()
    worker.environment["device_type"] = "cpu"
    with database.write() as session:
        claim = shards.claim(session, lease=60.0, device_type="cpu", execution={}, provenance={})
        row = session.get_one(Job, asked)
        row.priority, row.created = jobs.URGENT, row.created - 60.0
    assert claim is not None and claim.job_id == held
    child: Any = SimpleNamespace(send=lambda message: None)
    driven = shard_session.ShardSession(worker, claim, child)
    driven.progressed, driven.looked = True, 0.0
    if why == "the worker is to end":
        worker.stop.set()
    driven.stopping_since = time.monotonic() if why == "the job was cancelled" else None
    driven._make_way()
    assert (_shard(database, asked).lease_until > 0) is (why is None)
