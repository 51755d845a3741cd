"""How often something went wrong and was mended, over all processes: for whoever runs the service. Functions take a session
and never commit.
"""

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.store.tables import Counter

LEASES_EXPIRED = "leases_expired"
WRITES_REFUSED = "writes_refused"
CHILDREN_DIED = "children_died"
INPUTS_FAILED = "inputs_failed"
BATCHES_HALVED = "batches_halved"

MEANINGS = {
    LEASES_EXPIRED: "Parts of jobs whose worker was not heard of in time.",
    WRITES_REFUSED: "Commits of workers that had lost their part of a job, of which nothing was written.",
    CHILDREN_DIED: "Processes that ended while they worked on a part of a job.",
    INPUTS_FAILED: "Inputs that were given up, and stored as not certified with the reason.",
    BATCHES_HALVED: "Parts of jobs in which memory forced smaller batches.",
}


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
