"""What a job that nothing disturbs ends with: the library's own calls, on one thread as the workers have it."""

import torch

from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.builtin import digits
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.records import Prediction
from radii.rs_core.soft_labels.labels import SoftLabels, from_counts, voter_spec
from radii.rs_core.soft_labels.voting import vote
from radii.rs_core.specs.jobs import CatRs, TrainSpec
from radii.rs_core.training.loop import EpochRecord, TrainingResult, train
from tests_support.threads import single

Weights = dict[str, torch.Tensor]
REQUEST = {
    "kind": "train",
    "architecture": "digits_cnn",
    "sigma": 0.25,
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 0.02,
    "lr_step": 8,
    "seed": 5,
}
"""A job of many short epochs."""


def training(
    spec: TrainSpec, labels: SoftLabels | None = None, start: BaseClassifier | None = None
) -> tuple[Weights, list[EpochRecord]]:
    """The weights and the epochs of a training on the digits; one that needs soft labels or a start is given them."""
    with single():
        records = list(train(spec, digits(), soft_labels=labels, start=start))
    model = next(record.model for record in records if isinstance(record, TrainingResult))
    return model.state_dict(), [record for record in records if isinstance(record, EpochRecord)]


def soft_labels(spec: TrainSpec) -> SoftLabels:
    """The soft labels that a CAT-RS training on the first digits makes for itself: its voter's votes."""
    hp, data = spec.method, digits()
    assert isinstance(hp, CatRs)
    assert spec.inputs.count is not None
    with single():
        voter = next(r.model for r in train(voter_spec(spec), data) if isinstance(r, TrainingResult))
        inputs = [(index, data.image(index), int(data.labels[index])) for index in range(spec.inputs.count)]
        sampler = Sampler(voter, hp.soft_label_sigma, data.num_classes, seed=spec.seed)
        votes = list(vote(sampler, inputs, n=hp.soft_label_n, augmentation=spec.augmentation))
    rows = [record for record in votes if isinstance(record, Prediction)]
    return from_counts((row.index for row in rows), (row.counts for row in rows), data.num_classes)


def same(weights: Weights, others: Weights) -> bool:
    """Whether two models agree in every bit."""
    return weights.keys() == others.keys() and all(
        torch.equal(tensor, others[name]) for name, tensor in weights.items()
    )
