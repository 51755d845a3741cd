"""What grows with a job: its epochs, and the progress of its inputs, on SQLite and on Postgres."""

from tests_support import things

from radii.worker.store import results
from radii.worker.store.database import Database

SPEC = things.spec("certify", n0=10, n=100, sigma=0.25, alpha=0.001, seed=3)


def test_an_epoch_is_stored_once(database: Database, job_id: str) -> None:
    metric = {"epoch": 0, "steps": 4, "learning_rate": 0.1, "loss": 2.0, "terms": {"a": 1.0}, "accuracy": 0.5}
    for _ in range(2):
        with database.write() as session:
            results.store_epoch(session, job_id, metric | {"test_accuracy": None, "seconds": 1.0})
    with database.read() as session:
        assert [row.terms for row in results.epochs(session, job_id)] == [{"a": 1.0}]
    assert things.summary_of(database, job_id).done == 1


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
