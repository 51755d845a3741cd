"""Results as rows, and the summary that grows with them in the same transaction.

A result is inserted once: where its row is there already, nothing is counted again. Functions take a session and never
commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from rs_core.certify.decision import ABSTAIN, Certificate, Prediction
from rs_core.soft_labels import ALPHA
from rs_core.spec import Selection
from rs_core.tally import tally
from worker.store.shards import Claim
from worker.store.tables import (
    Base,
    CertificateRow,
    Dataset,
    EpochMetric,
    Job,
    JobSummary,
    PredictionRow,
    SampleProgress,
)

Record = TypeVar("Record", Certificate, Prediction)

PREDICTING = ("predict", "soft_labels")
"""Kinds of jobs whose results are predictions."""


def store_certificates(session: Session, job_id: str, certificates: Sequence[Certificate]) -> int:
    """Inserts those that are new and adds them to the summary; returns how many were."""
    new = _insert_new(session, CertificateRow, job_id, certificates)
    if new:
        summary = _locked_summary(session, job_id)
        _count(summary, new, work=sum(certificate.n0 + certificate.n for certificate in new))
        sums = tally(new, summary.radii)
        summary.radius_sum += sums.radius_sum
        summary.at_cap += sums.at_cap or 0
        summary.correct_at = [before + more for before, more in zip(summary.correct_at, sums.counts, strict=True)]
    return len(new)


def store_predictions(session: Session, job_id: str, predictions: Sequence[Prediction]) -> int:
    """Inserts those that are new and adds them to the summary; returns how many were."""
    new = _insert_new(session, PredictionRow, job_id, predictions)
    if new:
        _count(_locked_summary(session, job_id), new, work=sum(prediction.n for prediction in new))
    return len(new)


def store_epoch(session: Session, job_id: str, metric: dict[str, Any]) -> None:
    """Inserts one epoch's metrics, once; ``done`` of the summary counts epochs."""
    inserted = _insert_rows(session, EpochMetric, [{"job_id": job_id, **metric}], ["job_id", "epoch"])
    if inserted:
        _locked_summary(session, job_id).done += 1


def store_failure(session: Session, job_id: str, spec: dict[str, Any], index: int, label: int, error: str) -> None:
    """Stores an input that could not be worked on: not certified, with the reason, and in the denominator."""
    known: dict[str, Any] = {"index": index, "label": label, "prediction": ABSTAIN, "counts": (), "error": error}
    known |= {name: spec[name] for name in ("n", "sigma", "seed")} | {"alpha": spec.get("alpha", ALPHA)}
    if spec["kind"] in PREDICTING:
        store_predictions(session, job_id, [Prediction(**known, p_value=1.0)])
    else:
        store_certificates(session, job_id, [Certificate(**known, n0=spec["n0"], counts0=(), radius=0.0, p_lower=0.0)])
    drop_progress(session, job_id, [index])


def finish_work(session: Session, job_id: str) -> None:
    """All of the job's work is behind it."""
    summary = _locked_summary(session, job_id)
    summary.work_done = summary.work_total


def set_work(session: Session, job_id: str, work_done: int) -> None:
    """How many optimiser steps a training job has behind it."""
    _locked_summary(session, job_id).work_done = work_done


def add_device_seconds(session: Session, job_id: str, seconds: float) -> None:
    """Adds time that a worker spent on the job."""
    summary = _locked_summary(session, job_id)
    summary.device_seconds += seconds


def store_progress(session: Session, job_id: str, index: int, votes: dict[str, Any], seconds: float) -> None:
    """Keeps the votes of the unfinished input."""
    drawn = sum(stage["drawn"] for stage in votes.values())
    row = session.get(SampleProgress, (job_id, index))
    if row is None:
        session.add(SampleProgress(job_id=job_id, index=index, votes=votes, drawn=drawn, seconds=seconds))
    else:
        row.votes, row.drawn, row.seconds = votes, drawn, seconds
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
    query = select(SampleProgress).where(SampleProgress.job_id == job_id, *_between(SampleProgress.index, indices))
    return list(session.scalars(query))


def standing(session: Session, claim: Claim) -> tuple[set[int], dict[str, Any] | None]:
    """Which inputs of a claimed shard have their result, and how far the unfinished one has come."""
    if claim.kind not in ("certify", *PREDICTING):
        return set(), None
    count = session.scalar(select(Dataset.count).join(Job, Job.dataset_id == Dataset.id).where(Job.id == claim.job_id))
    indices = Selection(**claim.spec["inputs"]).indices(count or 0)[claim.first : claim.stop]
    done = done_among(session, claim.job_id, claim.kind, indices)
    begun = [row for row in progress_of(session, claim.job_id, indices) if row.drawn and row.index not in done]
    if not begun:
        return done, None
    return done, {"index": begun[0].index, "votes": begun[0].votes, "seconds": begun[0].seconds}


def done_among(session: Session, job_id: str, kind: str, indices: Sequence[int]) -> set[int]:
    """Which of ``indices`` (ascending) have their result already."""
    table = PredictionRow if kind in PREDICTING else CertificateRow
    return set(session.scalars(select(table.index).where(table.job_id == job_id, *_between(table.index, indices))))


def certificates(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Certificate]:
    """A job's certificates in the order of their index, beyond index ``after``."""
    for fields in _rows(session, CertificateRow, Certificate, job_id, after, limit):
        yield Certificate(**fields | {"counts0": tuple(fields["counts0"]), "counts": tuple(fields["counts"])})


def predictions(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Prediction]:
    """A job's predictions in the order of their index, beyond index ``after``."""
    for fields in _rows(session, PredictionRow, Prediction, job_id, after, limit):
        yield Prediction(**fields | {"counts": tuple(fields["counts"])})


def votes(session: Session, job_id: str, *, after: int, limit: int) -> list[tuple[int, list[int]]]:
    """Index and class counts of a job's predictions without an error, in the order of their index."""
    query = select(PredictionRow.index, PredictionRow.counts).where(
        PredictionRow.job_id == job_id, PredictionRow.index > after, PredictionRow.error.is_(None)
    )
    return [(index, counts) for index, counts in session.execute(query.order_by(PredictionRow.index).limit(limit))]


def without_votes(session: Session, job_id: str, inputs: range) -> tuple[int, str] | None:
    """The first of ``inputs`` (ascending) that a job could not vote on, and why."""
    query = select(PredictionRow.index, PredictionRow.error).where(
        PredictionRow.job_id == job_id, PredictionRow.error.is_not(None), *_between(PredictionRow.index, inputs)
    )
    found = session.execute(query.order_by(PredictionRow.index))
    return next(((index, str(error)) for index, error in found if index in inputs), None)


def epochs(session: Session, job_id: str) -> list[EpochMetric]:
    """A training job's epochs in order."""
    return list(session.scalars(select(EpochMetric).where(EpochMetric.job_id == job_id).order_by(EpochMetric.epoch)))


def _rows(
    session: Session, table: type[Any], record: type[Any], job_id: str, after: int, limit: int | None
) -> Iterator[dict[str, Any]]:
    """The record's fields of each row; columns and not entities, since a report reads very many of them."""
    names = list(record.__dataclass_fields__)
    query = select(*(getattr(table, name) for name in names)).where(table.job_id == job_id, table.index > after)
    for row in session.execute(query.order_by(table.index).limit(limit).execution_options(yield_per=1000)):
        yield dict(zip(names, row, strict=True))


def _between(column: Any, indices: Sequence[int]) -> list[Any]:
    """A range condition, since the positions of one shard are evenly spaced: no list of thousands of parameters."""
    return [column >= indices[0], column <= indices[-1]] if indices else [column < 0]


def _count(summary: JobSummary, new: Sequence[Certificate] | Sequence[Prediction], *, work: int) -> None:
    summary.done += len(new)
    summary.work_done += work
    summary.correct += sum(record.correct for record in new)
    summary.abstained += sum(record.prediction == ABSTAIN for record in new)
    summary.errors += sum(record.error is not None for record in new)


def _insert_new(session: Session, table: type[Base], job_id: str, records: Sequence[Record]) -> list[Record]:
    rows = [{"job_id": job_id, **asdict(record)} for record in records]
    inserted = {index for _, index in _insert_rows(session, table, rows, ["job_id", "index"])}
    return [record for record in records if record.index in inserted]


def _insert_rows(session: Session, table: type[Base], rows: list[dict[str, Any]], key: list[str]) -> list[Any]:
    """``INSERT ... ON CONFLICT DO NOTHING``; returns the keys of the rows that were not there before."""
    if not rows:
        return []
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing(index_elements=key)
    columns = [getattr(table, name) for name in key]
    return list(session.execute(statement.returning(*columns), rows))


def _locked_summary(session: Session, job_id: str) -> JobSummary:
    return session.get_one(JobSummary, job_id, with_for_update=True, populate_existing=True)
