"""What came of a job: its rows beside its sums, and beside the counts of an undisturbed run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from radii.worker.store import jobs
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import CertificateRow, JobSummary
from radii.worker.store.models.tables import Job, Shard

Figures = dict[str, Any]
Expected = Callable[[int], tuple[list[int], list[int]]]
"""The counts of an input."""
KINDS_OF_HARM = ("lost", "doubled", "differing", "unfinished")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``lost``: inputs without a result; ``doubled``: results that were counted again; ``differing``: counts that are not
    those of an undisturbed run; ``failed``: inputs that were given up."""

    state: str
    lost: int
    doubled: int
    differing: int
    failed: int


def compared(database: Database, job_id: str, inputs: int | None, expected: Expected | None = None) -> Outcome:
    """What came of a job. Without ``inputs`` it need not have ended: then those of its finished parts are asked for."""
    with database.read() as session:
        state = session.get_one(Job, job_id).state
        summary = session.get_one(JobSummary, job_id)
        rows = session.scalars(select(CertificateRow).where(CertificateRow.job_id == job_id)).all()
        finished = select(func.sum(Shard.stop - Shard.first)).where(Shard.job_id == job_id, Shard.state == "done")
        due = inputs if inputs is not None else int(session.scalar(finished) or 0)
    whole = [row for row in rows if row.error is None]
    return Outcome(
        state=state,
        lost=max(due - len(rows), summary.done - len(rows), 0) if inputs is None else due - len(rows),
        doubled=_counted_again(summary, rows),
        differing=sum(expected is not None and (row.counts0, row.counts) != expected(row.index) for row in whole),
        failed=len(rows) - len(whole),
    )


def _counted_again(summary: JobSummary, rows: Sequence[CertificateRow]) -> int:
    """How many results the sums hold beyond the rows; 1 for each other sum that does not agree with them."""
    work = sum(row.n0 + row.n for row in rows)
    right = sum(row.prediction == row.label for row in rows)
    return max(summary.done - len(rows), 0) + (summary.work_done != work) + (summary.correct != right)


def add(total: Figures, outcome: Outcome, **more: int) -> None:
    """Adds a job that was to succeed with every input."""
    for name in ("lost", "doubled", "differing"):
        total[name] += getattr(outcome, name)
    total["unfinished"] += outcome.state != jobs.SUCCEEDED
    total["lost"] += outcome.failed
    for name, count in more.items():
        total[name] += count


def none(*names: str) -> Figures:
    """Figures in which nothing has been counted yet, those of harm last."""
    return dict.fromkeys([*names, *KINDS_OF_HARM], 0)


def clean(total: Figures, *more: str) -> bool:
    """Whether nothing was lost or doubled, nor anything of ``more`` counted."""
    return not any(total[name] for name in [*KINDS_OF_HARM, *more])


def worst(total: Figures, **seconds: float) -> None:
    """Keeps the largest of each."""
    for name, value in seconds.items():
        total[name] = max(total[name], round(value, 2))
