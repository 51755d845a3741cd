"""Agreements as rows, with the summary that counts them."""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from radii.rs_core.records import Agreement
from radii.worker.store import result_rows, results
from radii.worker.store.models.result_tables import AgreementRow
from radii.worker.store.models.tables import Job


def store(session: Session, job_id: str, records: Sequence[Agreement]) -> int:
    """Inserts those that are new and adds them to the summary; returns how many were."""
    new = result_rows.insert_new(session, AgreementRow, job_id, records)
    if new:
        summary = results.locked_summary(session, job_id)
        summary.done += len(new)
        summary.work_done += sum(record.n for record in new)
        summary.errors += sum(record.error is not None for record in new)
    return len(new)


def failure(job: Job, index: int, label: int, error: str) -> Agreement:
    """The row of an input that could not be worked on: no agreement, with the reason."""
    return Agreement(index=index, label=label, plain=-1, agreeing=0, n=job.spec.n, seed=job.spec.seed, error=error)


def read(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Agreement]:
    """A job's rows in the order of their index, beyond index ``after``."""
    beyond = AgreementRow.index > after
    for fields in result_rows.read(session, AgreementRow, Agreement, job_id, beyond, limit=limit):
        yield Agreement(**fields)


def shares(session: Session, job_ids: Sequence[str]) -> dict[str, float]:
    """The mean share of agreeing noise samples over the inputs that are done, by job."""
    mean = func.avg(AgreementRow.agreeing * 1.0 / AgreementRow.n)
    query = select(AgreementRow.job_id, mean).where(AgreementRow.job_id.in_(job_ids)).group_by(AgreementRow.job_id)
    return {job_id: float(share) for job_id, share in session.execute(query)}
