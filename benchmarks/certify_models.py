"""Models that ``certify.py`` stops early on: trained here, with the certificates of a fixed n on some inputs beside them.

A folder holds ``model.safetensors``, ``images.npz`` (the inputs, by their index in it), and ``fixed.ndjson``: certificates
of those inputs at n = 100,000. Certifying goes on where it was stopped.

    .venv/bin/python benchmarks/certify_models.py CHECKPOINT DATA FOLDER [--inputs 200] [--precision bf16]
"""

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.load import load
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.records import Certificate
from radii.rs_core.results import ndjson
from radii.rs_core.specs.jobs import CertifySpec, Selection, TrainSpec
from radii.rs_core.training.loop import TrainingResult as Finished
from radii.rs_core.training.loop import train
from radii.service.local.certify import certify

N = 100_000


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained model, inputs, and their certificates at a fixed n; model and images lie on one device."""

    model: BaseClassifier
    sigma: float
    data: Dataset
    fixed: tuple[Certificate, ...]

    @property
    def indices(self) -> list[int]:
        """The inputs."""
        return [row.index for row in self.fixed]

    def image(self, index: int) -> Tensor:
        """An input, (C, H, W)."""
        return self.data.image(index).to(next(self.model.parameters()).device)

    @cached_property
    def radii(self) -> tuple[float, ...]:
        """Radii that are asked for: up to 2 sigma."""
        return tuple(multiple * self.sigma for multiple in (0.0, 0.5, 1.0, 1.5, 2.0))


def read(folder: Path, device: torch.device) -> TrainedModel:
    """What a folder holds."""
    model, info = checkpoint.load(folder / "model.safetensors")
    rows = [row for row in ndjson.read_ndjson(folder / "fixed.ndjson") if isinstance(row, Certificate)]
    assert info.sigma is not None and all((row.n, row.sampling, row.noise) == (N, "fixed", "gaussian") for row in rows)
    return TrainedModel(
        model=model.eval().to(device), sigma=info.sigma, data=load(str(folder / "images.npz")), fixed=tuple(rows)
    )


def quick_model(folder: Path, device: torch.device) -> TrainedModel:
    """LeNet after a few seconds on the built-in digits, enlarged to 28 x 28, and 20 inputs at n = 10,000."""
    small = digits()
    images = np.pad(
        np.kron(small.images, np.ones((1, 1, 3, 3), dtype=small.images.dtype)), ((0, 0), (0, 0), (2, 2), (2, 2))
    )
    data = Dataset(images=images, labels=small.labels, class_names=small.class_names, name="digits", source="digits")
    spec = TrainSpec(
        dataset="digits",
        architecture="lenet",
        sigma=0.5,
        epochs=2,
        batch_size=64,
        learning_rate=0.05,
        inputs=Selection(count=1_500),
    )
    model = next(record.model for record in train(spec, data) if isinstance(record, Finished)).eval().to(device)
    inputs = [(index, data.image(index), int(data.labels[index])) for index in range(1_500, 1_780, 14)]
    sampler = Sampler(model, 0.5, 10, precision="bf16")
    found = engine.certify(sampler, inputs, Procedure(sigma=0.5, n=10_000))
    return TrainedModel(
        model=model, sigma=0.5, data=data, fixed=tuple(record for record in found if isinstance(record, Certificate))
    )


def main() -> None:
    """Certifies the inputs of a folder, making it where it is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", help="as the --dataset of `radii certify`")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    images, model = options.folder / "images.npz", options.folder / "model.safetensors"
    if not images.exists():
        data = load(options.data)
        chosen = range(0, len(data), max(1, len(data) // options.inputs))[: options.inputs]
        np.savez(images, images=data.images[list(chosen)], labels=data.labels[list(chosen)])
        model.write_bytes(options.checkpoint.read_bytes())
    spec = CertifySpec(checkpoint=str(model), dataset=str(images), n=N, precision=options.precision)
    certify(spec, options.folder / "fixed.tsv", device="auto", threads=torch.get_num_threads(), hints={})


if __name__ == "__main__":
    main()
