"""From the rows of a soft_labels job to the file that a training reads: made once, kept as a blob. Loads no torch.

The rows are read in batches, each in a session of its own, and of each only the classes with votes stay in memory.
Equal rows give an equal file, so two workers that make it at once make the same blob.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import tee
from pathlib import Path

from sqlalchemy.orm import Session

from radii.rs_core.errors import InvalidResults, RadiiError
from radii.rs_core.soft_labels.labels import SoftLabels, from_counts
from radii.rs_core.specs.jobs import SoftLabelSpec, TrainSpec
from radii.worker.settings import Settings
from radii.worker.store import jobs, prediction_rows, resources, storage_usage
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Dataset, Job
from radii.worker.store.specifications import as_kind, shown

BATCH = 1000
WHERE = "method.soft_labels"


def needed_by(session: Session, job: Job) -> Job | None:
    """The job whose votes a training learns from."""
    needed = session.get(Job, job.needs_id) if job.needs_id else None
    return needed if needed is not None and isinstance(needed.spec, SoftLabelSpec) else None


def file_for(database: Database, settings: Settings, training: Job, votes: Job, beat: Callable[[], None]) -> str:
    """The SHA-256 of the file with the votes; ``beat`` is called now and then while it is made.

    Raises :class:`InvalidResults` where an input of the training has no votes.
    """
    with database.read() as session:
        dataset = session.get_one(Dataset, votes.dataset_id)
        inputs = as_kind(training.spec, TrainSpec).inputs.indices(dataset.count or 0)
        failed = prediction_rows.without_votes(session, votes.id, inputs)
    if failed is not None:
        got = f"none for index {failed[0]}: {failed[1]}"
        raise InvalidResults(expected=f"votes of job {votes.id} for every training input", got=got, where=WHERE)
    known = str((votes.output or {}).get("sha256", ""))
    if known and blob_files.path_of(settings.blobs, known).exists():
        return known
    return _made(database, settings, votes, dataset, beat)


def _made(database: Database, settings: Settings, votes: Job, dataset: Dataset, beat: Callable[[], None]) -> str:
    labels = _read(database, votes, dataset, beat)
    beat()
    path = blob_files.new_path(settings.blobs)
    labels.save(path)
    sealed = blob_files.seal_file(path)
    size = {"inputs": len(labels), "num_classes": labels.num_classes, "n": labels.n}
    with _gone_unless_kept(path), database.write() as session:
        storage_usage.hold(session, votes.tenant_id)
        storage_usage.require(session, votes.tenant_id, settings, sealed.size, exact=True)
        resources.put_blob(session, settings.blobs, sealed)
        jobs.note_output(session, votes.id, {"sha256": sealed.sha256, "soft_labels": size})
    return sealed.sha256


@contextmanager
def _gone_unless_kept(path: Path) -> Iterator[None]:
    try:
        yield
    except RadiiError:
        path.unlink(missing_ok=True)
        raise


def _read(database: Database, votes: Job, dataset: Dataset, beat: Callable[[], None]) -> SoftLabels:
    origin = {"job": votes.id, "dataset": dataset.content_hash, "spec": shown(votes.spec, votes.plan)}
    first, second = tee(_rows(database, votes.id, beat))
    indices, counts = (index for index, _ in first), (row for _, row in second)
    return from_counts(indices, counts, dataset.num_classes or 0, origin=origin)


def _rows(database: Database, job_id: str, beat: Callable[[], None]) -> Iterator[tuple[int, list[int]]]:
    after = -1
    while True:
        beat()
        with database.read() as session:
            batch = prediction_rows.votes(session, job_id, after=after, limit=BATCH)
        yield from batch
        if len(batch) < BATCH:
            return
        after = batch[-1][0]
