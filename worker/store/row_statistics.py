"""Statistics of jobs with very many certificates, updated in the transactions that store the rows, so that reports and
plots of ten million rows need not read them. The statistics of fewer rows are computed when they are asked for, and are exact.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import procedure_of
from radii.rs_core.records import Certificate
from radii.rs_core.results.row_statistics import STEPS, RowStatistics, from_bytes, statistics_of, to_bytes
from radii.worker.store import corruption_groups
from radii.worker.store.models.result_tables import JobDigest, JobSummary
from radii.worker.store.models.tables import Dataset, Job

LARGE = 20_000
"""Inputs of a job from which on its statistics are kept."""


def kept(session: Session, job_id: str) -> RowStatistics | None:
    """The statistics of a large job's rows so far; None where there is none to keep."""
    row = session.get(JobDigest, job_id, populate_existing=True)
    return None if row is None else from_bytes(row.body)


def update(
    session: Session,
    summary: JobSummary,
    newer: Sequence[Certificate],
    older: Sequence[Certificate],
    *,
    everything: Callable[[], Sequence[Certificate]],
) -> None:
    """Takes stored rows into the statistics of a large job, and those whose place they took out of it; where there are none
    yet, they are computed from ``everything`` that is stored, since an earlier version kept none.

    The caller holds the summary's lock, which keeps two of these apart.
    """
    if summary.total < LARGE:
        return
    job = session.get_one(Job, summary.job_id)
    spec = job.certify
    how: dict[str, Any] = {
        "cap": procedure_of(spec, inputs=summary.total).cap,
        "steps": STEPS,
        "starts": starts(session, job),
    }
    row = session.get(JobDigest, summary.job_id, populate_existing=True)
    known = None if row is None else from_bytes(row.body)
    if row is not None and known is not None and how["starts"] and known.photographs is None:
        # It was kept by a version that did not count photographs.
        row.body = to_bytes(statistics_of(everything(), summary.radii, **how))
    elif row is None or known is None:
        statistics = statistics_of(everything(), summary.radii, **how)
        session.add(JobDigest(job_id=summary.job_id, body=to_bytes(statistics)))
    else:
        statistics = known
        for rows, sign in ((newer, +1), (older, -1)):
            if rows:
                statistics = statistics.plus(statistics_of(rows, summary.radii, **how), sign)
        row.body = to_bytes(statistics)
    session.flush()


def starts(session: Session, job: Job) -> tuple[int, ...]:
    """The first index of each group of the job's data set; none of one without groups."""
    row = session.get(Dataset, job.dataset_id) if job.dataset_id else None
    return () if row is None else corruption_groups.starts(row)
