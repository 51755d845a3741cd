"""What evaluations find is stored once, and the summary counts who is right at each point, on SQLite and on Postgres."""

import pytest
from tests_support import things

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.records import ABSTAIN
from radii.worker.kinds import registry
from radii.worker.store import evaluation_rows, jobs
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob

SPEC = things.spec(
    "evaluate", sigma=0.25, seed=3, evaluation={"name": "attack", "epsilons": [0.0, 0.5], "steps": 5, "m": 2, "n": 10}
)
PASSES = 2 * 10 + 5 * 2


def row(index: int, *predictions: int) -> EvaluationRecord:
    found = tuple(
        PointResult(point=point, distance=point, prediction=answer, counts=(1, 9))
        for point, answer in zip((0.0, 0.5), predictions, strict=True)
    )
    return EvaluationRecord(index=index, label=1, found=found, seed=3, seconds=0.5)


@pytest.fixture
def job_id(database: Database) -> str:
    tenant_id = things.tenant(database)
    with database.write() as session:
        new = NewJob(
            tenant_id=tenant_id,
            spec=SPEC,
            shards=[(0, 4)],
            total=4,
            work_total=4 * PASSES,
            radii=(0.0, 0.5),
        )
        return jobs.submit(session, new).id


def test_rows_come_back_as_they_were_stored(database: Database, job_id: str) -> None:
    rows = [row(0, 1, 0), row(2, 1, ABSTAIN)]
    with database.write() as session:
        assert evaluation_rows.store(session, job_id, rows) == 2
    with database.read() as session:
        assert list(evaluation_rows.read(session, job_id)) == rows
        assert list(evaluation_rows.read(session, job_id, after=0, limit=5)) == rows[1:]


def test_the_summary_counts_who_is_right_at_each_point_once(database: Database, job_id: str) -> None:
    for _ in range(2):
        with database.write() as session:
            evaluation_rows.store(session, job_id, [row(0, 1, 0), row(1, 1, 1), row(2, ABSTAIN, 0)])
    found = things.summary_of(database, job_id)
    assert (found.done, found.correct_at, found.work_done) == (3, [2, 1], 3 * PASSES)


def test_an_input_that_is_given_up_is_wrong_everywhere_and_says_why(database: Database, job_id: str) -> None:
    with database.write() as session:
        registry.store_failure(session, job_id, 3, 1, "it ended its process")
    with database.read() as session:
        (found,) = evaluation_rows.read(session, job_id)
    assert (found.error, found.found, found.label) == ("it ended its process", (), 1)
    assert (things.summary_of(database, job_id).correct_at, things.summary_of(database, job_id).errors) == ([0, 0], 1)
