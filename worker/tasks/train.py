"""A training job: the loop's records as messages, snapshots and the finished checkpoint as blobs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.runs.train import checkpoint_info, learned_from
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.training.loop import EpochRecord, StepRecord, TrainingResult, train
from radii.rs_core.training.snapshots import Snapshot
from radii.rs_core.training.start_compatibility import check_start_of
from radii.worker.sandbox.conversions import checkpoint_columns
from radii.worker.store.blobs import blob_files
from radii.worker.tasks.environment import provenance
from radii.worker.tasks.task import Task


def run(task: Task[TrainSpec]) -> Iterator[dict[str, Any]]:
    """Messages ``step``, ``epoch`` and ``snapshot``; then ``done`` with the checkpoint."""
    spec = task.spec
    data = task.dataset()
    labels = SoftLabels.load(task.path("soft_labels")) if "soft_labels" in task.files else None
    start, start_info = _start(task, spec) or (None, None)
    if start_info is not None:
        check_start_of(spec, start_info, data)
    beside = learned_from(labels, task.files.get("soft_labels"), start)
    records = train(
        spec,
        data,
        test_data=task.dataset("test_dataset") if "test_dataset" in task.files else None,
        soft_labels=labels,
        start=start,
        device=task.device,
        resume=blob_files.local_path(task.blobs, task.resume["sha256"]) if task.resume else None,
        snapshot_seconds=task.limits["snapshot"],
        forward_batch=task.execution.get("forward_batch"),
    )
    for record in records:
        if isinstance(record, StepRecord):
            yield {"type": "step", "work_done": record.done}
        elif isinstance(record, EpochRecord):
            yield {"type": "epoch", **asdict(record)}
        elif isinstance(record, Snapshot):
            yield _saved(task, record)
        else:
            yield {"type": "done", "made": _checkpoint(task, spec, data, record, beside, start_info)}


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


def _checkpoint(
    task: Task[TrainSpec],
    spec: TrainSpec,
    data: Dataset,
    trained: TrainingResult,
    beside: Mapping[str, Any],
    start: CheckpointInfo | None,
) -> dict[str, Any]:
    info = checkpoint_info(
        spec, data, trained, provenance(task.device), dataset_hash=task.dataset_hash, beside=beside, start=start
    )
    path = blob_files.new_path(task.blobs)
    checkpoint.save(trained.model, info, path)
    return {"sealed": sealed(path), "columns": checkpoint_columns(info)}
