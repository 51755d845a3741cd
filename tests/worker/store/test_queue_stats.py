"""How long the queue has waited: not for how long a job has been there, but for how long nobody has taken up what they may."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session
from tests_support import things

from radii.worker.store import jobs, queue_stats, results, shards
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job, Worker

DAY = 86_400.0
CPU = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}


def _submit(session: Session, *, hours: float, needs: str | None = None, seconds_to_end: float | None = None) -> str:
    """A job of two parts that was made some hours ago."""
    new = NewJob(
        tenant_id=things.tenant_in(session),
        spec=things.spec("certify"),
        shards=[(0, 1), (1, 2)],
        total=2,
        work_total=2,
        needs_id=needs,
        seconds_to_end=seconds_to_end,
    )
    job_id = jobs.submit(session, new).id
    session.execute(update(Job).where(Job.id == job_id).values(created=clock() - 3600 * hours))
    session.execute(update(JobSummary).where(JobSummary.job_id == job_id).values(updated=clock() - 3600 * hours))
    return job_id


def _wait(session: Session) -> float:
    """In hours."""
    return round(queue_stats.longest_wait(session) / 3600, 2)


def test_nothing_waits_in_an_empty_queue(database: Database) -> None:
    with database.write() as session:
        assert queue_stats.longest_wait(session) == 0.0


def test_a_queued_job_waits_since_it_was_made(database: Database) -> None:
    with database.write() as session:
        _submit(session, hours=2)
        _submit(session, hours=3)
        assert _wait(session) == 3.0


def test_a_long_job_that_is_worked_on_does_not_wait(database: Database) -> None:
    with database.write() as session:
        job_id = _submit(session, hours=72)
        assert shards.claim(session, lease=60, **CPU) is not None  # type: ignore[arg-type]
        results.add_device_seconds(session, job_id, 2.0)
        session.flush()
        assert _wait(session) == 0.0
        summary = update(JobSummary).where(JobSummary.job_id == job_id)
        session.execute(summary.values(updated=clock() - 7200))
        assert _wait(session) == 2.0, "nobody has brought it forward since"
        assert shards.claim(session, lease=60, **CPU) is not None  # type: ignore[arg-type]
        assert _wait(session) == 0.0, "all that is left of it is in work"


def test_what_nobody_may_claim_does_not_wait(database: Database) -> None:
    with database.write() as session:
        _submit(session, hours=3, seconds_to_end=-1.0)
        needed = _submit(session, hours=1)
        _submit(session, hours=2, needs=needed)
        assert _wait(session) == 1.0


@pytest.mark.parametrize(("hours_since_the_end", "wait"), [(0.5, 0.5), (4.0, 2.0)])
def test_a_job_that_needed_another_one_waits_since_that_one_has_succeeded(
    database: Database, hours_since_the_end: float, wait: float
) -> None:
    with database.write() as session:
        needed = _submit(session, hours=5)
        _submit(session, hours=2, needs=needed)
        ended = {"state": jobs.SUCCEEDED, "finished": clock() - 3600 * hours_since_the_end}
        session.execute(update(Job).where(Job.id == needed).values(**ended))
        assert _wait(session) == wait


def test_workers_are_those_that_were_seen_and_no_services(database: Database) -> None:
    with database.write() as session:
        session.add(Worker(id="a", host="h", pid=1, info={}, seen=clock() - 30))
        session.add(Worker(id="b", host="h", pid=2, info={}, seen=clock() - 60))
        session.add(Worker(id="c", host="h", pid=3, info={"role": queue_stats.SERVICE}))
        session.flush()
        ((row, ago),) = queue_stats.workers(session, 45.0)
        assert row.id == "a" and 29 < ago < 40
