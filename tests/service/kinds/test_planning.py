"""From a specification to a job: shards that cover every input once, estimates that refuse, and pairs that fit."""

from typing import Any

import pytest

from radii.rs_core.errors import InvalidSpec, Mismatch, UnknownArchitecture
from radii.rs_core.specs.jobs import parse_spec
from radii.service.kinds.planning import cut
from radii.service.kinds.registry import plan
from radii.worker.store.models.tables import Checkpoint, Dataset


def _dataset(**changes: Any) -> Dataset:
    return Dataset(**{"id": "ds_1", "count": 1_000, "shape": [1, 28, 28], "num_classes": 10} | changes)


def _checkpoint(**changes: Any) -> Checkpoint:
    fields = {"id": "ckpt_1", "architecture": "lenet", "input_shape": [1, 28, 28], "num_classes": 10, "sigma": 0.5}
    return Checkpoint(**fields | changes)


def _certify(dataset: Dataset | None = None, checkpoint: Checkpoint | None = None, **body: Any) -> Any:
    spec = parse_spec({"kind": "certify", "dataset": "ds_1", "checkpoint": "ckpt_1", **body})
    return plan(spec, tenant_id="t", dataset=dataset or _dataset(), checkpoint=checkpoint or _checkpoint())


def _train(dataset: Dataset | None = None, test: Dataset | None = None, **body: Any) -> Any:
    spec = parse_spec({"kind": "train", "dataset": "ds_1", "architecture": "lenet", "sigma": 0.25, **body})
    return plan(spec, tenant_id="t", dataset=dataset or _dataset(), test_dataset=test)


@pytest.mark.parametrize(("inputs", "seconds"), [(1, 1.0), (7, 100.0), (8, 1.0), (500, 6.7), (10_000, 0.01), (3, 1e-9)])
def test_shards_cover_every_input_once(inputs: int, seconds: float) -> None:
    shards = cut(inputs, seconds, 60.0)
    assert [position for first, stop in shards for position in range(first, stop)] == list(range(inputs))


def test_shards_are_about_a_minute_of_work_and_enough_to_share() -> None:
    assert {stop - first for first, stop in cut(1_000, 1.0, 60.0)[:-1]} == {60}
    assert len(cut(40, 0.01, 60.0)) == 8
    assert len(cut(5, 1_000.0, 60.0)) == 5


def test_a_certification_counts_its_noise_samples_and_takes_its_sigma_from_the_checkpoint() -> None:
    job, seconds = _certify(n=10_000, inputs={"step": 10})
    assert (job.total, job.work_total, job.plan.sigma) == (100, 100 * 10_100, 0.5)
    assert job.radii == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    assert seconds == pytest.approx(100 * 10_100 / 15_000)


def test_a_noise_level_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(InvalidSpec, match=r"\(sigma\): expected a noise level"):
        _certify(checkpoint=_checkpoint(sigma=None))
    assert _certify(checkpoint=_checkpoint(sigma=None), sigma=1.0)[0].plan.sigma == 1.0


def test_a_job_that_is_far_too_large_is_refused_with_its_estimate() -> None:
    spec = parse_spec({"kind": "certify", "dataset": "ds_1", "checkpoint": "ckpt_1", "n": 100_000_000})
    with pytest.raises(InvalidSpec, match=r"at most 3600 s .* got one of \d+ s \(100000100000 noise samples\)"):
        plan(spec, tenant_id="t", dataset=_dataset(), checkpoint=_checkpoint(), max_job_seconds=3600.0)


def test_images_that_the_model_cannot_read_are_refused_with_both_shapes() -> None:
    with pytest.raises(
        Mismatch, match=r"shape 1x28x28, as checkpoint ckpt_1 reads them, got shape 3x32x32 in data set"
    ):
        _certify(_dataset(shape=[3, 32, 32]))


def test_another_number_of_classes_is_refused_with_both_numbers() -> None:
    with pytest.raises(Mismatch, match=r"expected 10 classes.* got 100 in data set ds_1"):
        _certify(_dataset(num_classes=100))


def test_a_selection_without_an_input_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="which has 1,000, got none from index 1000 on"):
        _certify(inputs={"start": 1_000})


def test_a_training_is_one_shard_counted_in_optimiser_steps() -> None:
    job, _ = _train(epochs=3, batch_size=256)
    assert (job.shards, job.total, job.work_total) == ([(0, 1_000)], 3, 12)
    job, _ = _train(epochs=3, batch_size=256, method={"name": "smoothmix", "m": 4})
    assert job.work_total == 48


def test_the_estimate_of_a_training_goes_by_the_passes_of_its_method() -> None:
    _, gaussian = _train()
    _, smoothadv = _train(method={"name": "smoothadv", "m": 4, "steps": 10})
    assert smoothadv / gaussian == pytest.approx(4 + 40 * 2 / 3)


def test_a_job_is_cut_into_no_more_shards_than_a_database_likes() -> None:
    shards = cut(1_281_167, seconds_per_input=500.0, shard_seconds=60.0)
    assert 1_000 < len(shards) <= 2_000
    assert shards[0][0] == 0 and shards[-1][1] == 1_281_167


def test_a_training_that_cannot_be_built_is_refused_before_it_is_queued() -> None:
    with pytest.raises(UnknownArchitecture, match=r"expected one of lenet, .* got 'vgg'"):
        _train(architecture="vgg")
    with pytest.raises(Mismatch, match=r"\(lenet\): expected images of shape \(1, 28, 28\).* got \(3, 32, 32\)"):
        _train(_dataset(shape=[3, 32, 32]))
    with pytest.raises(Mismatch, match=r"normalisation of 1 channel.* got one of 3"):
        _train(normalization="cifar10")
    with pytest.raises(Mismatch, match=r"test set of shape 1x28x28 with 10 classes, got shape 1x28x28 with 5"):
        _train(test=_dataset(num_classes=5))


def test_equal_class_names_in_another_order_are_refused() -> None:
    checkpoint = _checkpoint(num_classes=2, class_names=["cat", "dog"])
    with pytest.raises(Mismatch, match=r"order of checkpoint ckpt_1 \(cat, dog, ...\), got dog, cat"):
        _certify(_dataset(num_classes=2, class_names=["dog", "cat"]), checkpoint)
    assert _certify(_dataset(num_classes=2, class_names=["cat", "dog"]), checkpoint)


def _votes(dataset: Dataset | None = None, checkpoint: Checkpoint | None = None, **body: Any) -> Any:
    maker = body.pop("maker", None)
    spec = parse_spec({"kind": "soft_labels", "dataset": "ds_1", "checkpoint": "ckpt_1", **body})
    return plan(spec, tenant_id="t", dataset=dataset or _dataset(), checkpoint=checkpoint, maker=maker)


def test_votes_count_their_noise_samples_and_are_shared_like_predictions() -> None:
    job, seconds = _votes(checkpoint=_checkpoint(), n=500, inputs={"step": 10})
    assert (job.kind, job.total, job.work_total, job.plan.sigma) == ("soft_labels", 100, 100 * 500, 0.5)
    assert (len(job.shards), seconds) == (8, pytest.approx(100 * 500 / 15_000))


def test_votes_are_planned_before_their_classifier_is_there() -> None:
    maker = parse_spec({"kind": "train", "dataset": "ds_1", "architecture": "lenet", "sigma": 0.25})
    job, _ = _votes(maker=maker, sigma=0.25)
    assert (job.checkpoint_id, job.plan.sigma) == (None, 0.25)
    with pytest.raises(InvalidSpec, match=r"\(sigma\): expected a noise level"):
        _votes(maker=maker)


def test_a_classifier_votes_on_parts_of_the_size_that_it_reads() -> None:
    large = _dataset(shape=[1, 64, 64])
    crop = {"augmentation": "resized_crop_flip", "crop_size": 28}
    assert _votes(large, _checkpoint(), **crop)
    with pytest.raises(Mismatch, match=r"images of shape 1x28x28, .* got shape 1x64x64"):
        _votes(large, _checkpoint())
    with pytest.raises(InvalidSpec, match="a crop_size only with resized_crop_flip"):
        _votes(large, _checkpoint(), crop_size=28)
    maker = parse_spec({"kind": "train", "dataset": "ds_1", "architecture": "lenet", "sigma": 0.25, **crop})
    assert _votes(large, maker=maker, sigma=0.25, **crop)
    with pytest.raises(Mismatch, match="as the classifier that votes reads them"):
        _votes(large, maker=maker, sigma=0.25)
