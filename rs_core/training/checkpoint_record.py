"""What a checkpoint says of the training that made it, where the training is of a network of its own and not of a mix."""

from typing import Any

import torch

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash
from radii.rs_core.models.code_hash import network_of
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, normalization
from radii.rs_core.training.compatibility import model_shape
from radii.version import installed_version


def record_of(
    spec: TrainSpec, data: Dataset, architecture: str, *, epoch: int, value: float | None, device: str
) -> CheckpointInfo:
    """The record of a model that was trained by ``spec`` on ``data`` and has its weights after ``epoch`` epochs.

    Args:
        architecture: the model's name in the table.
        value: what the epoch was chosen by; None where it is the last one.
        device: where the model was trained.
    """
    return CheckpointInfo(
        architecture=architecture,
        num_classes=data.num_classes,
        input_shape=model_shape(spec, data.shape),
        normalization=normalization(spec.normalization),
        class_names=data.class_names,
        sigma=spec.sigma,
        method=spec.method.name,
        epoch=epoch,
        dataset_hash=content_hash(data),
        provenance=_provenance(
            spec, {"keep": spec.keep, "epoch": epoch, "epochs": spec.epochs, "value": value}, device
        ),
    )


def _provenance(spec: TrainSpec, weights: dict[str, Any], device: str) -> dict[str, Any]:
    network = network_of(spec.architecture)
    return {
        "versions": {"radii": installed_version(), "torch": torch.__version__},
        "device_type": torch.device(device).type,
        "precision": spec.precision,
        "spec": dump_spec(spec),
        "weights": weights,
        **({} if network is None else {"network": network}),
    }
