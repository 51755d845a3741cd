"""A training job: the loop's records as messages, snapshots and the finished checkpoint as blobs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rs_core import checkpoint
from rs_core.checkpoint import CheckpointInfo
from rs_core.data.canonical import content_hash
from rs_core.data.dataset import Dataset
from rs_core.snapshots import Snapshot
from rs_core.spec import TrainSpec, dump_spec, normalization, parse_spec
from rs_core.training import EpochRecord, StepRecord, Trained, train
from worker.run.environment import provenance
from worker.run.task import Task
from worker.sandbox import checkpoint_columns
from worker.store import blobs


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``step``, ``epoch`` and ``snapshot``; then ``done`` with the checkpoint."""
    spec = parse_spec(task.spec)
    assert isinstance(spec, TrainSpec)
    data = task.dataset()
    records = train(
        spec,
        data,
        test_data=task.dataset("test_dataset") if "test_dataset" in task.files else None,
        device=task.device,
        resume=blobs.local_path(task.blobs, task.resume["sha256"]) if task.resume else None,
        snapshot_seconds=task.limits["snapshot"],
    )
    for record in records:
        if isinstance(record, StepRecord):
            yield {"type": "step", "work_done": record.done}
        elif isinstance(record, EpochRecord):
            yield {"type": "epoch", **asdict(record)}
        elif isinstance(record, Snapshot):
            yield _saved(task, record)
        else:
            yield {"type": "done", "made": _checkpoint(task, spec, data, record)}


def _saved(task: Task, snapshot: Snapshot) -> dict[str, Any]:
    path = blobs.new_path(task.blobs)
    snapshot.save(path)
    place = {"epoch": snapshot.epoch, "step": snapshot.step}
    return {"type": "snapshot", "sealed": sealed(path), "place": place}


def _checkpoint(task: Task, spec: TrainSpec, data: Dataset, trained: Trained) -> dict[str, Any]:
    info = CheckpointInfo(
        architecture=spec.architecture,
        num_classes=data.num_classes,
        input_shape=data.shape,
        normalization=normalization(spec.normalization),
        class_names=data.class_names,
        sigma=spec.sigma,
        method=spec.method.name,
        epoch=trained.epochs,
        dataset_hash=content_hash(data),
        provenance=provenance(task.device) | {"spec": dump_spec(spec)},
    )
    path = blobs.new_path(task.blobs)
    checkpoint.save(trained.model, info, path)
    return {"sealed": sealed(path), "columns": checkpoint_columns(info)}


def sealed(path: Any) -> dict[str, Any]:
    """A finished file of the blob folder's unfinished corner, as a message."""
    file = blobs.seal_file(path)
    return {"sha256": file.sha256, "size": file.size, "path": str(file.path)}
