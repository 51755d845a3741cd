"""A training: what it learns from, the records of its loop, and what its checkpoint says of itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.code_hash import network_of
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, normalization
from radii.rs_core.training import loop
from radii.rs_core.training.compatibility import model_shape
from radii.rs_core.training.initialization import fingerprint
from radii.rs_core.training.records import TrainingResult
from radii.rs_core.training.start_compatibility import check_start_of


@dataclass(kw_only=True)
class TrainRun:
    """What a training is made of.

    Attributes:
        spec: What is trained, and how.
        data: What it is trained on.
        dataset_hash: The content hash of ``data`` where it is known: it takes long to compute for a huge dataset.
        test_data: For the accuracy after each epoch.
        start: The model that ``spec.start_from`` names, and its record.
        soft_labels: Votes on the inputs, for methods that need them.
        soft_labels_sha256: The hash of their file.
        device: Where the model is trained.
        resume: The last snapshot of the same training.
        snapshot_seconds: Time between two snapshots of one epoch.
        forward_batch: Goes before that of the specification.

    Raises:
        Mismatch: The specification cannot be trained from the start model.
    """

    spec: TrainSpec
    data: Dataset
    dataset_hash: str | None = None
    test_data: Dataset | None = None
    start: tuple[BaseClassifier, CheckpointInfo] | None = None
    soft_labels: SoftLabels | None = None
    soft_labels_sha256: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    resume: Path | None = None
    snapshot_seconds: float = 60.0
    forward_batch: int | None = None

    def __post_init__(self) -> None:
        if self.start is not None:
            check_start_of(self.spec, self.start[1], self.data)

    def records(self) -> Iterator[loop.Record]:
        """The records of the training loop; the last one is a :class:`TrainingResult`."""
        return loop.train(
            self.spec,
            self.data,
            test_data=self.test_data,
            soft_labels=self.soft_labels,
            start=None if self.start is None else self.start[0],
            device=self.device,
            resume=self.resume,
            snapshot_seconds=self.snapshot_seconds,
            forward_batch=self.forward_batch,
        )

    def checkpoint_info(self, trained: TrainingResult, machine: Mapping[str, Any]) -> CheckpointInfo:
        """What the finished training says of its checkpoint; ``machine`` are versions and device, for the provenance."""
        spec = self.spec
        weights = {"keep": spec.keep, "epoch": trained.epoch, "epochs": trained.epochs, "value": trained.value}
        origin: dict[str, Any] = {"precision": spec.precision, "spec": dump_spec(spec), "weights": weights}
        if (network := network_of(spec.architecture)) is not None:
            origin["network"] = network
        of_training: dict[str, Any] = {
            "epoch": trained.epoch,
            "dataset_hash": self.dataset_hash or content_hash(self.data),
            "provenance": dict(machine) | origin | self._learned_from(),
        }
        if isinstance(mix := trained.model.network, MixedClassifier):
            assert self.start is not None
            parts = self.start[1].parts
            return CheckpointInfo(**facts(mix.spec, parts), composition=mix.spec, parts=parts, **of_training)
        return CheckpointInfo(
            architecture=trained.model.architecture,
            num_classes=self.data.num_classes,
            input_shape=model_shape(spec, self.data.shape),
            normalization=normalization(spec.normalization),
            class_names=self.data.class_names,
            sigma=spec.sigma,
            method=spec.method.name,
            **of_training,
        )

    def _learned_from(self) -> dict[str, dict[str, Any]]:
        """What the training had in addition to its data.

        Of its soft labels the hash of their file, how many votes on how many inputs, and the job where one made them; of the
        start model the fingerprint of its weights.
        """
        found: dict[str, dict[str, Any]] = {}
        if (labels := self.soft_labels) is not None:
            found["soft_labels"] = {"sha256": self.soft_labels_sha256, "n": labels.n, "inputs": len(labels)}
            if "job" in labels.origin:
                found["soft_labels"]["job"] = labels.origin["job"]
        if self.start is not None:
            found["start"] = {"weights": fingerprint(self.start[0])}
        return found
