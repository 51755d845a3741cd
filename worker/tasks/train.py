"""A training job: the loop's records as messages, snapshots and the finished checkpoint as blobs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.code_hash import network_of
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, normalization, parse_spec
from radii.rs_core.training.compatibility import model_shape
from radii.rs_core.training.initialization import fingerprint
from radii.rs_core.training.loop import EpochRecord, StepRecord, TrainingResult, train
from radii.rs_core.training.snapshots import Snapshot
from radii.rs_core.training.start_compatibility import check_start_of
from radii.worker.sandbox.conversions import checkpoint_columns
from radii.worker.store.blobs import blob_files
from radii.worker.tasks.environment import provenance
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``step``, ``epoch`` and ``snapshot``; then ``done`` with the checkpoint."""
    spec = parse_spec(task.spec)
    assert isinstance(spec, TrainSpec)
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


def learned_from(
    soft_labels: SoftLabels | None, sha256: str | None, start: BaseClassifier | None
) -> dict[str, dict[str, Any]]:
    """What a training had beside its data, for the provenance of its checkpoint.

    Of its soft labels the hash of their file, how many votes on how many inputs, and the job where one made them; of the
    model that it started from the fingerprint of the weights.
    """
    found: dict[str, dict[str, Any]] = {}
    if soft_labels is not None:
        found["soft_labels"] = {"sha256": sha256, "n": soft_labels.n, "inputs": len(soft_labels)}
        if "job" in soft_labels.origin:
            found["soft_labels"]["job"] = soft_labels.origin["job"]
    if start is not None:
        found["start"] = {"weights": fingerprint(start)}
    return found


def checkpoint_info(
    spec: TrainSpec,
    data: Dataset,
    trained: TrainingResult,
    device: torch.device,
    *,
    dataset_hash: str | None = None,
    beside: Mapping[str, Any] | None = None,
    start: CheckpointInfo | None = None,
) -> CheckpointInfo:
    """What a finished training says of its checkpoint; ``epoch`` counts the epochs behind the weights that it holds.

    ``dataset_hash`` is the data set's content hash where it is known: of a huge set it takes long to compute;
    ``beside`` is what :func:`learned_from` says; ``start`` the record of the model that training started from, whose parts are
    those of a mix.
    """
    weights = {"keep": spec.keep, "epoch": trained.epoch, "epochs": trained.epochs, "value": trained.value}
    origin: dict[str, Any] = {"precision": spec.precision, "spec": dump_spec(spec), "weights": weights}
    if (network := network_of(spec.architecture)) is not None:
        origin["network"] = network
    of_training: dict[str, Any] = {
        "epoch": trained.epoch,
        "dataset_hash": dataset_hash or content_hash(data),
        "provenance": provenance(device) | origin | dict(beside or {}),
    }
    if isinstance(mix := trained.model.network, MixedClassifier):
        assert start is not None
        return CheckpointInfo(**facts(mix.spec, start.parts), composition=mix.spec, parts=start.parts, **of_training)
    return CheckpointInfo(
        architecture=trained.model.architecture,
        num_classes=data.num_classes,
        input_shape=model_shape(spec, data.shape),
        normalization=normalization(spec.normalization),
        class_names=data.class_names,
        sigma=spec.sigma,
        method=spec.method.name,
        **of_training,
    )


def sealed(path: Any) -> dict[str, Any]:
    """A finished file of the blob folder's unfinished corner, as a message."""
    file = blob_files.seal_file(path)
    return {"sha256": file.sha256, "size": file.size, "path": str(file.path)}


def _start(task: Task, spec: TrainSpec) -> tuple[BaseClassifier, CheckpointInfo] | None:
    """The model that training starts from, and its record, where the job names one."""
    if spec.start_from is None:
        return None
    if "start_from" not in task.files:
        wanted = f"the checkpoint {spec.start_from}, which training starts from"
        raise InvalidCheckpoint(expected=wanted, got="one that was deleted since", where="start_from")
    return checkpoint.load(task.path("start_from"))


def _saved(task: Task, snapshot: Snapshot) -> dict[str, Any]:
    path = blob_files.new_path(task.blobs)
    snapshot.save(path)
    place = {"epoch": snapshot.epoch, "step": snapshot.step}
    return {"type": "snapshot", "sealed": sealed(path), "place": place}


def _checkpoint(
    task: Task,
    spec: TrainSpec,
    data: Dataset,
    trained: TrainingResult,
    beside: Mapping[str, Any],
    start: CheckpointInfo | None,
) -> dict[str, Any]:
    info = checkpoint_info(spec, data, trained, task.device, dataset_hash=task.dataset_hash, beside=beside, start=start)
    path = blob_files.new_path(task.blobs)
    checkpoint.save(trained.model, info, path)
    return {"sealed": sealed(path), "columns": checkpoint_columns(info)}
