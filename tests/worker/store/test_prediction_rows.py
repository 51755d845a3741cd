"""Predictions are stored once, and the summary counts them, on SQLite and on Postgres."""

import dataclasses

import pytest
from tests_support import things

from radii.rs_core.records import Prediction
from radii.worker.store import jobs, prediction_rows
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


def test_predictions_are_stored_once_and_counted(database: Database, job_id: str) -> None:
    prediction = Prediction(
        index=0, label=1, prediction=1, p_value=1e-9, counts=(10, 90), n=100, sigma=0.25, alpha=0.001, seed=3
    )
    for _ in range(2):
        with database.write() as session:
            prediction_rows.store(
                session, job_id, [prediction, dataclasses.replace(prediction, index=1, prediction=-1)]
            )
    summary = _summary(database, job_id)
    assert (summary.done, summary.correct, summary.abstained, summary.work_done) == (2, 1, 1, 200)
    with database.read() as session:
        assert next(prediction_rows.read(session, job_id)) == prediction
