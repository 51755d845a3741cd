"""Numbers that only grow, over all processes, for whoever runs the service: how often something went wrong and was mended,
and how much was done. Functions take a session and never commit.

What a job has done is in its summary, where each commit adds to it anyway; only what deleted jobs had done is counted here.
A counter that every commit adds to would be a row that all workers wait for.
"""

from dataclasses import dataclass

from sqlalchemy import BigInteger, cast, func, literal, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Counter, Job

LEASES_EXPIRED = "leases_expired"
WRITES_REFUSED = "writes_refused"
CHILDREN_DIED = "children_died"
INPUTS_FAILED = "inputs_failed"
BATCHES_HALVED = "batches_halved"
MADE_WAY = "made_way"

MEANINGS = {
    LEASES_EXPIRED: "Parts of jobs whose worker was not heard of in time.",
    WRITES_REFUSED: "Commits of workers that had lost their part of a job, of which nothing was written.",
    CHILDREN_DIED: "Processes that ended while they worked on a part of a job.",
    INPUTS_FAILED: "Inputs that were given up, and stored as not certified with the reason.",
    BATCHES_HALVED: "Parts of jobs in which memory forced smaller batches.",
    MADE_WAY: "Parts of jobs that a worker handed back for an urgent one.",
}


@dataclass(frozen=True, kw_only=True)
class WorkTotals:
    """What was done for jobs of one kind, those included that are deleted."""

    kind: str
    results: int
    work: int
    device_seconds: float


DONE = {
    "results": JobSummary.done,
    "work": JobSummary.work_done,
    "device_milliseconds": cast(func.round(1000 * JobSummary.device_seconds), BigInteger),
}
"""Of which columns there are counters, by the first half of their name; the other half is the kind of job."""


def add(session: Session, name: str, count: int = 1) -> None:
    """Counts something."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = dialect.insert(Counter).values(name=name, value=count)
    more = Counter.value + new.excluded.value
    session.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": more}))


def values(session: Session) -> dict[str, int]:
    """All counters, those of nothing yet included."""
    found = {row.name: row.value for row in session.scalars(select(Counter))}
    return {name: found.get(name, 0) for name in MEANINGS}


def keep_done(session: Session, job_id: str) -> None:
    """Counts what a job has done that is about to be deleted."""
    names, columns = list(DONE), list(DONE.values())
    query = select(Job.kind, *columns).join(JobSummary, JobSummary.job_id == Job.id).where(Job.id == job_id)
    for kind, *values in session.execute(query):
        for name, value in zip(names, values, strict=True):
            add(session, f"{name}/{kind}", value)


def done(session: Session) -> list[WorkTotals]:
    """What was done, by kind of job. One statement reads what is kept and what is deleted, so that nothing that is deleted
    meanwhile is told twice or not at all."""
    sums = [func.sum(column) for column in DONE.values()]
    kept = select(Job.kind, *sums).join(JobSummary, JobSummary.job_id == Job.id).group_by(Job.kind)
    nothing = [literal(0)] * (len(DONE) - 1)
    deleted = select(Counter.name, Counter.value, *nothing).where(Counter.name.contains("/"))
    found: dict[str, dict[str, int]] = {}
    for key, first, *others in session.execute(union_all(deleted, kept)):
        name, _, kind = key.rpartition("/")
        more = {name: first} if name else dict(zip(DONE, (first, *others), strict=True))
        of_kind = found.setdefault(kind, dict.fromkeys(DONE, 0))
        for column, value in more.items():
            of_kind[column] += int(value)
    return [
        WorkTotals(
            kind=kind,
            results=row["results"],
            work=row["work"],
            device_seconds=row["device_milliseconds"] / 1000,
        )
        for kind, row in sorted(found.items())
    ]
