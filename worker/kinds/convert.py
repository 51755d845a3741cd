"""Conversions: files become a dataset or a checkpoint. Requests for these make them; nobody submits one."""

from typing import Any

from sqlalchemy.orm import Session

from radii.worker.kinds.kind import Beat, Kind, Message
from radii.worker.settings import Settings
from radii.worker.store import resources
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import ConvertSpec, as_kind


class Convert(Kind):
    """See ``ConvertSpec``."""

    spec = ConvertSpec
    task = "radii.worker.tasks.convert"

    def other_files(self, job: Job, resume: Message) -> list[tuple[str, str]]:
        """Uploads, and checkpoints that are composed."""
        spec = as_kind(job.spec, ConvertSpec)
        uploads = [(f"the upload {file.name!r}", file.sha256) for file in spec.files]
        return uploads + [(f"the part {part.id}", part.sha256) for part in spec.parts]

    def prepared(self, database: Database, settings: Settings, job: Job, beat: Beat) -> Message:
        """The names that the request gave to the classes."""
        with database.read() as session:
            row = session.get(Dataset, job.dataset_id) if job.dataset_id else None
            return {} if row is None else {"class_names": row.class_names}

    def output(self, session: Session, job: Job, done: Message) -> dict[str, Any]:
        """The dataset or the checkpoint, ready."""
        made = done["made"]
        if job.dataset_id is None:
            checkpoint = session.get_one(Checkpoint, job.checkpoint_id)
            resources.make_ready(session, checkpoint, made["columns"])
            return {"checkpoint": checkpoint.id}
        dataset = session.get_one(Dataset, job.dataset_id)
        source = {"source": dataset.source | made["source"]} if made.get("source") else {}
        resources.make_ready(session, dataset, made["columns"] | source)
        return {"dataset": dataset.id}


CONVERT = Convert()
