"""Training jobs: snapshots are kept as blobs, and in the end a checkpoint."""

from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.specs.jobs import TrainSpec
from radii.worker import soft_label_files
from radii.worker.kinds.kind import Beat, Kind, Message
from radii.worker.settings import Settings
from radii.worker.store import resources
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Job


class Train(Kind):
    """See ``TrainSpec``."""

    spec = TrainSpec
    task = "radii.worker.tasks.train"
    too_large = (
        "activations that fit: give forward_batch, which changes no result, or a smaller batch_size",
        "forward_batch",
    )

    def other_files(self, job: Job, resume: Message) -> list[tuple[str, str]]:
        """The snapshot."""
        return [(f"the snapshot of the training {job.id}", resume["sha256"])] if "sha256" in resume else []

    def prepared(self, database: Database, settings: Settings, job: Job, beat: Beat) -> Message:
        """The file of soft labels, made from the rows of the job that voted, where the method needs one."""
        with database.read() as session:
            needed = soft_label_files.needed_by(session, job)
        if needed is None:
            return {}
        return {"files": {"soft_labels": soft_label_files.file_for(database, settings, job, needed, beat)}}

    def smaller(self, spec: TrainSpec, execution: Message) -> Message | None:
        """The activations of half as many images, down to one."""
        kept = execution.get("forward_batch") or spec.forward_batch or spec.batch_size
        return {"forward_batch": kept // 2} if kept > 1 else None

    def output(self, session: Session, job: Job, done: Message) -> dict[str, Any]:
        """The checkpoint, ready."""
        made = session.get_one(Checkpoint, job.checkpoint_id)
        resources.make_ready(session, made, done["made"]["columns"])
        return {"checkpoint": made.id}


TRAIN = Train()
