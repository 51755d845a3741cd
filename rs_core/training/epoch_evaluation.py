"""What training measures on the test data set: accuracy under one noise draw per image, and a small certification.

Both are of the model as its checkpoint will hold it, in evaluation mode and float32, and draw from streams of their own:
training goes on as if they had not been.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.loader import batches
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.noise.streams import Stage, generator
from radii.rs_core.out_of_memory import network_failures
from radii.rs_core.records import Certificate
from radii.rs_core.results.aggregate import default_radii, row_sums
from radii.rs_core.specs.jobs import DEFAULT_BATCH, PeriodicCertification, TrainSpec

TEST_BATCH = 500


def tested(spec: TrainSpec, model: BaseClassifier, data: Dataset, epoch: int, device: torch.device) -> Iterator[int]:
    """How many test images of each part are classified right under one noise draw each, or as they are without a noise level."""
    model.eval()
    plan = torch.split(torch.arange(len(data)), TEST_BATCH)
    read = batches(
        data,
        plan,
        augmentation="none",
        size=None,
        seed=spec.seed,
        epoch=epoch,
        first=0,
        processes=spec.loader_processes,
    )
    for part, (x, y) in enumerate(read):
        stream = generator(spec.seed, epoch, Stage.TEST, part, device=device)
        noise = torch.randn(x.shape, generator=stream, device=device)
        with network_failures(tuple(x.shape)), torch.no_grad():
            logits = model(x.to(device) + (spec.sigma or 0.0) * noise)
        yield int((logits.argmax(1) == y.to(device)).sum())


def certification_due(spec: TrainSpec, epoch: int) -> bool:
    """Whether a certification follows ``epoch`` (from 0): every so many epochs, and after the last."""
    if spec.certification is None:
        return False
    return (epoch + 1) % spec.certification.every == 0 or epoch + 1 == spec.epochs


def certified(
    spec: TrainSpec, plan: PeriodicCertification, model: BaseClassifier, data: Dataset, device: torch.device
) -> Iterator[Certificate | None]:
    """The certificates of the chosen test inputs; None between them, about once a second.

    Their noise is none that a certify job draws, whatever its seed: weights may be chosen by these certificates, and a
    bound holds only for noise that its model was not chosen by.
    """
    batch = DEFAULT_BATCH if device.type == "cpu" else TEST_BATCH
    assert spec.sigma is not None
    sampler = Sampler(model, spec.sigma, data.num_classes, seed=spec.seed, batch_size=batch)
    inputs = ((index, data.image(index), int(data.labels[index])) for index in plan.indices(len(data)))
    stages = (Stage.CHECK_SELECTION, Stage.CHECK_ESTIMATION)
    procedure = Procedure(sigma=spec.sigma, n0=plan.n0, n=plan.n, alpha=plan.alpha)
    for record in engine.certify(sampler, inputs, procedure, stages=stages):
        yield record if isinstance(record, Certificate) else None


def summary(spec: TrainSpec, plan: PeriodicCertification, certificates: Sequence[Certificate]) -> dict[str, Any]:
    """A certification in short: inputs, ACR, abstentions and certified accuracy at round radii."""
    assert spec.sigma is not None
    sums = row_sums(certificates, default_radii(spec.sigma, plan.n, plan.alpha))
    return {
        "inputs": sums.evaluated,
        "acr": sums.radius_sum / sums.evaluated,
        "abstained": sums.abstained,
        "certified_accuracy": [
            {"radius": radius, "share": count / sums.evaluated}
            for radius, count in zip(sums.radii, sums.counts, strict=True)
        ],
    }
