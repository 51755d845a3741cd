"""Where a training run stands, as a safetensors file: weights, momentum, place in the run and the epoch's sums so far.

The generators need no state of their own: their streams are named by seed, epoch and step (``noise``), which are here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rs_core.data.dataset import Dataset
from rs_core.errors import InvalidCheckpoint
from rs_core.methods.terms import Terms
from rs_core.models.normalize import BaseClassifier
from rs_core.spec import TrainSpec, dump_spec
from rs_core.tensorfile import usual_mode

FORMAT = "radii-snapshot-1"
SAMPLED = 64


@dataclass(frozen=True, kw_only=True)
class Sums:
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

    def add(self, terms: Terms, images: int) -> "Sums":
        """These sums and one more optimiser step over ``images``."""
        return replace(
            self,
            images=self.images + images,
            steps=self.steps + 1,
            loss=self.loss + terms.total.item() * images,
            accuracy=self.accuracy + terms.accuracy.item() * images,
            parts={name: self.parts.get(name, 0.0) + part.item() * images for name, part in terms.parts.items()},
        )

    def with_seconds(self, more: float) -> "Sums":
        """These sums with ``more`` seconds of the present process added."""
        return replace(self, seconds=self.seconds + more)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The epoch and the loader batch within it that come next, and the sums of that epoch so far."""

    epoch: int
    step: int
    sums: Sums


START = Place(epoch=0, step=0, sums=Sums())


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run as it stands now. It refers to the living model: save it before training goes on."""

    run: str
    model: BaseClassifier
    optimizer: torch.optim.SGD
    epoch: int
    step: int
    sums: Sums

    def save(self, path: Path) -> None:
        """Writes the file; the caller sees to it that a half-written one is never taken for a whole one."""
        tensors = {f"model.{name}": tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum.detach().cpu()
        place = {"epoch": self.epoch, "step": self.step, "sums": asdict(self.sums)}
        metadata = {"format": FORMAT, "run": self.run, "place": json.dumps(place)}
        with usual_mode(path):
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)


def load(path: Path, run: str, model: BaseClassifier, optimizer: torch.optim.SGD) -> Place:
    """Puts weights and momentum back and returns the place; raises :class:`InvalidCheckpoint` for another run's file."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT or metadata.get("run") != run:
            raise InvalidCheckpoint(
                expected="a snapshot of this very training run",
                got="a file of another kind"
                if metadata.get("format") != FORMAT
                else "one of another specification or data set",
                where=path.name,
            )
        names = list(file.keys())
        model.load_state_dict(
            {name.removeprefix("model."): file.get_tensor(name) for name in names if name.startswith("model.")}
        )
        for name, parameter in model.named_parameters():
            if f"momentum.{name}" in names:
                momentum = file.get_tensor(f"momentum.{name}").to(parameter.device)
                optimizer.state[parameter]["momentum_buffer"] = momentum
    place = json.loads(metadata["place"])
    return Place(epoch=place["epoch"], step=place["step"], sums=Sums(**place["sums"]))


def identity(spec: TrainSpec, data: Dataset) -> str:
    """What a run is: its specification without the names of files, which may move, and a fingerprint of its data.

    The fingerprint is of labels, class names, shape and a few images: a huge set is not read for it.
    """
    body = {name: value for name, value in dump_spec(spec).items() if name not in ("dataset", "test_dataset")}
    digest = hashlib.sha256(np.ascontiguousarray(data.labels).tobytes())
    digest.update(json.dumps([data.class_names, data.images.shape, str(data.images.dtype)]).encode())
    for index in np.linspace(0, len(data) - 1, min(len(data), SAMPLED), dtype=np.int64):
        digest.update(np.ascontiguousarray(data.images[index]).tobytes())
    return json.dumps({"spec": body, "data": digest.hexdigest()}, sort_keys=True)
