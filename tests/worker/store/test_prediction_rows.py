"""Predictions are stored once, and the summary counts them, on SQLite and on Postgres."""

import dataclasses

from tests_support import things

from radii.rs_core.records import Prediction
from radii.worker.store import prediction_rows
from radii.worker.store.database import Database

SPEC = things.spec("certify", n0=10, n=100, sigma=0.25, alpha=0.001, seed=3)


def test_predictions_are_stored_once_and_counted(database: Database, job_id: str) -> None:
    prediction = Prediction(
        index=0, label=1, prediction=1, p_value=1e-9, counts=(10, 90), n=100, sigma=0.25, alpha=0.001, seed=3
    )
    for _ in range(2):
        with database.write() as session:
            prediction_rows.store(
                session, job_id, [prediction, dataclasses.replace(prediction, index=1, prediction=-1)]
            )
    summary = things.summary_of(database, job_id)
    assert (summary.done, summary.correct, summary.abstained, summary.work_done) == (2, 1, 1, 200)
    with database.read() as session:
        assert next(prediction_rows.read(session, job_id)) == prediction
