"""What evaluations find, as rows: one for each input, with what was found at each point.

Functions take a session and never commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy.orm import Session

from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.results.codec import of_values
from radii.rs_core.specs.jobs import EvaluateSpec
from radii.worker.store import result_rows, results
from radii.worker.store.models.result_tables import EvaluationRow
from radii.worker.store.models.tables import Job
from radii.worker.store.specifications import as_kind


def store(session: Session, job_id: str, evaluated: Sequence[EvaluationRecord]) -> int:
    """Inserts those that are new and adds them to the summary, whose ``correct_at`` counts the inputs that are right at each
    point; returns how many were."""
    new = result_rows.insert_new(session, EvaluationRow, job_id, evaluated)
    if new:
        summary = results.locked_summary(session, job_id)
        spec = as_kind(session.get_one(Job, job_id).spec, EvaluateSpec)
        right = [one.right(len(summary.radii)) for one in new]
        summary.done += len(new)
        summary.work_done += len(new) * sum(spec.evaluation.passes)
        summary.errors += sum(one.error is not None for one in new)
        summary.correct_at = [before + sum(row[at] for row in right) for at, before in enumerate(summary.correct_at)]
    return len(new)


def failure(job: Job, index: int, label: int, error: str) -> EvaluationRecord:
    """The row of an input that could not be worked on: wrong at every point, with the reason."""
    return EvaluationRecord(index=index, label=label, seed=as_kind(job.spec, EvaluateSpec).seed, error=error)


def read(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[EvaluationRecord]:
    """A job's rows in the order of their index, beyond index ``after``."""
    for fields in result_rows.read(
        session, EvaluationRow, EvaluationRecord, job_id, EvaluationRow.index > after, limit=limit
    ):
        yield of_values(EvaluationRecord, fields)
