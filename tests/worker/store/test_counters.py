"""What was done is counted once, whether its job is there or not, and never less than before."""

from tests_support import things

from radii.worker.store import counters, jobs, results
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob


def _ended(database: Database, kind: str) -> str:
    """A cancelled job with some work behind it."""
    with database.write() as session:
        new = NewJob(
            tenant_id=things.tenant_in(session), spec=things.spec(kind), shards=[(0, 1)], total=5, work_total=1_000
        )
        job_id = jobs.submit(session, new).id
        results.set_work(session, job_id, 700)
        results.add_device_seconds(session, job_id, 1.25)
        jobs.cancel(session, job_id)
        return job_id


def test_what_was_done_is_the_same_before_and_after_a_job_is_deleted(database: Database) -> None:
    ended = [_ended(database, kind) for kind in ("certify", "train", "train")]
    for job_id in (None, *ended):
        with database.write() as session:
            assert job_id is None or jobs.delete(session, job_id)
        with database.read() as session:
            found = counters.done(session)
        assert [(row.kind, row.results, row.work, row.device_seconds) for row in found] == [
            ("certify", 0, 700, 1.25),
            ("train", 0, 1_400, 2.5),
        ]


def test_a_training_that_goes_back_to_a_snapshot_takes_nothing_from_what_was_done(database: Database) -> None:
    job_id = _ended(database, "train")
    with database.write() as session:
        results.set_work(session, job_id, 650)
        assert [row.work for row in counters.done(session)] == [700]
        results.set_work(session, job_id, 710)
        assert [row.work for row in counters.done(session)] == [710]


def test_a_count_beyond_the_whole_work_is_the_whole_work(database: Database) -> None:
    """A hostile file can write the count of a conversion."""
    job_id = _ended(database, "convert")
    with database.write() as session:
        results.set_work(session, job_id, 10**14)
        assert [row.work for row in counters.done(session)] == [1_000]
