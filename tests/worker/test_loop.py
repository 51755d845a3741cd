"""The loop against a child that misbehaves: nothing is lost, nothing is doubled, and nothing is waited for for ever."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError, OperationalError
from tests_support import processes
from tests_support.slots import START, SlotMaker, at_work, job_of, notes, submit, work

from radii.worker.kinds.certify import Certify
from radii.worker.loop import LONGEST_AHEAD, CannotStart, end
from radii.worker.store import certificate_rows, counters, jobs, shards
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job, Shard, Worker
from radii.worker.store.schema_version import WrongSchema


def test_a_well_behaved_child_ends_the_job(database: Database, tmp_path: Path, slot: SlotMaker) -> None:
    job_id = submit(database, tmp_path, 20)
    work(slot())
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    assert processes.stored(database, job_id) == 20


def test_an_input_that_kills_its_child_three_times_is_stored_as_not_certified(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 20)
    work(slot(f"{START + 5}:die"))
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    with database.read() as session:
        rows = list(certificate_rows.read(session, job_id))
        summary = session.get_one(JobSummary, job_id)
    assert len(rows) == 20
    assert [(row.index, row.label, row.prediction, row.radius) for row in rows if row.error] == [
        (START + 5, 7, -1, 0.0)
    ]
    assert "signal 11 (SIGSEGV), 3 times" in next(row.error for row in rows if row.error)
    assert (summary.errors, summary.abstained) == (1, 1)


def test_of_several_inputs_on_their_way_the_one_that_kills_is_found_by_taking_them_alone(
    database: Database, tmp_path: Path, slot: SlotMaker, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = submit(database, tmp_path, 20)
    work(slot(f"{START + 3}:die,together:yes"))
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    with database.read() as session:
        assert [row.index for row in certificate_rows.read(session, job_id) if row.error] == [START + 3]
    together, *alone = [record.at for record in caplog.records if record.message == "child died"]  # type: ignore[attr-defined]
    assert len(together) > 1
    assert alone == [[START + 3]] * 3, "only these count against an input"


def test_an_input_that_does_not_fit_into_memory_is_given_up_and_the_others_are_not(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 20)
    work(slot(f"{START + 3}:large,together:yes"))
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    with database.read() as session:
        errors = {row.index: row.error for row in certificate_rows.read(session, job_id) if row.error}
        counted = counters.values(session)
    assert list(errors) == [START + 3]
    assert "ran out of memory even with one noisy copy at a time, 3 times" in errors[START + 3]
    assert (counted[counters.INPUTS_FAILED], counted[counters.CHILDREN_DIED]) == (1, 0)
    assert [(kind, data["index"]) for kind, data in notes(database, job_id)] == [("input_failed", START + 3)]


def test_work_that_needs_less_memory_goes_on_so_and_the_job_says_it(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Certify, "smaller", lambda kind, spec, execution: {"forward_batch": 32})
    job_id = submit(database, tmp_path, 3)
    work(slot(f"{START}:smaller"))
    job = job_of(database, job_id)
    assert (job.state, job.execution["forward_batch"]) == (jobs.SUCCEEDED, 32)
    assert notes(database, job_id) == [("smaller_batch", {"shard": 0, "forward_batch": 32})]
    with database.read() as session:
        assert session.get_one(Shard, (job_id, 0)).lost == 0


def test_deaths_of_children_are_counted(database: Database, tmp_path: Path, slot: SlotMaker) -> None:
    submit(database, tmp_path, 3)
    work(slot(f"{START}:die"))
    with database.read() as session:
        assert counters.values(session)[counters.CHILDREN_DIED] == 3


def test_a_child_that_dies_after_progress_is_no_mark_against_its_input(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)
    worker = slot(f"{START}:die-further")
    for _ in range(6):
        worker.work_once()
    monkeypatch.setenv("FAKE_CHILD", "")
    work(worker)
    with database.read() as session:
        assert [row.error for row in certificate_rows.read(session, job_id)] == [None] * 3


def test_an_input_that_always_dies_at_the_same_sample_is_given_up(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 3)
    work(slot(f"{START}:die-late"))
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    with database.read() as session:
        assert [row.error is not None for row in certificate_rows.read(session, job_id)] == [True, False, False]


def test_results_that_the_database_never_takes_fail_the_job_at_once(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)

    def refuse(session: object, job_id: str, certificates: list[object]) -> int:
        if certificates:
            raise DataError("INSERT", {}, Exception("cannot be stored"))
        return 0

    monkeypatch.setattr(Certify, "rows", replace(Certify.rows, store=refuse))
    work(slot())
    job = job_of(database, job_id)
    assert job.state == jobs.FAILED
    assert "The database refused the results" in job.problem["detail"]  # type: ignore[index]


def test_a_worker_makes_its_rounds_while_a_shard_is_in_work(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    submit(database, tmp_path, 1)
    worker, ticks = slot("all:slow"), []
    worker.tick = lambda: ticks.append(1)
    worker.work_once()
    assert ticks


def test_a_child_that_falls_silent_is_ended(database: Database, tmp_path: Path, slot: SlotMaker) -> None:
    job_id = submit(database, tmp_path, 4)
    work(slot(f"{START + 1}:hang", child_silence=0.5))
    with database.read() as session:
        errors = [row.error for row in certificate_rows.read(session, job_id)]
    assert [error is not None for error in errors] == [False, True, False, False]
    assert "was ended, 3 times" in (errors[1] or "")


def test_a_problem_that_the_child_tells_of_fails_the_job_with_it(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 4)
    work(slot(f"{START + 1}:fail"))
    job = job_of(database, job_id)
    assert (job.state, job.problem["detail"]) == (jobs.FAILED, "It does not work.")  # type: ignore[index]


@pytest.mark.parametrize(("act", "times"), [("busy", shards.MAX_LOST - 1), ("full", shards.MAX_LOST + 5)])
def test_what_may_pass_is_tried_again_and_a_full_disk_as_often_as_need_be(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch, act: str, times: int
) -> None:
    job_id = submit(database, tmp_path, 1)
    worker = slot(f"{START}:{act}")
    for _ in range(times):
        worker.work_once()
    assert job_of(database, job_id).state == jobs.RUNNING
    told = [("no_room", {"shard": 0, "error": "It does not work."})] if act == "full" else []
    assert notes(database, job_id) == told, "told of once, and not every time"
    worker.drop_child()
    monkeypatch.setenv("FAKE_CHILD", "")
    work(worker)
    assert job_of(database, job_id).state == jobs.SUCCEEDED


def test_cancel_takes_effect_within_a_commit_and_keeps_what_there_is(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 40)
    worker = slot("all:slow")
    thread = threading.Thread(target=work, args=(worker,))
    thread.start()
    processes.until(lambda: processes.stored(database, job_id) >= 1, 20, "a result")
    asked = time.monotonic()
    with database.write() as session:
        jobs.cancel(session, job_id)
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert time.monotonic() - asked < 5
    assert job_of(database, job_id).state == jobs.CANCELLED
    assert 1 <= processes.stored(database, job_id) < 40


def test_a_child_that_does_not_heed_a_cancel_is_ended_after_the_grace(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 8)
    worker = slot(f"{START}:hang", cancel_grace=0.5)
    thread = threading.Thread(target=work, args=(worker,))
    thread.start()
    processes.until(lambda: job_of(database, job_id).state == jobs.RUNNING, 20, "the job runs")
    with database.write() as session:
        jobs.cancel(session, job_id)
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert job_of(database, job_id).state == jobs.CANCELLED


def test_a_worker_that_is_told_to_stop_hands_its_shard_back_without_a_loss(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 8)
    worker = slot("all:slow")
    thread = threading.Thread(target=worker.work_once)
    thread.start()
    processes.until(lambda: job_of(database, job_id).state == jobs.RUNNING, 20, "the job runs")
    worker.stop.set()
    thread.join(timeout=20)
    with database.read() as session:
        held = session.query(Shard).filter_by(job_id=job_id).order_by(Shard.number).first()
        assert held is not None
        assert (held.state, held.lost) == ("ready", 0)


def test_a_worker_that_is_told_to_stop_does_not_wait_long_for_a_child_that_does_not(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    """As while it compiles a network: who ends a service does not wait half a minute."""
    job_id = submit(database, tmp_path, 1)
    worker = slot(f"{START}:hang", cancel_grace=60.0, stop_grace=0.3)
    thread = at_work(worker, database, job_id)
    worker.stop.set()
    thread.join(timeout=20)
    assert not thread.is_alive()
    with database.read() as session:
        held = session.get_one(Shard, (job_id, 0))
        assert (held.state, held.lost) == ("ready", 0)


def test_a_worker_that_slept_past_its_lease_writes_nothing_more(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 8)
    thread = at_work(slot("all:slower", commit=1.0), database, job_id)
    with database.write() as session:
        for shard in session.query(Shard).filter_by(state="leased"):
            shard.lease_until = 0.0
        session.flush()
        assert len(shards.expire_leases(session)) == 1
    thread.join(timeout=20)
    assert processes.stored(database, job_id) == 0
    with database.read() as session:
        counted = counters.values(session)
    assert (counted[counters.LEASES_EXPIRED], counted[counters.WRITES_REFUSED]) == (1, 1)
    assert notes(database, job_id) == [("lease_expired", {"shard": 0})]


def test_what_is_found_after_a_job_has_failed_is_not_stored(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 8)
    thread = at_work(slot("all:slower", commit=1.0), database, job_id)
    with database.write() as session:
        jobs.fail(session, job_id, {"detail": "another part of it failed"})
    thread.join(timeout=20)
    assert processes.stored(database, job_id) == 0
    with database.read() as session:
        assert session.get_one(Shard, (job_id, 0)).state == "dropped"
        assert counters.values(session)[counters.WRITES_REFUSED] == 0


def test_a_worker_that_is_told_to_stop_while_its_child_starts_claims_nothing(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 1)
    worker = slot()
    worker.stop.set()
    assert worker.work_once() is False
    assert job_of(database, job_id).state == jobs.QUEUED


def test_how_an_idle_child_ended_is_logged(
    database: Database, tmp_path: Path, slot: SlotMaker, caplog: pytest.LogCaptureFixture
) -> None:
    worker = slot()
    for _ in range(2):
        submit(database, tmp_path, 5)
        work(worker)
        assert worker.child is not None
        os.kill(worker.child.pid, signal.SIGKILL)
        processes.until(lambda: worker.child is not None and not worker.child.alive(), 10, "the child has ended")
    ends = [record.message for record in caplog.records if "idle child" in record.message]
    assert ends == ["the idle child was ended by signal 9 (SIGKILL)"]


def test_an_idle_child_is_ended_after_a_while(database: Database, tmp_path: Path, slot: SlotMaker) -> None:
    submit(database, tmp_path, 1)
    worker = slot(keep_warm=2.0)
    work(worker)
    assert worker.child is not None
    time.sleep(2.1)
    assert worker.work_once() is False
    assert worker.child is None


def test_an_idle_child_is_ended_though_the_database_is_away(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, tmp_path, 1)
    worker = slot(keep_warm=0.5)
    work(worker)

    def away(*_: object) -> bool:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(shards, "waiting", away)
    time.sleep(0.6)
    with pytest.raises(OperationalError):
        worker.work_once()
    assert worker.child is None


@pytest.mark.parametrize(("behaviour", "message"), [("start:die", "SIGSEGV"), ("start:hang", "not ready in 0")])
def test_a_worker_whose_child_does_not_come_up_says_why(slot: SlotMaker, behaviour: str, message: str) -> None:
    with pytest.raises(CannotStart, match=message):
        slot(behaviour, child_start=0.4).start()


def test_a_worker_refuses_a_database_of_another_schema(slot: SlotMaker, database: Database) -> None:
    from sqlalchemy import text

    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongSchema, match="got 9999"):
        slot().start()


def test_a_worker_is_seen_while_it_is_there(slot: SlotMaker, database: Database) -> None:
    worker = slot()
    worker.start()
    with database.read() as session:
        assert session.get_one(Worker, worker.id).info["device_type"] == "cpu"
    end(worker)
    with database.read() as session:
        assert session.get(Worker, worker.id) is None


def test_urgent_work_goes_first_until_there_was_enough_of_it_and_then_another_part_does(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    ordinary, urgent = (submit(database, tmp_path, 1) for _ in range(2))
    with database.write() as session:
        session.get_one(Job, urgent).priority = jobs.URGENT
    worker = slot()
    worker.ahead = LONGEST_AHEAD
    assert worker.work_once()
    assert (job_of(database, ordinary).state, job_of(database, urgent).state) == (jobs.SUCCEEDED, jobs.QUEUED)
    assert worker.ahead == 0.0
    assert worker.work_once() and worker.ahead > 0.0
    assert job_of(database, urgent).state == jobs.SUCCEEDED


def test_a_part_that_was_just_taken_up_gets_on_before_it_is_handed_back(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    """However many urgent jobs wait, what was claimed beside them has more results after each claim than before."""
    ordinary = submit(database, tmp_path, 6)
    worker = slot("all:slow")
    thread = at_work(worker, database, ordinary)
    urgent = submit(database, tmp_path, 1)
    with database.write() as session:
        row = session.get_one(Job, urgent)
        row.priority, row.created = jobs.URGENT, row.created - 60.0
    thread.join()
    first = processes.stored(database, ordinary)
    assert 0 < first < 6 and job_of(database, urgent).state == jobs.QUEUED
    assert worker.work_once()
    assert job_of(database, urgent).state == jobs.SUCCEEDED
    work(worker)
    assert processes.stored(database, ordinary) == 6
