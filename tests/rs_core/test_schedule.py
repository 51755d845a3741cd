"""The learning rate: when its drops reach training."""

import pytest

from rs_core.schedule import first_drop, learning_rate
from rs_core.spec import TrainSpec


def _spec(**changes: object) -> TrainSpec:
    return TrainSpec(
        dataset="digits", architecture="digits_cnn", sigma=0.25, epochs=150, learning_rate=0.1, lr_step=50, **changes
    )  # type: ignore[arg-type]


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
