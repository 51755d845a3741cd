"""What grows with a job: its epochs, and the progress of its inputs, on SQLite and on Postgres."""

import pytest
from tests_support import things

from radii.worker.store import jobs, results
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.result_tables import JobSummary

SPEC = things.spec("certify", n0=10, n=100, sigma=0.25, alpha=0.001, seed=3)


@pytest.fixture
def job_id(database: Database) -> str:
    tenant_id = things.tenant(database)
    with database.write() as session:
        new = NewJob(
            tenant_id=tenant_id,
            spec=SPEC,
            shards=[(0, 8)],
            total=8,
            work_total=880,
            radii=(0.0, 0.25, 0.5),
        )
        return jobs.submit(session, new).id


def _summary(database: Database, job_id: str) -> JobSummary:
    with database.read() as session:
        return session.get_one(JobSummary, job_id)


def test_an_epoch_is_stored_once(database: Database, job_id: str) -> None:
    metric = {"epoch": 0, "steps": 4, "learning_rate": 0.1, "loss": 2.0, "terms": {"a": 1.0}, "accuracy": 0.5}
    for _ in range(2):
        with database.write() as session:
            results.store_epoch(session, job_id, metric | {"test_accuracy": None, "seconds": 1.0})
    with database.read() as session:
        assert [row.terms for row in results.epochs(session, job_id)] == [{"a": 1.0}]
    assert _summary(database, job_id).done == 1


def test_deaths_of_an_input_are_counted_beside_its_progress(database: Database, job_id: str) -> None:
    votes = {"0": {"drawn": 10, "counts": [1, 9]}, "1": {"drawn": 30, "counts": [0, 30]}}
    with database.write() as session:
        results.store_progress(session, job_id, 3, votes, 1.5)
        assert [results.count_death(session, job_id, 3) for _ in range(2)] == [1, 2]
    with database.write() as session:
        (row,) = results.progress_of(session, job_id, range(8))
        assert (row.votes, row.drawn, row.deaths) == (votes, 40, 2)
        results.drop_progress(session, job_id, [3])
        assert results.progress_of(session, job_id, range(8)) == []
