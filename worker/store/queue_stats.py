"""How the queue stands, for whoever runs the service: how long it has waited, and who is there to work on it. Functions take
a session and never commit.
"""

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session, aliased

from radii.worker.store.clock import clock, instant
from radii.worker.store.jobs import RUNNING
from radii.worker.store.models.index_conditions import waits
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job, Worker
from radii.worker.store.scheduling import free, has_ready

SERVICE = "service"
"""What the row of an HTTP service says in ``info["role"]``; it is seen like a worker, and does no work."""


def longest_wait(session: Session) -> float:
    """Seconds for which the job that has waited longest has had a part that anybody may claim, and nobody brought forward.

    A queued job waits since it was made, or since the job that it needs has succeeded; a running one since its last
    commit, whichever of its parts that was about: a long job with a worker on it does not wait. Parts of a job whose
    deadline has passed, or that needs another one which has not ended, wait for no worker and do not count.
    """
    needed = aliased(Job)
    freed = case((needed.finished > Job.created, needed.finished), else_=Job.created)
    since = case((Job.state == RUNNING, JobSummary.updated), else_=freed)
    query = (
        select(clock() - func.min(since))
        .select_from(Job)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .outerjoin(needed, needed.id == Job.needs_id)
        .where(
            waits(),
            or_(Job.deadline.is_(None), Job.deadline >= instant()),
            free(Job),
            has_ready(Job),
        )
    )
    return max(0.0, session.scalar(query) or 0.0)


def services(session: Session) -> list[float]:
    """How many seconds ago each service was seen, the latest first; those that have ended in order are forgotten."""
    rows = session.execute(select(Worker, clock() - Worker.seen).order_by(Worker.seen.desc()))
    return [max(0.0, ago) for row, ago in rows if row.info.get("role") == SERVICE]


def workers(session: Session, seen: float) -> list[tuple[Worker, float]]:
    """The workers that were seen in the last ``seen`` seconds, and how many ago."""
    query = select(Worker, clock() - Worker.seen).where(Worker.seen > instant() - seen).order_by(Worker.id)
    rows = [(row, max(0.0, ago)) for row, ago in session.execute(query)]
    return [(row, ago) for row, ago in rows if row.info.get("role") != SERVICE]
