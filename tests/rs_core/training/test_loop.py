"""The training loop: published schedule, keyed randomness, and runs that end the same however they are cut."""

from pathlib import Path

import pytest
import torch

from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidCheckpoint, TrainingDiverged
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.jobs import Consistency, Selection, TrainSpec
from radii.rs_core.training import timers
from radii.rs_core.training.loop import EpochRecord, StepRecord, TrainingResult, train
from radii.rs_core.training.snapshots import Snapshot


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


def _spec(**changes: object) -> TrainSpec:
    fields = {"dataset": "digits", "architecture": "digits_cnn", "sigma": 0.25, "epochs": 2, "batch_size": 100}
    fields |= {"learning_rate": 0.05, "lr_step": 1, "inputs": Selection(count=350), "seed": 3}
    return TrainSpec(**{**fields, **changes})  # type: ignore[arg-type]


def _weights(model: BaseClassifier) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _final(records: object) -> torch.Tensor:
    return next(_weights(record.model) for record in records if isinstance(record, TrainingResult))  # type: ignore[attr-defined]


def test_every_step_is_sgd_with_the_rate_of_its_epoch_momentum_and_weight_decay(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """v <- momentum * v + g + weight_decay * w, w <- w - rate * v, written out by hand beside each step."""
    rates = []

    class Watched(torch.optim.SGD):
        velocity = 0.0

        def step(self, closure: None = None) -> None:  # type: ignore[override]
            weights = [parameter for group in self.param_groups for parameter in group["params"]]
            before = torch.cat([weight.detach().flatten() for weight in weights])
            gradient = torch.cat([weight.grad.flatten() for weight in weights])
            super().step()
            after = torch.cat([weight.detach().flatten() for weight in weights])
            self.velocity = 0.8 * self.velocity + gradient + 0.01 * before
            moved, wanted = before - after, self.velocity
            rates.append(float((moved @ wanted) / (wanted @ wanted)))
            assert torch.allclose(moved, rates[-1] * wanted, atol=1e-6)

    monkeypatch.setattr(torch.optim, "SGD", Watched)
    _final(train(_spec(epochs=4, momentum=0.8, weight_decay=0.01, lr_gamma=0.5, method=Consistency(m=2)), data))
    steps = 8  # 350 images in batches of 100, two optimiser steps each
    assert rates == pytest.approx(steps * [0.05] + steps * [0.05] + steps * [0.025] + steps * [0.0125], rel=1e-3)


def test_equal_seeds_give_equal_weights_and_others_do_not(data: Dataset) -> None:
    assert torch.equal(_final(train(_spec(), data)), _final(train(_spec(), data)))
    assert not torch.equal(_final(train(_spec(), data)), _final(train(_spec(seed=4), data)))


def test_training_neither_reads_nor_moves_the_callers_generator(data: Dataset) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _final(train(_spec(epochs=1), data))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(_final(train(_spec(epochs=1), data)), first)


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_a_run_cut_at_any_snapshot_ends_with_the_weights_and_metrics_of_an_unbroken_one(
    data: Dataset, tmp_path: Path, augmentation: str
) -> None:
    spec = _spec(augmentation=augmentation)
    saved: list[Path] = []
    whole: list[object] = []
    for record in train(spec, data, test_data=data, snapshot_seconds=0.0):
        if isinstance(record, Snapshot):
            saved.append(tmp_path / f"{len(saved)}.safetensors")
            record.save(saved[-1])
        whole.append(record)
    assert len(saved) == 2 * 4, "one after each of four batches, in two epochs"
    for path in saved:
        resumed = list(train(spec, data, test_data=data, resume=path, snapshot_seconds=0.0))
        assert torch.equal(_final(resumed), _final(whole))
        for record in resumed:
            if isinstance(record, EpochRecord):
                same = next(r for r in whole if isinstance(r, EpochRecord) and r.epoch == record.epoch)
                assert (record.loss, record.accuracy, record.test_accuracy, record.steps) == (
                    same.loss,
                    same.accuracy,
                    same.test_accuracy,
                    same.steps,
                )


def test_a_snapshot_of_another_run_is_refused(data: Dataset, tmp_path: Path) -> None:
    snapshot = next(record for record in train(_spec(epochs=1), data) if isinstance(record, Snapshot))
    snapshot.save(tmp_path / "one.safetensors")
    with pytest.raises(InvalidCheckpoint, match="expected a snapshot of this very training run"):
        next(train(_spec(epochs=1, sigma=0.5), data, resume=tmp_path / "one.safetensors"))


def test_a_short_training_learns_the_digits_under_noise(data: Dataset) -> None:
    # Chance is 0.1; the seed is fixed, so this either holds on a platform or does not.
    spec = _spec(epochs=8, lr_step=5, inputs=Selection(count=1_400))
    epochs = [record for record in train(spec, data) if isinstance(record, EpochRecord)]
    assert epochs[-1].accuracy > 0.8
    assert epochs[-1].loss < epochs[0].loss


def test_the_last_batch_is_kept_though_it_is_smaller(data: Dataset) -> None:
    epoch = next(record for record in train(_spec(epochs=1), data) if isinstance(record, EpochRecord))
    assert epoch.steps == 4


def test_a_loss_that_is_no_number_ends_training_with_the_step(data: Dataset) -> None:
    with pytest.raises(TrainingDiverged, match=r"expected a finite loss, got (nan|inf) in epoch \d, step \d"):
        list(train(_spec(learning_rate=100.0, momentum=0.99), data))


def test_records_come_about_once_a_second(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "SECONDS_BETWEEN_RECORDS", 0.0)
    records = list(train(_spec(epochs=1), data))
    assert [record.done for record in records if isinstance(record, StepRecord)] == [1, 2, 3, 4]
