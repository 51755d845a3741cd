"""Training a mixing network changes the mixing network: where it begins, what stays, and what it can be asked for."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tests_support import mixes, parts, trainings
from tests_support.threads import single

from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidCheckpoint, Mismatch
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.specs.composition import Mixed
from radii.rs_core.specs.jobs import AdaptiveSmoothing, PeriodicCertification, Selection
from radii.rs_core.training.initialization import fingerprint
from radii.rs_core.training.loop import EpochRecord, train
from radii.rs_core.training.mixed_initialization import first_mixture, learner
from radii.rs_core.training.snapshots import Snapshot

SHAPE = (1, 8, 8)
SPEC = trainings.by(trainings.METHODS["adaptive_smoothing"])


@pytest.fixture(scope="module")
def data() -> Iterator[Dataset]:
    with single():  # these batches are too small to share
        yield digits()


def _with(**fields: Any) -> Any:
    assert isinstance(SPEC.method, AdaptiveSmoothing)
    return replace(SPEC, method=replace(SPEC.method, **fields))


def _mix(model: BaseClassifier) -> MixedClassifier:
    assert isinstance(model.network, MixedClassifier)
    return model.network


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class TestParts:
    def test_their_weights_and_statistics_end_as_they_began_and_those_of_the_mixing_network_move(
        self, data: Dataset
    ) -> None:
        """With weight decay and batch normalisation, which would both change them were they trained."""
        start, _ = mixes.adaptive()
        for part in _mix(start).parts:
            part.network.conv1 = torch.nn.Sequential(part.network.conv1, torch.nn.BatchNorm2d(16))  # type: ignore[union-attr]
        begun = _state(start)
        made = trainings.trained(train(replace(SPEC, weight_decay=0.1), data, start=start)).model
        assert _same(_state(_mix(made).parts), _state(_mix(start).parts))
        assert _same(_state(start), begun), "what training starts from is left alone"
        assert all(weight.requires_grad for weight in start.parameters())
        before, after = _state(_mix(start).mixing), _state(_mix(made).mixing)  # type: ignore[arg-type]
        assert before.keys() == after.keys()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved == set(before)

    def test_a_snapshot_holds_the_mixing_network_alone(self, data: Dataset, tmp_path: Path) -> None:
        records = train(replace(SPEC, optimizer="adamw"), data, start=mixes.adaptive()[0])
        next(record for record in records if isinstance(record, Snapshot)).save(tmp_path / "s.safetensors")
        with safe_open(tmp_path / "s.safetensors", framework="pt") as file:
            names = list(file.keys())
        assert "model.linear.weight" in names and "mean.linear.weight" in names
        assert not [name for name in names if "parts" in name]

    def test_what_learns_is_the_mixing_network_of_a_mix_and_all_of_any_other_model(self) -> None:
        mix, alone = mixes.adaptive()[0], parts.model(parts.DIGITS, 0)
        assert learner(mix) is _mix(mix).mixing
        assert learner(alone) is alone


class TestStart:
    def test_a_constant_weight_is_replaced_by_a_network_of_the_seed(self) -> None:
        start = mixes.constant()[0]
        one, again, other = (first_mixture(replace(SPEC, seed=seed), SHAPE, start) for seed in (1, 1, 2))
        assert _mix(one).spec.robust_weight is None and _mix(one).spec.mixing is not None
        assert _same(_state(one), _state(again))
        assert not _same(_state(one), _state(other))

    def test_a_mixing_network_goes_on_from_its_weights(self) -> None:
        start = mixes.adaptive()[0]
        assert _same(_state(first_mixture(SPEC, SHAPE, start)), _state(start))

    def test_scales_are_those_of_the_method_else_those_of_the_start(self) -> None:
        start = mixes.adaptive(gamma_scale=2.0, gamma_bias=1.5, weight_bias=0.25, weight_scale=0.5)[0]
        start.network.spec = replace(_mix(start).spec, standard_scale=3.0, robust_scale=0.5)
        kept = _mix(first_mixture(SPEC, SHAPE, start)).spec
        assert kept == _mix(start).spec
        given = {"gamma_scale": 4.0, "least_weight": 0.5, "largest_weight": 1.0, "robust_scale": 0.7}
        found = _mix(first_mixture(_with(**given), SHAPE, start)).spec
        assert found.mixing is not None and kept.mixing is not None
        wanted = replace(kept.mixing, gamma_scale=4.0, weight_bias=0.5, weight_scale=0.5)
        assert found == Mixed(mixing=wanted, standard_scale=3.0, robust_scale=0.7)

    def test_a_least_weight_above_the_starts_largest_is_refused(self) -> None:
        start = mixes.adaptive(weight_bias=0.25, weight_scale=0.5)[0]
        with pytest.raises(Mismatch, match=r"\(method.least_weight\): .*got 0.8, above the largest weight of 0.75"):
            first_mixture(_with(least_weight=0.8), SHAPE, start)

    def test_another_model_is_refused(self, data: Dataset) -> None:
        with pytest.raises(Mismatch, match=r"\(start_from\): expected a mix of .*, got digits_cnn"):
            next(train(SPEC, data, start=parts.model(parts.DIGITS, 0)))

    def test_a_run_is_told_from_one_that_starts_from_other_scales(self, data: Dataset, tmp_path: Path) -> None:
        start, other = mixes.adaptive()[0], mixes.adaptive(gamma_bias=1.0)[0]
        assert fingerprint(start) == fingerprint(mixes.adaptive()[0]) != fingerprint(other)
        next(r for r in train(SPEC, data, start=start) if isinstance(r, Snapshot)).save(tmp_path / "s.safetensors")
        with pytest.raises(InvalidCheckpoint, match="another specification or data set"):
            next(train(SPEC, data, start=other, resume=tmp_path / "s.safetensors"))


class TestOptions:
    def test_without_a_noise_level_test_images_are_shown_as_they_are(self, data: Dataset) -> None:
        spec = replace(SPEC, sigma=None, epochs=1)
        records = list(train(spec, data, test_data=data, start=mixes.adaptive()[0]))
        model = trainings.trained(records).model
        x = torch.stack([data.image(index) for index in range(len(data))])
        with torch.no_grad():
            right = (model(x).argmax(1) == torch.from_numpy(data.labels)).float().mean().item()
        (epoch,) = (record for record in records if isinstance(record, EpochRecord))
        assert epoch.test_accuracy == pytest.approx(right, abs=1e-3)

    @pytest.mark.parametrize(
        "changes",
        [{"forward_batch": 16}, {"memory_format": "channels_last"}, {"precision": "bf16"}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_options_of_the_pass_stay_near_the_plain_run(self, data: Dataset, changes: dict[str, Any]) -> None:
        spec = replace(SPEC, inputs=Selection(count=40), epochs=1)
        losses = []
        for one in (spec, replace(spec, **changes)):
            records = list(train(one, data, start=mixes.adaptive()[0]))
            losses += [record.loss for record in records if isinstance(record, EpochRecord)]
        assert math.isfinite(losses[1])
        assert losses[1] == pytest.approx(losses[0], rel=0.03 if "precision" in changes else 1e-4)

    def test_it_is_certified_as_it_goes_on_and_the_best_weights_are_kept(self, data: Dataset) -> None:
        plan = PeriodicCertification(every=1, inputs=Selection(count=4), n0=10, n=50)
        spec = replace(SPEC, test_dataset="digits", certification=plan, keep="acr")
        records = list(train(spec, data, test_data=data, start=mixes.adaptive()[0]))
        found = [record.certification for record in records if isinstance(record, EpochRecord)]
        assert [one is not None and one["inputs"] for one in found] == [4, 4]
        end = trainings.trained(records)
        assert end.value == max(one["acr"] for one in found if one is not None)
