"""The one training loop: SGD with momentum and a step schedule around a method's loss, resumable at any step.

Settings and their odd corners follow the public code behind Cohen et al. 2019 (arXiv 1902.02918) and Jeong et al.
(arXiv 2006.04062, 2111.09277): weight decay on all parameters, no clipping, the last epoch's weights, and by default a
schedule whose drops reach training one epoch late, as in the released logs.

Every draw (initial weights, order, augmentation, noise, dropout) comes from a stream keyed by the seed and the place in
the run, so a run that is cut anywhere and resumed from its last snapshot ends with the weights of an unbroken one,
bit-equal on one kind of CPU. What a method's loss is stands in ``methods``.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rs_core import snapshots
from rs_core.data.dataset import Dataset
from rs_core.errors import Mismatch, TrainingDiverged
from rs_core.methods.table import loss_function, method
from rs_core.methods.terms import Step, Terms
from rs_core.models import table as models
from rs_core.models.normalize import BaseClassifier
from rs_core.noise import Stage, generator
from rs_core.snapshots import Snapshot, Sums
from rs_core.spec import TrainSpec, normalization

SECONDS_BETWEEN_RECORDS = 1.0
TEST_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """Where a run stands; about one a second. ``done`` of ``total`` loader batches are behind it."""

    epoch: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch came to: means over its images, accuracies under one noise draw per image."""

    epoch: int
    steps: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    accuracy: float
    test_accuracy: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The end of a run: the last epoch's model, in evaluation mode."""

    model: BaseClassifier
    epochs: int


def train(
    spec: TrainSpec,
    data: Dataset,
    *,
    test_data: Dataset | None = None,
    device: torch.device | str = "cpu",
    resume: Path | None = None,
    snapshot_seconds: float = 60.0,
) -> Iterator[StepRecord | EpochRecord | Snapshot | Trained]:
    """Trains on the chosen inputs of ``data``; the last record is :class:`Trained`.

    A :class:`Snapshot` comes after each epoch and every ``snapshot_seconds``; save it before asking for the next
    record. ``resume`` is a saved one of the same specification. Raises :class:`Mismatch` where images and architecture
    do not fit and :class:`TrainingDiverged` where the loss is no number.
    """
    _check(data, test_data)
    model, optimizer = _fresh(spec, data, torch.device(device))
    run = snapshots.identity(spec, data)
    place = snapshots.load(resume, run, model, optimizer) if resume else snapshots.START
    indices = torch.tensor(spec.inputs.indices(len(data)))
    per_epoch = math.ceil(len(indices) / spec.batch_size)
    clock = _Clock(snapshot_seconds)
    for epoch in range(place.epoch, spec.epochs):
        _set_learning_rate(optimizer, learning_rate(spec, epoch))
        order = indices[torch.randperm(len(indices), generator=generator(spec.seed, epoch, Stage.ORDER))]
        sums, begun = (place.sums if epoch == place.epoch else Sums()), time.monotonic()
        for batch in range(place.step if epoch == place.epoch else 0, per_epoch):
            x, y = data.batch(order[batch * spec.batch_size : (batch + 1) * spec.batch_size])
            sums = _learn(spec, model, optimizer, x.to(device), y.to(device), epoch, batch, sums)
            done = epoch * per_epoch + batch + 1
            if clock.record_due():
                yield StepRecord(epoch=epoch, done=done, total=spec.epochs * per_epoch, loss=sums.mean_loss)
            if clock.snapshot_due() and batch + 1 < per_epoch:
                spent = sums.with_seconds(time.monotonic() - begun)
                yield Snapshot(run=run, model=model, optimizer=optimizer, epoch=epoch, step=batch + 1, sums=spent)
        accuracy = None
        if test_data is not None:
            right = 0
            for correct in _tested(spec, model, test_data, epoch, torch.device(device)):
                right += correct
                if clock.record_due():
                    done = (epoch + 1) * per_epoch
                    yield StepRecord(epoch=epoch, done=done, total=spec.epochs * per_epoch, loss=sums.mean_loss)
            accuracy = right / len(test_data)
        yield _epoch_record(spec, epoch, sums.with_seconds(time.monotonic() - begun), accuracy)
        yield Snapshot(run=run, model=model, optimizer=optimizer, epoch=epoch + 1, step=0, sums=Sums())
    yield Trained(model=model.eval(), epochs=spec.epochs)


def learning_rate(spec: TrainSpec, epoch: int) -> float:
    """The rate of ``epoch`` (from 0): one drop every ``lr_step`` epochs, by default each one epoch late."""
    reached = max(epoch - 1, 0) if spec.lr_drop == "published" else epoch
    return float(spec.learning_rate * spec.lr_gamma ** (reached // spec.lr_step))


def first_drop(spec: TrainSpec) -> int:
    """The first epoch with a lower learning rate."""
    return spec.lr_step + (1 if spec.lr_drop == "published" else 0)


def _learn(
    spec: TrainSpec,
    model: BaseClassifier,
    optimizer: torch.optim.SGD,
    x: Tensor,
    y: Tensor,
    epoch: int,
    batch: int,
    sums: Sums,
) -> Sums:
    """One loader batch: as many optimiser steps as the method cuts it into (published: leftovers are dropped)."""
    chunks = method(spec.method.name).chunks(spec.method)
    size = len(x) // chunks
    model.train()
    if spec.augmentation == "crop_flip":
        x = crop_flip(x, generator(spec.seed, epoch, Stage.AUGMENTATION, batch))
    for chunk in range(chunks if size else 0):
        part = slice(chunk * size, (chunk + 1) * size)
        step = Step(
            sigma=spec.sigma,
            epoch=epoch,
            epochs=spec.epochs,
            first_drop=first_drop(spec),
            step=batch * chunks + chunk,
            generator=generator(spec.seed, epoch, Stage.TRAINING, batch * chunks + chunk, device=x.device),
        )
        with _layer_randomness(spec.seed, epoch, step.step):
            terms = loss_function(spec.method.name)(spec.method, model, x[part], y[part], step)
        _update(optimizer, terms, step)
        sums = sums.add(terms, size)
    return sums


def _update(optimizer: torch.optim.SGD, terms: Terms, step: Step) -> None:
    if not bool(torch.isfinite(terms.total)):
        raise TrainingDiverged(
            expected="a finite loss", got=f"{terms.total.item()} in epoch {step.epoch}, step {step.step}"
        )
    optimizer.zero_grad(set_to_none=True)
    terms.total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def crop_flip(x: Tensor, stream: torch.Generator) -> Tensor:
    """Random crops after 4 pixels of zero padding, then mirror images with p = 1/2: (B, C, H, W) -> the same."""
    count, _, height, width = x.shape
    padded = nn.functional.pad(x, (4, 4, 4, 4))
    top, left = (torch.randint(0, 9, (count, 1), generator=stream) for _ in range(2))
    flip = torch.randint(0, 2, (count, 1), generator=stream).bool()
    rows = top + torch.arange(height)
    columns = left + torch.where(flip, torch.arange(width).flip(0), torch.arange(width))
    image = torch.arange(count)[:, None, None]
    cropped = padded.permute(0, 2, 3, 1)[image, rows[:, :, None].to(x.device), columns[:, None, :].to(x.device)]
    return cropped.permute(0, 3, 1, 2).contiguous()


def _tested(spec: TrainSpec, model: BaseClassifier, data: Dataset, epoch: int, device: torch.device) -> Iterator[int]:
    """How many test images of each part are classified right under one noise draw each."""
    model.eval()
    for part, start in enumerate(range(0, len(data), TEST_BATCH)):
        x, y = data.batch(torch.arange(start, min(start + TEST_BATCH, len(data))))
        stream = generator(spec.seed, epoch, Stage.TEST, part, device=device)
        noise = torch.randn(x.shape, generator=stream, device=device)
        with torch.no_grad():
            logits = model(x.to(device) + spec.sigma * noise)
        yield int((logits.argmax(1) == y.to(device)).sum())


def _fresh(spec: TrainSpec, data: Dataset, device: torch.device) -> tuple[BaseClassifier, torch.optim.SGD]:
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(spec.seed, 0, Stage.INITIAL_WEIGHTS).get_state())
        model = models.build(
            spec.architecture,
            num_classes=data.num_classes,
            input_shape=data.shape,
            normalization=normalization(spec.normalization),
        )
    model.to(device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay
    )
    return model, optimizer


@contextmanager
def _layer_randomness(seed: int, epoch: int, step: int) -> Iterator[None]:
    """Layers that draw for themselves (dropout) draw from this step's own stream; the caller's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(seed, epoch, Stage.LAYERS, step).get_state())
        yield


def _set_learning_rate(optimizer: torch.optim.SGD, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _epoch_record(spec: TrainSpec, epoch: int, sums: Sums, test_accuracy: float | None) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        steps=sums.steps,
        learning_rate=learning_rate(spec, epoch),
        loss=sums.mean_loss,
        terms={name: total / max(sums.images, 1) for name, total in sums.parts.items()},
        accuracy=sums.accuracy / max(sums.images, 1),
        test_accuracy=test_accuracy,
        seconds=sums.seconds,
    )


def _check(data: Dataset, test_data: Dataset | None) -> None:
    if test_data is not None and (test_data.shape, test_data.num_classes) != (data.shape, data.num_classes):
        raise Mismatch(
            expected=f"a test set of shape {data.shape} with {data.num_classes} classes",
            got=f"{test_data.shape} with {test_data.num_classes} classes",
            where="test_dataset",
        )


class _Clock:
    """When the next record and the next snapshot are due."""

    def __init__(self, snapshot_seconds: float) -> None:
        self._snapshot_seconds = snapshot_seconds
        self._recorded = self._saved = time.monotonic()

    def record_due(self) -> bool:
        now = time.monotonic()
        if now - self._recorded < SECONDS_BETWEEN_RECORDS:
            return False
        self._recorded = now
        return True

    def snapshot_due(self) -> bool:
        now = time.monotonic()
        if now - self._saved < self._snapshot_seconds:
            return False
        self._saved = now
        return True
