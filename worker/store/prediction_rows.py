"""Predictions and votes as rows, with the summary that counts them.

Functions take a session and never commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.records import ABSTAIN, Prediction
from radii.rs_core.results.codec import of_values
from radii.rs_core.soft_labels.labels import ALPHA
from radii.worker.store import result_rows, results
from radii.worker.store.models.result_tables import PredictionRow
from radii.worker.store.models.tables import Job


def store(session: Session, job_id: str, predictions: Sequence[Prediction]) -> int:
    """Inserts those that are new and adds them to the summary; returns how many were."""
    new = result_rows.insert_new(session, PredictionRow, job_id, predictions)
    if new:
        summary = results.locked_summary(session, job_id)
        summary.done += len(new)
        summary.work_done += sum(prediction.n for prediction in new)
        summary.correct += sum(prediction.correct for prediction in new)
        summary.abstained += sum(prediction.prediction == ABSTAIN for prediction in new)
        summary.errors += sum(prediction.error is not None for prediction in new)
    return len(new)


def failure(job: Job, index: int, label: int, error: str) -> Prediction:
    """The row of an input that could not be worked on: an abstention, with the reason."""
    spec: Any = job.resolved
    return Prediction(
        index=index,
        label=label,
        prediction=ABSTAIN,
        p_value=1.0,
        counts=(),
        n=spec.n,
        sigma=spec.sigma,
        alpha=getattr(spec, "alpha", ALPHA),
        seed=spec.seed,
        error=error,
    )


def read(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Prediction]:
    """A job's predictions in the order of their index, beyond index ``after``."""
    for fields in result_rows.read(
        session, PredictionRow, Prediction, job_id, PredictionRow.index > after, limit=limit
    ):
        yield of_values(Prediction, fields)


def votes(session: Session, job_id: str, *, after: int, limit: int) -> list[tuple[int, list[int]]]:
    """Index and class counts of a job's predictions without an error, in the order of their index."""
    query = select(PredictionRow.index, PredictionRow.counts).where(
        PredictionRow.job_id == job_id, PredictionRow.index > after, PredictionRow.error.is_(None)
    )
    return [(index, counts) for index, counts in session.execute(query.order_by(PredictionRow.index).limit(limit))]


def without_votes(session: Session, job_id: str, inputs: range) -> tuple[int, str] | None:
    """The first of ``inputs`` (ascending) that a job could not vote on, and why."""
    query = select(PredictionRow.index, PredictionRow.error).where(
        PredictionRow.job_id == job_id,
        PredictionRow.error.is_not(None),
        *result_rows.between(PredictionRow.index, inputs),
    )
    found = session.execute(query.order_by(PredictionRow.index))
    return next(((index, str(error)) for index, error in found if index in inputs), None)
