"""Uploads, datasets and checkpoints: what tenants own, and the blob of each.

A dataset or a checkpoint is ``pending`` until the job that makes it ends, then ``ready`` or ``rejected`` with its
problem; ``deleted`` rows stay for the jobs that name them and are shown to nobody, nor are datasets that are ``attached``
to the one job that they came with. Functions take a session and never commit.
"""

import time
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radii.worker.store import jobs
from radii.worker.store.blobs import blob_files, gc_locks
from radii.worker.store.clock import clock, instant
from radii.worker.store.database import Database, new_id
from radii.worker.store.models.column_types import json_size
from radii.worker.store.models.index_conditions import keeps_place, unindexed
from radii.worker.store.models.tables import Blob, Checkpoint, ConversionFile, Dataset, Job, Shard, Upload
from radii.worker.store.specifications import (
    ConversionPlan,
    ConvertSpec,
    load_checkpoint_source,
    load_dataset_source,
)

PENDING, READY, REJECTED, DELETED = "pending", "ready", "rejected", "deleted"
ATTACHED = jobs.ATTACHED
HIDDEN = (DELETED, ATTACHED)
"""States of rows that nobody finds by their identifier, and no list has."""
BLOB_GRACE = 3600.0
"""Seconds for which a blob is kept though nothing refers to it: something that was just put may be about to."""
MOST_AT_ONCE = 50
"""Blobs that are deleted in one transaction."""

Made = TypeVar("Made", Dataset, Checkpoint)


def put_blob(session: Session, root: Path, sealed: blob_files.SealedBlob) -> None:
    """Writes the blob's row and gives its file its name; the row's lock keeps a collector away until the commit."""
    record_blob(session, sealed)
    blob_files.place(root, sealed)


def record_blob(session: Session, sealed: blob_files.SealedBlob) -> None:
    """Writes the row of a blob. Before the commit, ``blobs.blob_files.place`` is to give its file its name."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Blob).values(sha256=sealed.sha256, size=sealed.size, created=clock())
    session.execute(statement.on_conflict_do_update(index_elements=["sha256"], set_={"created": clock()}))


def put_upload(session: Session, tenant_id: str, name: str, sha256: str) -> Upload:
    """Names a blob; a name that is taken is given to the new blob."""
    upload = session.scalar(select(Upload).where(Upload.tenant_id == tenant_id, Upload.name == name))
    if upload is None:
        upload = Upload(id=new_id("up"), tenant_id=tenant_id, name=name, sha256=sha256)
        session.add(upload)
    else:
        upload.sha256, upload.created = sha256, clock()
    session.flush()
    return upload


def find_upload(session: Session, tenant_id: str, reference: str) -> Upload | None:
    """The tenant's upload by its name, its identifier or the SHA-256 of its content."""
    mine = select(Upload).where(Upload.tenant_id == tenant_id)
    for column in (Upload.name, Upload.id, Upload.sha256):
        if found := session.scalars(mine.where(column == reference).limit(1)).first():
            return found
    return None


def create(
    session: Session,
    kind: type[Made],
    tenant_id: str,
    name: str,
    source: dict[str, Any],
    *,
    work: int = 1,
    output_bytes: int = 0,
) -> tuple[Made, Job]:
    """A pending dataset or checkpoint and the job that converts ``source`` into it; ``work`` is how many images are to be
    made for it, where they are counted, and ``output_bytes`` the estimated size of what it makes."""
    prefix = "ds" if kind is Dataset else "ckpt"
    # Class names may be large. They are in a column of the dataset and nowhere else; the worker reads them there.
    origin = {key: value for key, value in source.items() if key != "class_names"}
    row = kind(id=new_id(prefix), tenant_id=tenant_id, name=name, state=PENDING, source=origin)
    row.class_names = source.get("class_names")
    spec: ConvertSpec = _conversion(row, origin)
    _measure(row)
    session.add(row)
    session.flush()
    new = jobs.NewJob(
        tenant_id=tenant_id,
        spec=spec,
        plan=ConversionPlan(output_bytes=output_bytes) if output_bytes else None,
        shards=[(0, 1)],
        total=1,
        work_total=work,
        dataset_id=row.id if kind is Dataset else None,
        checkpoint_id=row.id if kind is Checkpoint else None,
    )
    job = jobs.submit(session, new)
    digests = {*(file.sha256 for file in spec.files), *(part.sha256 for part in spec.parts)}
    session.add_all(ConversionFile(job_id=job.id, sha256=sha256) for sha256 in digests)
    session.flush()
    return row, job


def _conversion(row: Dataset | Checkpoint, source: dict[str, Any]) -> ConvertSpec:
    """The specification of the job that makes the row."""
    if isinstance(row, Dataset):
        return ConvertSpec(dataset=row.id, source=load_dataset_source(source))
    return ConvertSpec(checkpoint=row.id, source=load_checkpoint_source(source))


def attach(session: Session, tenant_id: str, columns: dict[str, Any]) -> Dataset:
    """The dataset that comes with one job; ``columns`` say what it is, and which blob it rests on."""
    row = Dataset(id=new_id("ds"), tenant_id=tenant_id, name="images of a request", state=ATTACHED, source={})
    for name, value in columns.items():
        setattr(row, name, value)
    session.add(row)
    session.flush()
    return row


def create_trained(session: Session, tenant_id: str, name: str, job_id: str) -> Checkpoint:
    """The checkpoint that a training job will make: pending, unless the job has ended already."""
    job = session.get_one(Job, job_id)
    row = Checkpoint(id=new_id("ckpt"), tenant_id=tenant_id, name=name, state=PENDING, source={"job": job_id})
    if job.state in jobs.TERMINAL:
        row.state, row.problem = REJECTED, job.problem
    session.add(row)
    session.flush()
    job.checkpoint_id = row.id
    session.flush()
    return row


def make_ready(session: Session, row: Dataset | Checkpoint, columns: dict[str, Any]) -> None:
    """What a dataset or a checkpoint turned out to be."""
    if row.state != PENDING:
        return
    if columns.get("info"):
        info = dict(columns["info"])
        columns = columns | {"class_names": info.pop("class_names", None), "info": info}
    row.state = READY
    for name, value in columns.items():
        setattr(row, name, value)
    _measure(row)
    session.flush()


def _measure(row: Dataset | Checkpoint) -> None:
    """Notes how much the row is charged for."""
    row.stored = json_size(row.source, row.class_names, getattr(row, "info", None))


def users_of(session: Session, row: Dataset | Checkpoint) -> list[str]:
    """Jobs that have not ended and need the row."""
    active = select(Job.id).where(Job.state.in_(jobs.ACTIVE))
    if isinstance(row, Dataset):
        named = [active.where(Job.dataset_id == row.id), active.where(Job.test_dataset_id == row.id)]
    else:
        starting = active.where(jobs.TRAINING, Job.spec["start_from"].as_string() == row.id)
        named = [active.where(Job.checkpoint_id == row.id), starting]
    # Each by an index of its own.
    return sorted({found for query in named for found in session.scalars(query)})


def remove(session: Session, row: Dataset | Checkpoint) -> None:
    """Hides the row permanently and releases its blob. Reports on jobs that used it still name what it was; once there is no
    such job, only the blob's hash is kept."""
    row.source = row.source | {"sha256": row.sha256}
    row.state, row.sha256 = DELETED, None
    session.flush()
    jobs.strip_deleted(session, type(row), row.id)


def collect(session: Session, root: Path, grace: float = BLOB_GRACE, most: int = MOST_AT_ONCE) -> int:
    """Deletes at most so many of the blobs that nothing refers to and that are older than ``grace``, unless somebody holds
    the folder; returns how many. The files go before the commit: else one that comes again meanwhile would go, too."""
    if gc_locks.held(session, root):
        return 0
    old = Blob.created < instant() - grace
    return _delete(session, root, select(Blob.sha256).where(old, _unused()).limit(most), old)


def discard(session: Session, root: Path, sha256: str) -> None:
    """Deletes a blob that its only user has just let go of, whatever its age, unless somebody else refers to it or holds the
    folder."""
    if not gc_locks.held(session, root):
        _delete(session, root, select(Blob.sha256).where(Blob.sha256 == sha256, _unused(sha256)))


def _unused(sha256: str | None = None) -> ColumnElement[bool]:
    """That nothing refers to a blob; with ``sha256``, of this blob alone, so that no table is read from end to end."""
    snapshot, votes = Shard.resume["sha256"].as_string(), Job.output["sha256"].as_string()
    # Only these jobs have such an output, and an index finds them.
    voting = select(votes).where(Job.state.in_(jobs.ACTIVE | jobs.TERMINAL), jobs.VOTING)
    reading = select(ConversionFile.sha256).join(Job, Job.id == ConversionFile.job_id)
    used = [
        *((column, select(column)) for column in (Upload.sha256, Dataset.sha256, Checkpoint.sha256)),
        (snapshot, select(snapshot).where(keeps_place())),
        (votes, voting),
        (ConversionFile.sha256, reading.where(Job.state.in_(jobs.ACTIVE))),
    ]
    wanted = [(column.is_not(None) if sha256 is None else column == sha256, query) for column, query in used]
    return and_(*(Blob.sha256.not_in(query.where(condition)) for condition, query in wanted))


def _delete(session: Session, root: Path, chosen: Select[str], *still: ColumnElement[bool]) -> int:
    """``still``: what must hold of a row after a wait for somebody who has just written it; the choice itself is not made
    anew then."""
    gone = list(session.scalars(delete(Blob).where(Blob.sha256.in_(chosen), *still).returning(Blob.sha256)))
    for sha256 in gone:
        blob_files.delete(root, sha256)
    return len(gone)


def collect_orphans(database: Database, root: Path, older_than: float) -> int:
    """Deletes files that no row knows of, unless somebody holds the folder: a commit failed after the file had got its
    name. Returns how many. The folder is looked through in no transaction."""
    now = time.time()
    files = [path for path in root.glob("??/*") if blob_files.age_of(path, now) > older_than]
    with database.read() as session:
        known = set(session.scalars(select(Blob.sha256)))
    strange = [path for path in files if path.name not in known]
    if not strange:
        return 0
    with database.write() as session:
        if gc_locks.held(session, root):
            return 0
        names = [path.name for path in strange]
        known = set(session.scalars(select(Blob.sha256).where(Blob.sha256.in_(names))))
        # A file that is uploaded again at this moment is new, and its row may not be committed yet.
        now = time.time()
        orphans = [path for path in strange if path.name not in known and blob_files.age_of(path, now) > older_than]
        for path in orphans:
            path.unlink(missing_ok=True)
    return len(orphans)


def expire_uploads(session: Session, ttl: float) -> int:
    """Forgets uploads that are older than ``ttl`` seconds and that no conversion still has to read.

    A conversion keeps the files that it names, and no others: one tenant's work does not keep another's uploads.
    """
    old = select(Upload.id).where(Upload.created < instant() - ttl, ~exists(_readers(Upload.tenant_id, Upload.sha256)))
    gone = list(session.scalars(old))
    for start in range(0, len(gone), MOST_AT_ONCE):
        session.execute(delete(Upload).where(Upload.id.in_(gone[start : start + MOST_AT_ONCE])))
    return len(gone)


def readers_of(session: Session, upload: Upload) -> list[str]:
    """The tenant's conversions that have not ended and read the upload's bytes."""
    return list(session.scalars(_readers(upload.tenant_id, upload.sha256).order_by(Job.id)))


def _readers(tenant_id: Any, sha256: Any) -> Select[str]:
    """Conversions that have not ended and read a file; the values may be columns of another table."""
    query = select(Job.id).join(ConversionFile, ConversionFile.job_id == Job.id)
    mine = unindexed(Job.tenant_id) == tenant_id  # few conversions read a file, and a tenant may have many jobs
    return query.where(ConversionFile.sha256 == sha256, mine, unindexed(Job.state).in_(jobs.ACTIVE))
