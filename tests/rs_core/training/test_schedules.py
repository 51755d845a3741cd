"""The learning rate: when its drops reach training, half a cosine, and the warm-up before either."""

import math

import pytest

from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.training.schedules import first_drop, learning_rate


def _spec(**changes: object) -> TrainSpec:
    fields = {"dataset": "digits", "architecture": "digits_cnn", "sigma": 0.25, "epochs": 150, "learning_rate": 0.1}
    return TrainSpec(**{**fields, "lr_step": 50, **changes})  # type: ignore[arg-type]


def test_learning_rate_drops_one_epoch_late_by_default_as_in_the_released_logs() -> None:
    spec = _spec()
    rates = [learning_rate(spec, epoch) for epoch in range(150)]
    assert [rates.count(pytest.approx(rate)) for rate in (0.1, 0.01, 0.001)] == [51, 50, 49]
    assert first_drop(spec) == 51


def test_learning_rate_drops_on_time_when_asked() -> None:
    spec = _spec(lr_drop="exact")
    rates = [learning_rate(spec, epoch) for epoch in range(150)]
    assert [rates.count(pytest.approx(rate)) for rate in (0.1, 0.01, 0.001)] == [50, 50, 50]
    assert first_drop(spec) == 50


def test_drops_come_between_epochs_and_never_inside_one() -> None:
    spec = _spec(epochs=3, lr_step=1, lr_drop="exact")
    assert {learning_rate(spec, 1, step, 7) for step in range(7)} == {0.1 * 0.1}


def test_a_cosine_falls_from_the_whole_rate_to_nothing_step_by_step() -> None:
    spec = _spec(epochs=2, schedule="cosine")
    rates = [learning_rate(spec, epoch, step, 3) for epoch in range(2) for step in range(3)]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 6)) for k in range(6)])
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(_spec(epochs=1000, schedule="cosine"), 999, 99, 100) < 1e-10


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_a_warm_up_has_come_to_1_minus_1_over_e_after_its_share_of_the_steps(schedule: str) -> None:
    plain, warm = _spec(epochs=4, schedule=schedule), _spec(epochs=4, schedule=schedule, lr_warmup=0.04)
    shares = [
        learning_rate(warm, epoch, step, 50) / learning_rate(plain, epoch, step, 50)
        for epoch in range(4)
        for step in range(50)
    ]
    assert shares == pytest.approx([1 - math.exp(-t / 8) for t in range(1, 201)])  # 0.04 of 200 steps
    assert shares[7] == pytest.approx(1 - 1 / math.e)
