"""Votes for soft labels: PREDICT's sampling with streams of its own, on one view of each input that never changes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.noise.streams import Stage
from radii.rs_core.records import Prediction
from radii.rs_core.soft_labels.voting import view, vote


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture
def inputs() -> list[Input]:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return [(3 * i, images[i], i) for i in range(4)]


def _counts(records: object) -> dict[int, tuple[int, ...]]:
    return {record.index: record.counts for record in records if isinstance(record, Prediction)}  # type: ignore[attr-defined]


def test_votes_are_those_of_the_sampler_in_the_stage_of_soft_labels(model: nn.Module, inputs: list[Input]) -> None:
    found = _counts(vote(Sampler(model, 0.25, 10, seed=5), inputs, n=300))
    stage = Stage.SOFT_LABELS
    assert found == _counts(engine.predict(Sampler(model, 0.25, 10, seed=5), inputs, n=300, alpha=0.5, stage=stage))
    assert found != _counts(engine.predict(Sampler(model, 0.25, 10, seed=5), inputs, n=300, alpha=0.001))


def test_with_augmentation_votes_are_on_a_view_that_depends_on_seed_and_index_alone(
    model: nn.Module, inputs: list[Input]
) -> None:
    sampler = Sampler(model, 0.25, 10, seed=5)
    found = _counts(vote(sampler, inputs, n=300, augmentation="crop_flip"))
    assert _counts(vote(sampler, inputs[::-1], n=300, augmentation="crop_flip")) == found
    views = [(i, view(x, i, seed=5, augmentation="crop_flip"), y) for i, x, y in inputs]
    assert _counts(vote(sampler, views, n=300)) == found
    assert any(not torch.equal(seen, image) for (_, seen, _), (_, image, _) in zip(views, inputs, strict=True))
    assert not torch.equal(view(inputs[0][1], 0, seed=5, augmentation="crop_flip"), views[1][1])


def test_a_resized_crop_gives_images_of_the_size_asked_for() -> None:
    image = torch.rand(3, 20, 30)
    assert view(image, 1, seed=0, augmentation="resized_crop_flip", crop_size=12).shape == (3, 12, 12)
    assert view(image, 1, seed=0, augmentation="resized_crop_flip").shape == (3, 20, 30)


def test_votes_cut_inside_an_input_go_on_to_the_same_counts(
    model: nn.Module, inputs: list[Input], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SECONDS_BETWEEN_PROGRESS", 0.0)

    def run(resume: Progress | None = None) -> list[Progress | Prediction]:
        begun = [resume] if resume else []
        return list(vote(Sampler(model, 0.25, 10), inputs[:1], n=400, augmentation="crop_flip", resume=begun))

    whole = run()
    cuts = [record for record in whole if isinstance(record, Progress)]
    assert len(cuts) == 4
    for cut in cuts:
        assert _counts(run(replace(cut, label=-1))) == _counts(whole)
