"""What a job's results have come to so far: the summary that grows with them in the same transaction, the progress of unfinished
inputs, and the epochs of a training. The rows themselves are in ``certificate_rows``, ``prediction_rows`` and ``evaluation_rows``.

Functions take a session and never commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from radii.worker.store import result_rows
from radii.worker.store.models.result_tables import CertificateRow, EpochMetric, JobSummary, SampleProgress


def store_epoch(session: Session, job_id: str, metric: dict[str, Any]) -> None:
    """Inserts one epoch's metrics, once; ``done`` of the summary counts epochs."""
    inserted = result_rows.insert(session, EpochMetric, [{"job_id": job_id, **metric}], ["job_id", "epoch"])
    if inserted:
        locked_summary(session, job_id).done += 1


def count_failure(session: Session, job_id: str) -> int:
    """Notes that an input is to be given up; returns how many are since the last one that was done."""
    summary = locked_summary(session, job_id)
    summary.given_up += 1
    return summary.given_up


def forget_failures(session: Session, job_id: str) -> None:
    """An input was done: those before it that were not are to blame themselves."""
    summary = locked_summary(session, job_id)
    if summary.given_up:
        summary.given_up = 0


def finish_work(session: Session, job_id: str) -> None:
    """All of the job's work is behind it."""
    summary = locked_summary(session, job_id)
    summary.work_done = summary.work_total


def set_work(session: Session, job_id: str, work_done: int) -> None:
    """How many optimiser steps a training job has behind it, at the furthest: those that it does again after it has gone
    back to a snapshot are no new ones. A count beyond the whole work, which a hostile file can write, is the whole work."""
    summary = locked_summary(session, job_id)
    summary.work_done = max(summary.work_done, min(work_done, summary.work_total))


def add_device_seconds(session: Session, job_id: str, seconds: float) -> None:
    """Adds time that a worker spent on the job."""
    summary = locked_summary(session, job_id)
    summary.device_seconds += seconds


def store_progress(
    session: Session, job_id: str, index: int, votes: dict[str, Any], seconds: float, batch_size: int | None = None
) -> None:
    """Keeps the votes of an unfinished input; ``drawn`` counts those that no certificate of it counts already."""
    counted = select(CertificateRow.n0 + CertificateRow.n).where(
        CertificateRow.job_id == job_id, CertificateRow.index == index
    )
    drawn = sum(stage["drawn"] for stage in votes.values()) - (session.scalar(counted) or 0)
    row = session.get(SampleProgress, (job_id, index))
    if row is None:
        row = SampleProgress(job_id=job_id, index=index, deaths=0)
        session.add(row)
    row.votes, row.drawn, row.seconds, row.batch_size = votes, drawn, seconds, batch_size
    row.deaths = 0  # it can be worked on
    session.flush()


def count_death(session: Session, job_id: str, index: int) -> int:
    """Notes that an input ended the child that worked on it; returns how often it did."""
    row = session.get(SampleProgress, (job_id, index))
    if row is None:
        row = SampleProgress(job_id=job_id, index=index, votes={}, drawn=0, seconds=0.0, deaths=0)
        session.add(row)
    row.deaths += 1
    session.flush()
    return row.deaths


def drop_progress(session: Session, job_id: str, indices: Iterable[int]) -> None:
    """Forgets the progress of inputs that are finished."""
    session.execute(
        delete(SampleProgress).where(SampleProgress.job_id == job_id, SampleProgress.index.in_(list(indices)))
    )


def progress_of(session: Session, job_id: str, indices: Sequence[int]) -> list[SampleProgress]:
    """The unfinished inputs among ``indices``."""
    query = select(SampleProgress).where(
        SampleProgress.job_id == job_id, *result_rows.between(SampleProgress.index, indices)
    )
    return list(session.scalars(query))


def epochs(session: Session, job_id: str) -> list[EpochMetric]:
    """A training job's epochs in order."""
    return list(session.scalars(select(EpochMetric).where(EpochMetric.job_id == job_id).order_by(EpochMetric.epoch)))


def locked_summary(session: Session, job_id: str) -> JobSummary:
    """The job's summary, which nobody else changes until the transaction ends."""
    return session.get_one(JobSummary, job_id, with_for_update=True, populate_existing=True)
