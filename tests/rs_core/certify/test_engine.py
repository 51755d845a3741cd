"""The engine over many inputs: the same records as one call per input, wherever it is cut."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from rs_core.certify import engine
from rs_core.certify.decision import Certificate, Prediction
from rs_core.certify.engine import Input, Progress
from rs_core.certify.sampling import Sampler
from rs_core.certify.smoothed import SmoothedClassifier


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture
def inputs() -> list[Input]:
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return [(3 * i, images[i], i % 10) for i in range(5)]


def _evidence(records: Iterator[object]) -> list[tuple[object, ...]]:
    return [(r.index, r.prediction, r.radius, r.counts0, r.counts) for r in records if isinstance(r, Certificate)]


def test_many_inputs_give_the_certificates_of_single_calls(model: nn.Module, inputs: list[Input]) -> None:
    many = _evidence(engine.certify(Sampler(model, 0.25, 10, seed=5), inputs, n0=50, n=500, alpha=0.01))
    smoothed = SmoothedClassifier(model, 0.25, 10, seed=5)
    assert many == _evidence(smoothed.certify(x, 50, 500, 0.01, index=i, label=y) for i, x, y in inputs)


def test_the_order_of_the_inputs_changes_no_certificate(model: nn.Module, inputs: list[Input]) -> None:
    forward = _evidence(engine.certify(Sampler(model, 0.25, 10), inputs, n0=50, n=500, alpha=0.01))
    backward = _evidence(engine.certify(Sampler(model, 0.25, 10), inputs[::-1], n0=50, n=500, alpha=0.01))
    assert forward == backward[::-1]


def test_work_cut_after_any_progress_ends_with_the_same_counts(
    model: nn.Module, inputs: list[Input], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SECONDS_BETWEEN_PROGRESS", 0.0)

    def run(resume: Progress | None = None) -> list[Progress | Certificate]:
        sampler = Sampler(model, 0.25, 10, seed=5, batch_size=64)
        return list(engine.certify(sampler, inputs[:1], n0=50, n=500, alpha=0.01, resume=resume))

    whole = run()
    cuts = [record for record in whole if isinstance(record, Progress)]
    assert len(cuts) == 1 + 1 + 8, "at the beginning, after the selection's batch, after each of the estimation's"
    for cut in cuts:
        assert _evidence(iter(run(resume=cut))) == _evidence(iter(whole))


def test_progress_of_another_input_is_not_used(model: nn.Module, inputs: list[Input]) -> None:
    stale = Progress(index=999, label=0, votes={}, seconds=5.0)
    records = engine.certify(Sampler(model, 0.25, 10), inputs[:1], n0=50, n=500, alpha=0.01, resume=stale)
    assert next(r for r in records if isinstance(r, Certificate)).seconds < 5.0


def test_selection_and_estimation_share_no_noise(model: nn.Module, inputs: list[Input]) -> None:
    certificate = SmoothedClassifier(model, 0.25, 10).certify(inputs[0][1], 500, 500, 0.01)
    assert certificate.counts0 != certificate.counts


def test_predict_tests_fresh_votes(model: nn.Module, inputs: list[Input]) -> None:
    records = engine.predict(Sampler(model, 0.25, 10), inputs, n=500, alpha=0.01)
    predictions = [record for record in records if isinstance(record, Prediction)]
    assert [prediction.index for prediction in predictions] == [0, 3, 6, 9, 12]
    assert all(sum(prediction.counts) == 500 for prediction in predictions)
