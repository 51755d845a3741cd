"""Where a training run stands, as a safetensors file: weights, what the optimiser remembers of them, place in the run and the
epoch's sums so far, and the weights of the best epoch where these are kept.

The generators need no state of their own: their streams are named by seed, epoch and step (``noise.streams``), which are here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidCheckpoint, RadiiError
from radii.rs_core.methods.base import LossTerms
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.safetensors_header import writing
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, parse_spec
from radii.rs_core.specs.references import settings
from radii.rs_core.training import initialization
from radii.rs_core.training.model_selection import BestEpoch
from radii.rs_core.training.optimizers import remembered, remind

FORMAT = "radii-snapshot-1"
SAMPLED = 64


@dataclass(frozen=True, kw_only=True)
class EpochSums:
    """Sums over the images of an epoch so far, weighted so that dividing by ``images`` gives means."""

    images: int = 0
    steps: int = 0
    loss: float = 0.0
    accuracy: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.images, 1)

    def add(self, terms: LossTerms, images: int) -> "EpochSums":
        """These sums and one more optimiser step over ``images``."""
        return replace(
            self,
            images=self.images + images,
            steps=self.steps + 1,
            loss=self.loss + terms.total.item() * images,
            accuracy=self.accuracy + terms.accuracy.item() * images,
            parts={name: self.parts.get(name, 0.0) + part.item() * images for name, part in terms.parts.items()},
        )

    def with_seconds(self, more: float) -> "EpochSums":
        """These sums with ``more`` seconds of the present process added."""
        return replace(self, seconds=self.seconds + more)


@dataclass(frozen=True, kw_only=True)
class TrainingPosition:
    """The epoch and the loader batch within it that come next, the sums of that epoch so far, and the best epoch."""

    epoch: int
    step: int = 0
    sums: EpochSums = field(default_factory=EpochSums)
    kept: BestEpoch | None = None


START = TrainingPosition(epoch=0)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run as it stands now. ``model`` is what learns; it is the living one: save it before training goes on."""

    run: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int
    step: int
    sums: EpochSums
    kept: BestEpoch | None = None

    def save(self, path: Path) -> None:
        """Writes the file; the caller sees to it that a half-written one is never taken for a whole one."""
        tensors = {f"model.{name}": tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
        tensors |= remembered(self.optimizer, self.model)
        place = {"epoch": self.epoch, "step": self.step, "sums": asdict(self.sums)}
        if self.kept is not None:
            tensors |= {f"best.{name}": tensor for name, tensor in self.kept.weights.items()}
            place["best"] = {"epoch": self.kept.epoch, "value": self.kept.value}
        metadata = {"format": FORMAT, "run": self.run, "place": json.dumps(place)}
        with writing(path):
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)


def load(path: Path, run: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingPosition:
    """Puts weights and the optimiser's memory back and returns the place; raises :class:`InvalidCheckpoint` for another run's file."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT or not _same(metadata.get("run", ""), run):
            raise InvalidCheckpoint(
                expected="a snapshot of this very training run",
                got="a file of another kind"
                if metadata.get("format") != FORMAT
                else "one of another specification or data set",
                where=path.name,
            )
        names = list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    model.load_state_dict(_under("model.", tensors))
    remind(optimizer, model, tensors)
    place = json.loads(metadata["place"])
    kept = BestEpoch(**place["best"], weights=_under("best.", tensors)) if "best" in place else None
    return TrainingPosition(epoch=place["epoch"], step=place["step"], sums=EpochSums(**place["sums"]), kept=kept)


def identity(
    spec: TrainSpec,
    data: Dataset,
    *,
    test_data: Dataset | None = None,
    soft_labels: SoftLabels | None = None,
    start: BaseClassifier | None = None,
) -> str:
    """What a run is: its specification without the names of files, which may move, and fingerprints of what they hold.

    Test data are part of it where they decide which weights are kept.
    """
    held_out = test_data if spec.keep in ("test_accuracy", "acr") else None
    run = {
        "spec": settings(dump_spec(spec)),
        "data": _data_fingerprint(data),
        "test_data": None if held_out is None else _data_fingerprint(held_out),
        "soft_labels": None if soft_labels is None else _votes_fingerprint(soft_labels),
        "start": None if start is None else initialization.fingerprint(start),
    }
    return json.dumps(run, sort_keys=True)


def _same(stored: str, run: str) -> bool:
    """Whether two identities are of one run; fields that came to the specification since ``stored`` have their defaults."""
    if stored == run:
        return True
    try:
        before, now = json.loads(stored), json.loads(run)
        specs = [parse_spec(identity["spec"] | {"dataset": "-", "test_dataset": "-"}) for identity in (before, now)]
    except (ValueError, KeyError, TypeError, RadiiError):
        return False
    others = (now.keys() | before.keys()) - {"spec"}
    return specs[0] == specs[1] and all(before.get(name) == now.get(name) for name in others)


def _data_fingerprint(data: Dataset) -> str:
    """Of labels, class names, shape and a few images: a huge set is not read for it."""
    digest = hashlib.sha256(np.ascontiguousarray(data.labels).tobytes())
    digest.update(json.dumps([data.class_names, data.images.shape, str(data.images.dtype)]).encode())
    for index in np.linspace(0, len(data) - 1, min(len(data), SAMPLED), dtype=np.int64):
        digest.update(np.ascontiguousarray(data.stored_pixels([index])[0]).tobytes())
    return digest.hexdigest()


def _votes_fingerprint(labels: SoftLabels) -> str:
    digest = hashlib.sha256(json.dumps([labels.num_classes, labels.n]).encode())
    arrays: list[NDArray[Any]] = [labels.indices, labels.rows, labels.classes, labels.counts]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
