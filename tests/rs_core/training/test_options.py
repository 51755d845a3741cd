"""What a training can be asked for beside its loss: which weights to keep, certifications, a start, soft labels, speed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support.threads import single
from tests_support.trainings import CERTIFICATION, SPEC, epochs, trained

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidCheckpoint, InvalidSpec, Mismatch
from radii.rs_core.models import registry
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.noise.streams import Stage
from radii.rs_core.records import Certificate
from radii.rs_core.soft_labels import labels as soft_labels
from radii.rs_core.specs.jobs import CatRs, Consistency, Macer, Normalization, Selection, SmoothAdv
from radii.rs_core.training import epoch_evaluation, loop, timers
from radii.rs_core.training.loop import StepRecord, train
from radii.rs_core.training.model_selection import BestEpoch, better
from radii.rs_core.training.snapshots import Snapshot


@pytest.fixture(scope="module")
def data() -> Iterator[Dataset]:
    with single():  # these batches are too small to share
        yield digits()


@pytest.fixture(scope="module")
def held(data: Dataset) -> Dataset:
    return replace(data, images=data.images[-100:], labels=data.labels[-100:])


@pytest.fixture(scope="module")
def start(data: Dataset) -> BaseClassifier:
    return trained(train(replace(SPEC, epochs=1), data)).model


def _equal(one: BaseClassifier, other: BaseClassifier) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


class TestKeep:
    def test_the_last_epochs_weights_are_kept_by_default(self, data: Dataset) -> None:
        end = trained(train(SPEC, data))
        assert (end.epoch, end.epochs, end.value) == (2, 2, None)

    def test_the_weights_of_the_best_epoch_are_those_that_it_ended_with(self, data: Dataset) -> None:
        spec = replace(SPEC, keep="loss", learning_rate=1.5, lr_drop="exact")
        first_alone = replace(spec, epochs=1, keep="last")
        end = trained(train(spec, data))
        assert end.epoch == 1
        assert _equal(end.model, trained(train(first_alone, data)).model)
        assert not end.model.training

    @pytest.mark.parametrize(
        ("by", "values", "best"),
        [
            ("loss", [3.0, 1.0, 2.0, 1.0], 1),
            ("test_accuracy", [0.1, 0.5, 0.5, 0.4], 1),
            ("acr", [None, 0.2, None, 0.3], 3),
            ("acr", [None, 0.2, None, 0.2], 1),
            ("loss", [float("nan"), 1.0], 1),
        ],
    )
    def test_ties_go_to_the_earlier_epoch_and_epochs_without_the_number_are_passed_over(
        self, by: str, values: list[float | None], best: int
    ) -> None:
        model, kept = torch.nn.Linear(1, 1), None
        for epoch, value in enumerate(values):
            numbers = {"loss": 0.0, "test_accuracy": None, "certification": None}
            numbers |= {by: value} if by != "acr" else {"certification": None if value is None else {"acr": value}}
            kept = better(kept, by, model, epoch=epoch, **numbers)  # type: ignore[arg-type]
        assert isinstance(kept, BestEpoch)
        assert (kept.epoch, kept.value) == (best, values[best])

    def test_kept_weights_do_not_move_with_the_model(self) -> None:
        model = torch.nn.Linear(1, 1)
        kept = better(None, "loss", model, epoch=0, loss=1.0, test_accuracy=None, certification=None)
        with torch.no_grad():
            model.weight += 1
        assert kept is not None
        assert not torch.equal(kept.weights["weight"], model.weight)

    def test_the_best_by_test_accuracy_needs_test_data(self, data: Dataset) -> None:
        with pytest.raises(InvalidSpec, match=r"\(test_dataset\): expected a test data set"):
            next(train(replace(SPEC, test_dataset="x", keep="test_accuracy"), data))


class TestCertification:
    def test_it_is_a_certification_of_these_weights_on_noise_of_its_own(self, data: Dataset, held: Dataset) -> None:
        spec = replace(SPEC, test_dataset="held", certification=CERTIFICATION)
        records = list(train(spec, data, test_data=held))
        found = epochs(iter(records))[-1].certification
        sampler = Sampler(trained(iter(records)).model, 0.25, 10, seed=3)
        chosen = [(i, held.image(i), int(held.labels[i])) for i in range(3, 33, 5)]
        procedure = Procedure(sigma=0.25, n0=20, n=200, alpha=0.01)
        stages = (Stage.CHECK_SELECTION, Stage.CHECK_ESTIMATION)
        rows = [
            row for row in engine.certify(sampler, chosen, procedure, stages=stages) if isinstance(row, Certificate)
        ]
        of_a_job = [row for row in engine.certify(sampler, chosen, procedure) if isinstance(row, Certificate)]
        assert [row.counts for row in rows] != [row.counts for row in of_a_job]
        assert found is not None
        assert (found["inputs"], found["abstained"]) == (6, sum(row.prediction == -1 for row in rows))
        assert found["acr"] == pytest.approx(sum(row.radius * row.correct for row in rows) / 6)
        for point in found["certified_accuracy"]:
            assert point["share"] == sum(row.correct and row.radius >= point["radius"] for row in rows) / 6
        assert found["certified_accuracy"][0]["radius"] == 0.0

    def test_training_goes_on_as_if_it_had_not_been(self, data: Dataset, held: Dataset) -> None:
        plain = list(train(SPEC, data, test_data=held))
        certifying = replace(SPEC, test_dataset="held", certification=replace(CERTIFICATION, every=1))
        also = list(train(certifying, data, test_data=held))
        assert _equal(trained(iter(plain)).model, trained(iter(also)).model)
        for one, other in zip(epochs(iter(plain)), epochs(iter(also)), strict=True):
            assert replace(other, certification=None, seconds=0.0) == replace(one, seconds=0.0)

    def test_it_comes_after_every_so_many_epochs_and_after_the_last(self) -> None:
        spec = replace(SPEC, epochs=7, test_dataset="held", certification=replace(CERTIFICATION, every=3))
        assert [epoch for epoch in range(7) if epoch_evaluation.certification_due(spec, epoch)] == [2, 5, 6]
        assert not epoch_evaluation.certification_due(SPEC, 6)

    def test_it_says_that_it_is_at_work(self, data: Dataset, held: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timers, "SECONDS_BETWEEN_RECORDS", 0.0)
        spec = replace(SPEC, epochs=1, test_dataset="held", certification=CERTIFICATION)
        records = list(train(spec, data, test_data=held))
        behind_last_step = next(i for i, record in enumerate(records) if isinstance(record, Snapshot))
        during = [record for record in records[behind_last_step:] if isinstance(record, StepRecord)]
        # One part of the test images, then at least the beginning and the end of each of six inputs.
        assert len(during) >= 1 + 2 * 6
        assert {(record.done, record.total) for record in during} == {(3, 3)}

    def test_it_needs_inputs(self, data: Dataset, held: Dataset) -> None:
        beyond = replace(CERTIFICATION, inputs=Selection(start=100))
        with pytest.raises(InvalidSpec, match=r"\(certification.inputs\).* got none from index 100 on"):
            next(train(replace(SPEC, test_dataset="held", certification=beyond), data, test_data=held))


class TestStart:
    def test_training_begins_with_the_given_weights(self, data: Dataset, start: BaseClassifier) -> None:
        still = replace(SPEC, start_from="x", learning_rate=1e-30, weight_decay=0.0, epochs=1)
        end = trained(train(still, data, start=start)).model
        assert end is not start
        assert torch.allclose(end.network.conv1.weight, start.network.conv1.weight, rtol=0, atol=1e-12)
        assert torch.allclose(end.network.fc2.bias, start.network.fc2.bias, rtol=0, atol=1e-12)

    def test_the_last_layer_starts_anew_where_the_classes_differ(self, data: Dataset, start: BaseClassifier) -> None:
        even = replace(data, labels=data.labels // 2, class_names=data.class_names[:5])
        still = replace(SPEC, start_from="x", learning_rate=1e-30, weight_decay=0.0, epochs=1)
        end = trained(train(still, even, start=start)).model
        fresh = trained(train(replace(still, start_from=None), even)).model
        assert torch.allclose(end.network.fc1.weight, start.network.fc1.weight, rtol=0, atol=1e-12)
        assert end.network.fc2.weight.shape == (5, 64)
        assert torch.allclose(end.network.fc2.weight, fresh.network.fc2.weight, rtol=0, atol=1e-12)

    def test_the_starting_weights_are_part_of_what_the_run_is(
        self, data: Dataset, start: BaseClassifier, tmp_path: Path
    ) -> None:
        spec = replace(SPEC, start_from="here")
        snapshot = next(record for record in train(spec, data, start=start) if isinstance(record, Snapshot))
        snapshot.save(tmp_path / "one.safetensors")
        moved = replace(spec, start_from="there", loader_processes=0)
        assert trained(train(moved, data, start=start, resume=tmp_path / "one.safetensors")).epochs == 2
        other = trained(train(replace(SPEC, epochs=1, seed=4), data)).model
        with pytest.raises(InvalidCheckpoint, match="this very training run"):
            next(train(spec, data, start=other, resume=tmp_path / "one.safetensors"))

    def test_another_architecture_is_refused_with_both_names(self, data: Dataset) -> None:
        lenet = registry.build("lenet", num_classes=10, input_shape=(1, 28, 28))
        with pytest.raises(Mismatch, match=r"\(start_from\): expected .* digits_cnn, got lenet"):
            next(train(replace(SPEC, start_from="x"), data, start=lenet))

    def test_another_normalisation_is_refused_with_both(self, data: Dataset) -> None:
        known = Normalization(mean=(0.5,), std=(0.25,))
        start = registry.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8), normalization=known)
        with pytest.raises(Mismatch, match=r"this job \(none\), got one with mean 0.5 and std 0.25"):
            next(train(replace(SPEC, start_from="x"), data, start=start))
        assert trained(train(replace(SPEC, start_from="x", normalization=known, epochs=1), data, start=start))

    def test_a_named_start_must_be_given(self, data: Dataset) -> None:
        with pytest.raises(Mismatch, match=r"\(start_from\): expected the weights to start from, got none"):
            next(train(replace(SPEC, start_from="x"), data))


class TestSoftLabels:
    def test_a_method_that_needs_them_says_so(self, data: Dataset) -> None:
        with pytest.raises(Mismatch, match=r"\(method.soft_labels\): expected soft labels for cat_rs"):
            next(train(replace(SPEC, method=CatRs()), data))

    def test_every_chosen_input_must_have_them(self, data: Dataset) -> None:
        labels = soft_labels.from_counts(range(50), [[10] + [0] * 9] * 50, 10)
        with pytest.raises(Mismatch, match="index 50"):
            next(train(replace(SPEC, method=CatRs()), data, soft_labels=labels))

    def test_each_image_gets_its_own_rows_in_every_chunk(self, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = np.eye(100, dtype=np.int64)[:, :10] + np.eye(100, 10, k=-10, dtype=np.int64)
        rows[:, 9] += 2
        rows[:, 0] += 7 - rows.sum(1)
        labels = soft_labels.from_counts(range(100), rows.tolist(), 10)
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []

        found = loop.loss_function("cat_rs")

        def keeping(hp: CatRs, model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, step: object) -> object:
            seen.append((x, step.soft_labels))  # type: ignore[attr-defined]
            return found(hp, model, x, y, step)

        monkeypatch.setattr(loop, "loss_function", lambda name: keeping)
        trained(train(replace(SPEC, method=CatRs(m=2, steps=1), epochs=1), data, soft_labels=labels))
        images = torch.from_numpy(np.ascontiguousarray(data.images[:100]))
        assert len(seen) == 2 * 3
        for x, soft in seen:
            for image, row in zip(x, soft, strict=True):
                index = int((images == image).flatten(1).all(1).nonzero()[0])
                assert torch.allclose(row, torch.from_numpy(rows[index]).float() / 7)


class TestSpeed:
    def test_loader_processes_change_no_weight(self, data: Dataset) -> None:
        spec = replace(SPEC, augmentation="crop_flip", epochs=1)
        plain = trained(train(spec, data)).model
        assert _equal(plain, trained(train(replace(spec, loader_processes=1), data)).model)

    def test_crops_decide_what_the_model_is_built_for(self, data: Dataset) -> None:
        large = replace(data, images=np.repeat(np.repeat(data.images, 2, axis=2), 2, axis=3))
        spec = replace(SPEC, augmentation="resized_crop_flip", crop_size=8, epochs=1, inputs=Selection(count=40))
        assert epochs(train(spec, large, test_data=data))[0].test_accuracy is not None
        with pytest.raises(Mismatch, match=r"\(test_dataset\): expected a test set of shape 1x8x8.* got shape 1x16x16"):
            next(train(spec, large, test_data=large))
        with pytest.raises(Mismatch, match=r"images of shape \(1, 8, 8\)"):
            next(train(replace(spec, crop_size=12), large))

    @pytest.mark.parametrize(
        "changes", [{"precision": "bf16"}, {"memory_format": "channels_last"}, {"forward_batch": 16}], ids=str
    )
    def test_options_of_the_pass_stay_near_the_plain_run(self, data: Dataset, changes: dict[str, object]) -> None:
        """Rounding alone differs; the loss is about 2.2. Six steps of a smooth loss do not multiply it by much."""
        plain, other = epochs(train(SPEC, data))[-1], epochs(train(replace(SPEC, **changes), data))[-1]
        assert other.loss == pytest.approx(plain.loss, rel=1e-2 if "precision" in changes else 1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": Consistency(m=4), "batch_size": 3},
            r"\(batch_size\): expected at least 4, .* consistency .* got 3",
        ),
        ({"method": SmoothAdv(m=8), "inputs": Selection(count=7)}, r"\(inputs\): expected at least 8 inputs.* got 7"),
    ],
    ids=["batch", "data"],
)
def test_a_batch_that_gives_a_method_no_step_is_refused(
    data: Dataset, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidSpec, match=message):
        next(train(replace(SPEC, **changes), data))


def test_a_robustness_term_that_would_never_begin_is_refused(data: Dataset) -> None:
    deferred = replace(SPEC, method=Macer(m=2, deferred=True), lr_step=3, epochs=4, batch_size=8)
    with pytest.raises(InvalidSpec, match=r"\(epochs\): expected more than 4 epochs, .* got 4"):
        next(train(deferred, data))
    assert len(epochs(train(replace(deferred, epochs=5, inputs=Selection(count=8)), data))) == 5


def test_a_robustness_term_begins_with_a_drop_of_the_rate_and_a_cosine_has_none(data: Dataset) -> None:
    spec = replace(SPEC, schedule="cosine", method=Macer(deferred=True), epochs=60)
    with pytest.raises(InvalidSpec, match="expected schedule = step") as caught:
        next(train(spec, data))
    assert caught.value.where == "schedule"


def test_methods_that_take_one_step_per_batch_take_small_batches(data: Dataset) -> None:
    spec = replace(
        SPEC, method=SmoothAdv(m=8, steps=1, copies="one"), batch_size=4, inputs=Selection(count=8), epochs=1
    )
    assert epochs(train(spec, data))[0].steps == 2
