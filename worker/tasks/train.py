"""A training job: the loop's records as messages, snapshots and the finished checkpoint as blobs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.runs.train import TrainRun
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.training.records import EpochRecord, StepRecord, TrainingResult
from radii.rs_core.training.snapshots import Snapshot
from radii.worker.sandbox.conversions import checkpoint_columns
from radii.worker.store.blobs import blob_files
from radii.worker.tasks.environment import provenance
from radii.worker.tasks.task import Task


def run(task: Task[TrainSpec]) -> Iterator[dict[str, Any]]:
    """Messages ``step``, ``epoch`` and ``snapshot``; then ``done`` with the checkpoint."""
    spec = task.spec
    run = TrainRun(
        spec=spec,
        data=task.dataset(),
        dataset_hash=task.dataset_hash,
        test_data=task.dataset("test_dataset") if "test_dataset" in task.files else None,
        start=_start(task, spec),
        soft_labels=SoftLabels.load(task.path("soft_labels")) if "soft_labels" in task.files else None,
        soft_labels_sha256=task.files.get("soft_labels"),
        device=task.device,
        resume=blob_files.local_path(task.blobs, task.resume["sha256"]) if task.resume else None,
        snapshot_seconds=task.limits["snapshot"],
        forward_batch=task.execution.get("forward_batch"),
    )
    for record in run.records():
        if isinstance(record, StepRecord):
            yield {"type": "step", "work_done": record.done}
        elif isinstance(record, EpochRecord):
            yield {"type": "epoch", **asdict(record)}
        elif isinstance(record, Snapshot):
            yield _saved(task, record)
        else:
            yield {"type": "done", "made": _checkpoint(task, run, record)}


def sealed(path: Any) -> dict[str, Any]:
    """A finished file of the blob folder's unfinished corner, as a message."""
    file = blob_files.seal_file(path)
    return {"sha256": file.sha256, "size": file.size, "path": str(file.path)}


def _start(task: Task[TrainSpec], spec: TrainSpec) -> tuple[BaseClassifier, CheckpointInfo] | None:
    """The model that training starts from, and its record, where the job names one."""
    if spec.start_from is None:
        return None
    if "start_from" not in task.files:
        wanted = f"the checkpoint {spec.start_from}, which training starts from"
        raise InvalidCheckpoint(expected=wanted, got="one that was deleted since", where="start_from")
    return checkpoint.load(task.path("start_from"))


def _saved(task: Task[TrainSpec], snapshot: Snapshot) -> dict[str, Any]:
    path = blob_files.new_path(task.blobs)
    snapshot.save(path)
    place = {"epoch": snapshot.epoch, "step": snapshot.step}
    return {"type": "snapshot", "sealed": sealed(path), "place": place}


def _checkpoint(task: Task[TrainSpec], run: TrainRun, trained: TrainingResult) -> dict[str, Any]:
    info = run.checkpoint_info(trained, provenance(task.device))
    path = blob_files.new_path(task.blobs)
    checkpoint.save(trained.model, info, path)
    return {"sealed": sealed(path), "columns": checkpoint_columns(info)}
