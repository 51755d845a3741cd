"""Jobs go through their states one way only, and every change leaves an event."""

import pytest
from sqlalchemy import select
from tests_support import things

from radii.worker.store import jobs, resources
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Dataset, Event, Job, Shard


@pytest.fixture
def job_id(database: Database) -> str:
    tenant_id = things.tenant(database)
    with database.write() as session:
        new = NewJob(
            tenant_id=tenant_id,
            spec=things.spec("certify"),
            shards=[(0, 5), (5, 8)],
            total=8,
            work_total=80,
            radii=(0.0, 0.25),
        )
        return jobs.submit(session, new).id


def _state(database: Database, job_id: str) -> str:
    with database.read() as session:
        return session.get_one(Job, job_id).state


def _events(database: Database, job_id: str) -> list[tuple[int, str]]:
    with database.read() as session:
        query = select(Event.seq, Event.type).where(Event.job_id == job_id).order_by(Event.seq)
        return [(seq, kind) for seq, kind in session.execute(query)]


def test_a_submission_writes_the_job_its_shards_its_summary_and_its_first_event(
    database: Database, job_id: str
) -> None:
    with database.read() as session:
        shards = list(session.scalars(select(Shard).order_by(Shard.number)))
        summary = session.get_one(JobSummary, job_id)
    assert [(shard.first, shard.stop, shard.state) for shard in shards] == [(0, 5, "ready"), (5, 8, "ready")]
    assert (summary.total, summary.work_total, summary.radii, summary.correct_at) == (8, 80, [0.0, 0.25], [0, 0])
    assert _events(database, job_id) == [(0, "queued")]


def test_identifiers_sort_by_the_time_of_creation(database: Database, job_id: str) -> None:
    with database.write() as session:
        new = NewJob(tenant_id=things.tenant_in(session), spec=things.spec("certify"), shards=[], total=0, work_total=0)
        assert jobs.submit(session, new).id > job_id


@pytest.mark.parametrize("final", sorted(jobs.TERMINAL))
def test_a_final_state_is_final(database: Database, job_id: str, final: str) -> None:
    with database.write() as session:
        for state in {jobs.SUCCEEDED: [jobs.RUNNING], jobs.CANCELLED: [jobs.RUNNING, jobs.CANCELLING]}.get(final, []):
            assert jobs.change(session, job_id, state)
        assert jobs.change(session, job_id, final)
        for state in jobs.SOURCES:
            assert not jobs.change(session, job_id, state)
        jobs.cancel(session, job_id)
        assert not jobs.fail(session, job_id, {"detail": "late"})
    assert _state(database, job_id) == final
    assert _events(database, job_id)[-1][1] == final


def test_every_change_is_an_event_with_the_next_number(database: Database, job_id: str) -> None:
    with database.write() as session:
        jobs.change(session, job_id, jobs.RUNNING)
        jobs.change(session, job_id, jobs.SUCCEEDED)
    assert _events(database, job_id) == [(0, "queued"), (1, "running"), (2, "succeeded")]


def test_a_queued_job_is_cancelled_at_once(database: Database, job_id: str) -> None:
    with database.write() as session:
        jobs.cancel(session, job_id)
    assert _state(database, job_id) == jobs.CANCELLED


def test_a_running_job_is_cancelled_when_no_worker_holds_a_part_of_it(database: Database, job_id: str) -> None:
    with database.write() as session:
        jobs.change(session, job_id, jobs.RUNNING)
        shard = session.get_one(Shard, (job_id, 0))
        shard.state = "leased"
        session.flush()
        jobs.cancel(session, job_id)
    assert _state(database, job_id) == jobs.CANCELLING
    with database.write() as session:
        session.get_one(Shard, (job_id, 0)).state = "ready"
        session.flush()
        jobs.settle(session, job_id)
    assert _state(database, job_id) == jobs.CANCELLED


def test_a_job_succeeds_when_its_last_shard_is_done(database: Database, job_id: str) -> None:
    with database.write() as session:
        jobs.change(session, job_id, jobs.RUNNING)
        for number, state in ((0, "running"), (1, "succeeded")):
            session.get_one(Shard, (job_id, number)).state = "done"
            session.flush()
            jobs.settle(session, job_id)
            assert session.get_one(Job, job_id, populate_existing=True).state == state


def test_a_conversion_that_fails_rejects_what_it_was_to_make(database: Database) -> None:
    tenant_id = things.tenant(database)
    with database.write() as session:
        row, job = resources.create(session, Dataset, tenant_id, "mine", {"files": []})
        jobs.fail(session, job.id, {"detail": "Broken."})
    with database.read() as session:
        found = session.get_one(Dataset, row.id)
    assert (found.state, found.problem) == ("rejected", {"detail": "Broken."})
