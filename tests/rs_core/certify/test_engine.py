"""The engine over many inputs: the same records as one call per input, wherever it is cut."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler, Votes
from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier
from radii.rs_core.noise.discrete_distribution import neglected
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.specs.fields import Sampling

SMALL = Procedure(sigma=0.25, n0=50, n=500, alpha=0.01)


@pytest.fixture
def model() -> nn.Module:
    """Votes of 56 to 99 % for the first class of each input below: some are hard, some easy."""
    torch.manual_seed(0)
    linear = nn.Linear(64, 10)
    linear.bias.data[:2] += 0.7
    return nn.Sequential(nn.Flatten(), linear)


@pytest.fixture
def inputs() -> list[Input]:
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return [(3 * i, images[i], i % 10) for i in range(5)]


def _evidence(records: Iterator[object]) -> list[tuple[object, ...]]:
    return [(r.index, r.prediction, r.radius, r.counts0, r.counts) for r in records if isinstance(r, Certificate)]


def _certified(model: nn.Module, inputs: list[Input], procedure: Procedure = SMALL, **more: object) -> Iterator[object]:
    sampler = Sampler(model, 0.25, 10, seed=5, batch_size=int(more.pop("batch_size", 100)))  # type: ignore[call-overload]
    return engine.certify(sampler, inputs, procedure, **more)  # type: ignore[arg-type]


def test_many_inputs_give_the_certificates_of_single_calls(model: nn.Module, inputs: list[Input]) -> None:
    smoothed = SmoothedClassifier(model, 0.25, 10, seed=5)
    alone = _evidence(smoothed.certify(x, 50, 500, 0.01, index=i, label=y) for i, x, y in inputs)
    assert _evidence(_certified(model, inputs)) == alone


@pytest.mark.parametrize("sampling", ["fixed", "pilot", "at_radii", "anytime"])
def test_neither_the_order_of_the_inputs_nor_the_batch_changes_a_certificate(
    model: nn.Module, inputs: list[Input], sampling: Sampling
) -> None:
    """With room for several parts, one batch holds several inputs, and different ones in another order."""
    radii = (0.05, 0.1) if sampling == "at_radii" else ()
    procedure = Procedure(sigma=0.25, n0=100, n=2_050, alpha=0.01, sampling=sampling, radii=radii)
    wanted = sorted(_evidence(_certified(model, inputs, procedure)))
    assert len(wanted) == len(inputs)
    if sampling in ("pilot", "at_radii"):
        assert len({sum(row[4]) for row in wanted}) > 1, "sizes of their own"  # type: ignore[arg-type]
    for batch_size in (20, 300, 1_000):
        for ordered in (inputs, inputs[::-1]):
            assert sorted(_evidence(_certified(model, ordered, procedure, batch_size=batch_size))) == wanted
    assert sorted(_evidence(_certified(model, inputs, procedure, batch_size=300, alone=True))) == wanted


def test_batches_are_full_whatever_an_input_still_needs(model: nn.Module, inputs: list[Input]) -> None:
    passes: list[int] = []
    model.register_forward_hook(lambda *_: passes.append(1))
    procedure = Procedure(sigma=0.25, n0=100, n=200, alpha=0.01)
    list(_certified(model, inputs, procedure, batch_size=500))
    assert len(passes) == 5 * 3 // 5 + 1, "15 parts of 100 in batches of 5, and one look at whether places are alike"


def test_alone_means_one_input_at_a_time(model: nn.Module, inputs: list[Input]) -> None:
    records = list(_certified(model, inputs, batch_size=1_000, alone=True))
    kinds = [(record.index, isinstance(record, Certificate)) for record in records]  # type: ignore[attr-defined]
    assert kinds == [(index, done) for index in (0, 3, 6, 9, 12) for done in (False, True)]


@pytest.mark.parametrize("sampling", ["fixed", "pilot", "at_radii", "anytime"])
@pytest.mark.parametrize("batch_size", [50, 300])
def test_work_cut_after_any_progress_ends_with_the_same_counts(
    model: nn.Module, inputs: list[Input], monkeypatch: pytest.MonkeyPatch, sampling: Sampling, batch_size: int
) -> None:
    monkeypatch.setattr(engine, "SECONDS_BETWEEN_PROGRESS", 0.0)
    radii = (0.05, 0.1) if sampling == "at_radii" else ()
    procedure = Procedure(sigma=0.25, n0=100, n=850, alpha=0.01, sampling=sampling, radii=radii)
    whole = list(_certified(model, inputs, procedure, batch_size=batch_size))
    wanted = sorted(_evidence(iter(whole)))
    for cut in range(0, len(whole), 3):
        kept = [record for record in whole[:cut] if isinstance(record, Certificate)]
        done = {record.index for record in kept}
        begun = {record.index: record for record in whole[:cut] if isinstance(record, Progress)}
        rest = _certified(
            model,
            [given for given in inputs if given[0] not in done],
            procedure,
            batch_size=batch_size,
            resume=[Progress.of(progress.body()) for progress in begun.values() if progress.index not in done],
        )
        assert sorted(_evidence(iter(kept)) + _evidence(rest)) == wanted


@pytest.mark.parametrize("batches", [0, 1, 3, 7])
def test_who_stops_it_after_any_batch_gets_every_vote_and_goes_on_from_there(
    model: nn.Module, inputs: list[Input], batches: int
) -> None:
    drawn = 0

    def stop() -> bool:
        nonlocal drawn
        drawn += 1
        return drawn > batches

    records = list(_certified(model, inputs, batch_size=200, stop=stop))
    ended = {record.index for record in records if isinstance(record, Certificate)}
    last = {record.index: record for record in records if isinstance(record, Progress) and record.index not in ended}
    counted = sum(record.drawn for record in last.values()) + sum(
        record.n0 + record.n for record in records if isinstance(record, Certificate)
    )
    assert counted >= 150 * batches, "parts of 100 and of 50 samples, two in a batch"
    left = [given for given in inputs if given[0] not in ended]
    resumed = list(_certified(model, left, batch_size=200, resume=last.values()))
    assert sorted(_evidence(iter([*records, *resumed]))) == sorted(_evidence(_certified(model, inputs)))


def test_a_cut_input_draws_only_what_is_missing(model: nn.Module, inputs: list[Input]) -> None:
    begun = Progress(index=0, label=0, votes={1: Votes(drawn=400, counts=(400, *[0] * 9))}, seconds=1.0)
    records = _certified(model, inputs[:1], resume=[begun])
    (certificate,) = [record for record in records if isinstance(record, Certificate)]
    assert certificate.counts[0] >= 400
    assert sum(certificate.counts) == 500
    assert certificate.seconds > 1.0


def test_a_stage_that_was_cut_inside_a_part_begins_anew(model: nn.Module, inputs: list[Input]) -> None:
    begun = Progress(index=0, label=0, votes={1: Votes(drawn=64, counts=(64, *[0] * 9))}, seconds=1.0)
    assert _evidence(_certified(model, inputs[:1], resume=[begun])) == _evidence(_certified(model, inputs[:1]))


def test_progress_of_another_input_is_not_used(model: nn.Module, inputs: list[Input]) -> None:
    stale = Progress(index=999, label=0, votes={}, seconds=5.0)
    records = _certified(model, inputs[:1], resume=[stale])
    assert next(r for r in records if isinstance(r, Certificate)).seconds < 5.0


def test_a_certificate_says_how_it_was_made(model: nn.Module, inputs: list[Input]) -> None:
    procedure = Procedure(sigma=0.25, n=1_000, alpha=0.01, sampling="pilot", bound="two_class")
    sampler = Sampler(model, 0.25, 10, precision="bf16", noise="discrete")
    grid = [(index, (x * 255).round() / 255, label) for index, x, label in inputs]
    for record in engine.certify(sampler, grid, procedure):
        if isinstance(record, Certificate):
            assert (record.sampling, record.bound, record.noise, record.precision) == (
                *("pilot", "two_class", "discrete", "bf16"),
            )
            assert (record.n0, record.n) == (sum(record.counts0), sum(record.counts))
            decided = procedure.decide(record.counts0, record.counts, neglected=neglected(0.25, 64))
            assert (record.radius, record.p_lower, record.p_upper) == (
                *(decided.radius, decided.p_lower, decided.p_upper),
            )


def test_selection_and_estimation_share_no_noise(model: nn.Module, inputs: list[Input]) -> None:
    certificate = SmoothedClassifier(model, 0.25, 10).certify(inputs[0][1], 500, 500, 0.01)
    assert certificate.counts0 != certificate.counts


def test_predict_tests_fresh_votes(model: nn.Module, inputs: list[Input]) -> None:
    records = engine.predict(Sampler(model, 0.25, 10), inputs, n=500, alpha=0.01)
    predictions = [record for record in records if isinstance(record, Prediction)]
    assert [prediction.index for prediction in predictions] == [0, 3, 6, 9, 12]
    assert all(sum(prediction.counts) == 500 for prediction in predictions)
