"""What evaluations find, as rows: one for each input, with what was found at each point.

Functions take a session and never commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.results.codec import of_values
from radii.rs_core.specs.evaluations import passes_of
from radii.rs_core.specs.jobs import EvaluateSpec
from radii.worker.store import result_rows
from radii.worker.store.models.result_tables import EvaluationRow, JobSummary
from radii.worker.store.models.tables import Job


def store(session: Session, job_id: str, evaluated: Sequence[EvaluationRecord]) -> int:
    """Inserts those that are new and adds them to the summary, whose ``correct_at`` counts the inputs that are right at each
    point; returns how many were."""
    new = result_rows.insert_new(session, EvaluationRow, job_id, evaluated)
    if new:
        summary = session.get_one(JobSummary, job_id, with_for_update=True, populate_existing=True)
        spec = spec_of(session, job_id)
        right = [one.right(len(summary.radii)) for one in new]
        summary.done += len(new)
        summary.work_done += len(new) * sum(passes_of(spec.evaluation))
        summary.errors += sum(one.error is not None for one in new)
        summary.correct_at = [before + sum(row[at] for row in right) for at, before in enumerate(summary.correct_at)]
    return len(new)


def store_failure(session: Session, job_id: str, spec: EvaluateSpec, index: int, label: int, error: str) -> None:
    """Stores an input that could not be worked on: wrong at every point, with the reason."""
    store(session, job_id, [EvaluationRecord(index=index, label=label, seed=spec.seed, error=error)])


def read(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[EvaluationRecord]:
    """A job's rows in the order of their index, beyond index ``after``."""
    for fields in result_rows.read(
        session, EvaluationRow, EvaluationRecord, job_id, EvaluationRow.index > after, limit=limit
    ):
        yield of_values(EvaluationRecord, fields)


def done_among(session: Session, job_id: str, indices: Sequence[int]) -> set[int]:
    """Which of ``indices`` (ascending) have their row already."""
    query = select(EvaluationRow.index).where(
        EvaluationRow.job_id == job_id, *result_rows.between(EvaluationRow.index, indices)
    )
    return set(session.scalars(query))


def spec_of(session: Session, job_id: str) -> EvaluateSpec:
    """What an evaluate job was asked for."""
    spec = session.get_one(Job, job_id).resolved
    assert isinstance(spec, EvaluateSpec)
    return spec
