"""The one training loop: an optimiser and a schedule around a method's loss, resumable at any step.

Defaults and their odd corners follow the public code behind Cohen et al. 2019 (arXiv 1902.02918) and Jeong et al.
(arXiv 2006.04062, 2111.09277): SGD with momentum, weight decay on all parameters, no clipping, the last epoch's weights, and
a schedule whose drops reach training one epoch late, as in the released logs (``optimizers``, ``schedules``).

Every draw (initial weights, order, augmentation, noise, dropout) comes from a stream keyed by the seed and the place in
the run, so a run that is cut anywhere and resumed from its last snapshot ends with the weights of an unbroken one,
bit-equal on one kind of CPU. What a method's loss is stands in ``methods``, how it passes the network in
``models.training_forward``, what is measured on the test dataset in ``epoch_evaluation``.
"""

import math
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.loader import batches
from radii.rs_core.errors import Mismatch, TrainingDiverged
from radii.rs_core.methods.base import LossTerms, Step
from radii.rs_core.methods.registry import loss_function, method
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.training_forward import training_forward
from radii.rs_core.noise.streams import Stage, generator, layer_randomness
from radii.rs_core.out_of_memory import network_failures
from radii.rs_core.records import Certificate
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.training import epoch_evaluation, model_selection, snapshots
from radii.rs_core.training.compatibility import check_training
from radii.rs_core.training.initialization import first_model
from radii.rs_core.training.mixed_initialization import learner, shown
from radii.rs_core.training.model_selection import BestEpoch
from radii.rs_core.training.optimizers import descend, optimizer_of
from radii.rs_core.training.records import EpochRecord as EpochRecord
from radii.rs_core.training.records import StepRecord as StepRecord
from radii.rs_core.training.records import TrainingResult as TrainingResult
from radii.rs_core.training.schedules import first_drop, learning_rate
from radii.rs_core.training.snapshots import EpochSums, Snapshot, TrainingPosition
from radii.rs_core.training.timers import TrainingTimer

Record = StepRecord | EpochRecord | Snapshot | TrainingResult
Numbers = Generator[Record, None, float | None]
Summary = Generator[Record, None, dict[str, Any] | None]


def train(
    spec: TrainSpec,
    data: Dataset,
    *,
    test_data: Dataset | None = None,
    soft_labels: SoftLabels | None = None,
    start: BaseClassifier | None = None,
    device: torch.device | str = "cpu",
    resume: Path | None = None,
    snapshot_seconds: float = 60.0,
    forward_batch: int | None = None,
) -> Iterator[Record]:
    """Trains on the chosen inputs of ``data``; the last record is :class:`TrainingResult`.

    ``soft_labels`` are votes on those inputs, for methods that need them; ``start`` is the model that ``spec.start_from``
    names. A :class:`Snapshot` comes after each epoch and every ``snapshot_seconds``; save it before asking for the next
    record. ``resume`` is a saved one of the same specification. ``forward_batch`` goes before the specification's, where the
    machine has less memory than it was made for. Raises :class:`Mismatch` where images, architecture,
    votes or weights do not fit and :class:`TrainingDiverged` where the loss is no number.
    """
    check_training(spec, data, test_data)
    _check_given(spec, data, soft_labels, start)
    run = _Run(spec, data, test_data, soft_labels, start, torch.device(device), snapshot_seconds, forward_batch)
    place = snapshots.load(resume, run.name, run.learner, run.optimizer) if resume else snapshots.START
    run.kept = place.kept
    for epoch in range(place.epoch, spec.epochs):
        yield from run.epoch(place if epoch == place.epoch else TrainingPosition(epoch=epoch))
    yield run.trained()


class _Run:
    """One training run: what stays the same over its epochs, and the weights kept so far."""

    def __init__(
        self,
        spec: TrainSpec,
        data: Dataset,
        test_data: Dataset | None,
        soft_labels: SoftLabels | None,
        start: BaseClassifier | None,
        device: torch.device,
        snapshot_seconds: float,
        forward_batch: int | None,
    ) -> None:
        self.spec, self.data, self.test_data, self.soft_labels = spec, data, test_data, soft_labels
        self.device, self.clock = device, TrainingTimer(snapshot_seconds)
        self.name = snapshots.identity(spec, data, test_data=test_data, soft_labels=soft_labels, start=start)
        self.model = first_model(spec, data, start).to(device)
        self.learner = learner(self.model)
        self.forward = training_forward(
            shown(self.model),
            precision=spec.precision,
            memory_format=spec.memory_format,
            forward_batch=forward_batch or spec.forward_batch,
        )
        self.optimizer = optimizer_of(spec, self.learner)
        self.indices = torch.tensor(spec.inputs.indices(len(data)))
        self.per_epoch = math.ceil(len(self.indices) / spec.batch_size)
        self.chunks = method(spec.method.name).chunks(spec.method)
        self.loss = loss_function(spec.method.name)
        self.kept: BestEpoch | None = None

    def epoch(self, place: TrainingPosition) -> Iterator[Record]:
        """The epoch from ``place`` on: its steps, its tests, its record and the snapshot after it."""
        epoch, due = place.epoch, epoch_evaluation.certification_due(self.spec, place.epoch)
        begun = time.monotonic()
        sums = yield from self._steps(place, begun)
        if due:  # so that a certification that is cut costs no training
            yield self._snapshot(epoch, self.per_epoch, sums.with_seconds(time.monotonic() - begun))
        accuracy = yield from self._tested(epoch, sums)
        sums = sums.with_seconds(time.monotonic() - begun)
        certification = (yield from self._certified(epoch, sums)) if due else None
        record = _epoch_record(epoch, self._rate(epoch), sums, accuracy, certification)
        self.kept = model_selection.better(
            self.kept,
            self.spec.keep,
            self.learner,
            epoch=epoch,
            loss=record.loss,
            test_accuracy=accuracy,
            certification=certification,
        )
        yield record
        yield self._snapshot(epoch + 1, 0, EpochSums())

    def trained(self) -> TrainingResult:
        """The end of the run, with the weights that are kept."""
        if self.kept is not None:
            self.learner.load_state_dict(self.kept.weights)
        epoch = self.spec.epochs if self.kept is None else self.kept.epoch + 1
        value = None if self.kept is None else self.kept.value
        return TrainingResult(model=self.model.eval(), epochs=self.spec.epochs, epoch=epoch, value=value)

    def _steps(self, place: TrainingPosition, begun: float) -> Generator[Record, None, EpochSums]:
        """Trains on the batches from ``place`` on; returns the epoch's sums."""
        spec, epoch, sums = self.spec, place.epoch, place.sums
        order = self.indices[torch.randperm(len(self.indices), generator=generator(spec.seed, epoch, Stage.ORDER))]
        plan = torch.split(order, spec.batch_size)
        loaded = batches(
            self.data,
            plan,
            augmentation=spec.augmentation,
            size=spec.crop_size,
            seed=spec.seed,
            epoch=epoch,
            first=place.step,
            processes=spec.loader_processes,
        )
        for batch, (x, y) in enumerate(loaded, place.step):
            sums = yield from self._learn(x, y, self._soft(plan[batch]), epoch, batch, sums)
            if self.clock.snapshot_due() and batch + 1 < self.per_epoch:
                yield self._snapshot(epoch, batch + 1, sums.with_seconds(time.monotonic() - begun))
        return sums

    def _learn(
        self, x: Tensor, y: Tensor, soft: Tensor | None, epoch: int, batch: int, sums: EpochSums
    ) -> Generator[Record, None, EpochSums]:
        """One loader batch: as many optimiser steps as the method cuts it into (published: leftovers are dropped)."""
        size = len(x) // self.chunks
        x, y = x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
        soft = None if soft is None else soft.to(self.device, non_blocking=True)
        self.forward.train()
        for chunk in range(self.chunks if size else 0):
            part = slice(chunk * size, (chunk + 1) * size)
            number = batch * self.chunks + chunk
            step = self._step(epoch, number, None if soft is None else soft[part])
            with network_failures(tuple(x[part].shape)):
                with layer_randomness(self.spec.seed, epoch, step.step, self.device):
                    terms = self.loss(self.spec.method, self.forward, x[part], y[part], step)
                _check_finite(terms, step)
                descend(self.optimizer, terms.total, self._rate(epoch, number), self.spec.clip_norm)
            sums = sums.add(terms, size)
            if self.clock.record_due():
                yield self._stands(epoch, number + 1, sums)
        return sums

    def _rate(self, epoch: int, number: int = 0) -> float:
        return learning_rate(self.spec, epoch, number, self.per_epoch * self.chunks)

    def _step(self, epoch: int, number: int, soft: Tensor | None) -> Step:
        return Step(
            sigma=self.spec.sigma or 0.0,
            epoch=epoch,
            epochs=self.spec.epochs,
            first_drop=first_drop(self.spec),
            step=number,
            generator=generator(self.spec.seed, epoch, Stage.TRAINING, number, device=self.device),
            soft_labels=soft,
        )

    def _soft(self, indices: Tensor) -> Tensor | None:
        return None if self.soft_labels is None else self.soft_labels.batch(indices)

    def _tested(self, epoch: int, sums: EpochSums) -> Numbers:
        """Accuracy under noise on the test data set, where there is one."""
        if self.test_data is None:
            return None
        right = 0
        for correct in epoch_evaluation.tested(self.spec, self.model, self.test_data, epoch, self.device):
            right += correct
            if self.clock.record_due():
                yield self._stands(epoch, self.per_epoch * self.chunks, sums)
        return right / len(self.test_data)

    def _certified(self, epoch: int, sums: EpochSums) -> Summary:
        """The small certification on the test data set."""
        plan, found = self.spec.certification, list[Certificate]()
        assert plan is not None and self.test_data is not None
        for certificate in epoch_evaluation.certified(self.spec, plan, self.model, self.test_data, self.device):
            if certificate is not None:
                found.append(certificate)
            if self.clock.record_due():
                yield self._stands(epoch, self.per_epoch * self.chunks, sums)
        return epoch_evaluation.summary(self.spec, plan, found)

    def _stands(self, epoch: int, steps: int, sums: EpochSums) -> StepRecord:
        per_epoch = self.per_epoch * self.chunks
        done, total = epoch * per_epoch + steps, self.spec.epochs * per_epoch
        return StepRecord(epoch=epoch, done=done, total=total, loss=sums.mean_loss)

    def _snapshot(self, epoch: int, step: int, sums: EpochSums) -> Snapshot:
        return Snapshot(
            run=self.name,
            model=self.learner,
            optimizer=self.optimizer,
            epoch=epoch,
            step=step,
            sums=sums,
            kept=self.kept,
        )


def _check_finite(terms: LossTerms, step: Step) -> None:
    if not bool(torch.isfinite(terms.total)):
        raise TrainingDiverged(
            expected="a finite loss", got=f"{terms.total.item()} in epoch {step.epoch}, step {step.step}"
        )


def _epoch_record(
    epoch: int, rate: float, sums: EpochSums, test_accuracy: float | None, certification: dict[str, Any] | None
) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        steps=sums.steps,
        learning_rate=rate,
        loss=sums.mean_loss,
        terms={name: total / max(sums.images, 1) for name, total in sums.parts.items()},
        accuracy=sums.accuracy / max(sums.images, 1),
        test_accuracy=test_accuracy,
        seconds=sums.seconds,
        certification=certification,
    )


def _check_given(spec: TrainSpec, data: Dataset, soft_labels: SoftLabels | None, start: BaseClassifier | None) -> None:
    """Raises :class:`Mismatch` where the specification asks for votes or weights that were not given, or do not fit."""
    if method(spec.method.name).needs_soft_labels:
        if soft_labels is None:
            raise Mismatch(
                expected=f"soft labels for {spec.method.name}, the votes of a classifier on each training input",
                got="none",
                where="method.soft_labels",
            )
        soft_labels.require(spec.inputs.indices(len(data)), data.num_classes)
    if spec.start_from is not None and start is None:
        raise Mismatch(expected="the weights to start from", got="none", where="start_from")
