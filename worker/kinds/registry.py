"""The kinds of jobs that workers know, by name."""

from sqlalchemy.orm import Session

from radii.worker.kinds.certify import CERTIFY
from radii.worker.kinds.convert import CONVERT
from radii.worker.kinds.evaluate import EVALUATE
from radii.worker.kinds.kind import Kind
from radii.worker.kinds.predict import PREDICT, SOFT_LABELS
from radii.worker.kinds.train import TRAIN
from radii.worker.kinds.verify import VERIFY
from radii.worker.store import results
from radii.worker.store.models.tables import Job

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CERTIFY, PREDICT, SOFT_LABELS, EVALUATE, VERIFY, TRAIN, CONVERT)}


def store_failure(session: Session, job_id: str, index: int, label: int, error: str) -> None:
    """Stores an input that cannot be worked on, with the reason. Raises :class:`TypeError` for jobs without rows by input."""
    job = session.get_one(Job, job_id)
    rows = KINDS[job.kind].rows
    if rows is None:
        raise TypeError(f"expected a job with a row for each input, got one of kind {job.kind}")
    results.drop_progress(session, job_id, [index])
    rows.store(session, job_id, [rows.failure(job, index, label, error)])
