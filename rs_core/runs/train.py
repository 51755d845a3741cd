"""What the checkpoint of a finished training says of itself."""

from collections.abc import Mapping
from typing import Any

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.code_hash import network_of
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, normalization
from radii.rs_core.training.compatibility import model_shape
from radii.rs_core.training.initialization import fingerprint
from radii.rs_core.training.records import TrainingResult


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
    machine: Mapping[str, Any],
    *,
    dataset_hash: str | None = None,
    beside: Mapping[str, Any] | None = None,
    start: CheckpointInfo | None = None,
) -> CheckpointInfo:
    """What a finished training says of its checkpoint.

    Args:
        spec: What was trained, and how.
        data: What it was trained on.
        trained: The last record of the training loop.
        machine: Versions and device, for the provenance.
        dataset_hash: The dataset's content hash where it is known: it takes long to compute for a huge dataset.
        beside: What :func:`learned_from` says.
        start: The record of the model that training started from, whose parts are those of a mix.
    """
    weights = {"keep": spec.keep, "epoch": trained.epoch, "epochs": trained.epochs, "value": trained.value}
    origin: dict[str, Any] = {"precision": spec.precision, "spec": dump_spec(spec), "weights": weights}
    if (network := network_of(spec.architecture)) is not None:
        origin["network"] = network
    of_training: dict[str, Any] = {
        "epoch": trained.epoch,
        "dataset_hash": dataset_hash or content_hash(data),
        "provenance": dict(machine) | origin | dict(beside or {}),
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
