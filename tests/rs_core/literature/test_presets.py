"""Every preset is a valid training job; what a request says goes before it."""

import subprocess
import sys
from typing import Any

import pytest
from tests_support.preset_jobs import spec

from radii.rs_core.errors import UnknownPreset
from radii.rs_core.literature import presets
from radii.rs_core.models.registry import ARCHITECTURES, check
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, normalization, parse_spec

SHAPES = {
    "mnist": ((1, 28, 28), 10),
    "fmnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "imagenet": ((3, 224, 224), 1000),
}


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_a_training_job_that_fits_its_data(name: str) -> None:
    found = spec(name)
    dataset, row, sigma = name.split("/")
    assert found.sigma == (None if row == "adaptive_smoothing" else float(sigma))
    assert found.method.name == row.split("-")[0]
    shape, classes = SHAPES[dataset]
    if found.architecture is not None:
        check(
            found.architecture, num_classes=classes, input_shape=shape, normalization=normalization(found.normalization)
        )
    said = dump_spec(found)
    for field, value in presets.preset(name).body().items():
        if field != "method":
            assert said[field] == value


@pytest.mark.parametrize("name", presets.names())
def test_notes_are_about_fields_that_the_preset_has(name: str) -> None:
    found = presets.preset(name)
    body = found.body()
    for field in found.notes:
        if field not in ("published", "start_from"):
            *tables, last = field.split(".")
            inner = body[tables[0]] if tables else body
            assert last in inner, field
    assert set(found.uncertain) <= set(found.notes)
    assert (found.published is None) == (found.where is None)


class TestApply:
    def test_the_body_goes_before_the_preset(self) -> None:
        body = presets.apply({"kind": "train", "dataset": "d", "preset": "cifar10/smoothmix/0.5", "epochs": 10})
        assert "preset" not in body
        assert (body["epochs"], body["sigma"], body["lr_step"]) == (10, 0.5, 50)
        assert body["method"] == presets.preset("cifar10/smoothmix/0.5").body()["method"]

    def test_some_hyper_parameters_leave_the_others(self) -> None:
        given: dict[str, Any] = {
            "preset": "cifar10/consistency-smoothadv/0.25",
            "method": {"m": 3, "attack": {"steps": 5}},
        }
        found = presets.apply(given)["method"]
        assert (found["name"], found["m"], found["weight"]) == ("consistency", 3, 2.0)
        assert found["attack"] == {"steps": 5, "epsilon": 255 / 256, "warmup_epochs": 10}
        named = {**given, "method": {"name": "consistency", **given["method"]}}
        assert presets.apply(named)["method"] == found

    def test_null_takes_a_part_away(self) -> None:
        body = presets.apply({"preset": "cifar10/consistency-smoothadv/0.25", "method": {"attack": None}})
        assert body["method"]["attack"] is None

    def test_another_method_replaces_the_presets(self) -> None:
        body = presets.apply({"preset": "cifar10/smoothmix/0.5", "method": {"name": "macer"}})
        assert body["method"] == {"name": "macer"}
        assert body["sigma"] == 0.5

    @pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
    def test_a_crop_size_goes_with_the_presets_augmentation(self, augmentation: str) -> None:
        given = {"kind": "train", "dataset": "d", "preset": "imagenet/gaussian/0.5"}
        body = presets.apply({**given, "augmentation": augmentation})
        assert "crop_size" not in body
        found = parse_spec(body)
        assert isinstance(found, TrainSpec)
        assert (found.augmentation, found.crop_size, found.architecture) == (augmentation, None, "resnet50")
        assert presets.apply({**given, "augmentation": "resized_crop_flip"})["crop_size"] == 224
        assert presets.apply({**given, "epochs": 3})["crop_size"] == 224

    def test_a_crop_size_of_the_bodys_own_stays_and_is_left_to_the_check_of_the_whole(self) -> None:
        body = presets.apply({"preset": "imagenet/gaussian/0.5", "augmentation": "none", "crop_size": 100})
        assert (body["augmentation"], body["crop_size"]) == ("none", 100)

    @pytest.mark.parametrize("method", [None, "macer", 5, ["macer"]])
    def test_what_is_no_method_is_left_to_the_check_of_the_whole(self, method: Any) -> None:
        assert presets.apply({"preset": "cifar10/smoothmix/0.5", "method": method})["method"] == method

    def test_without_a_preset_nothing_changes(self) -> None:
        assert presets.apply({"sigma": 1, "method": {"steps": 2}}) == {"sigma": 1, "method": {"steps": 2}}
        assert presets.apply({"sigma": 1, "preset": None}) == {"sigma": 1}

    def test_a_body_can_be_changed_without_changing_the_preset(self) -> None:
        body = presets.preset("imagenet/smoothadv/0.5").body()
        body["method"]["m"], body["normalization"]["std"][0] = 99, 99
        again = presets.preset("imagenet/smoothadv/0.5").body()
        assert (again["method"]["m"], again["normalization"]["std"][0]) == (1, 1.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("svhn/macer/0.25", ("mnist, fmnist, cifar10, cifar100, imagenet",)),
        ("", ("mnist, fmnist, cifar10",)),
        (5, ("mnist, fmnist, cifar10", "got 5")),
        ("cifar10", ("cifar10/method/sigma", "smoothmix-one-step", "macer-original")),
        ("cifar10/trades/0.5", ("cifar10/method/sigma", "gaussian, stability, smoothadv")),
        ("cifar10/smoothmix/0.3", ("cifar10/smoothmix/0.25, cifar10/smoothmix/0.5, cifar10/smoothmix/1.0",)),
        ("x" * 10_000, ("mnist", "...")),
    ],
)
def test_an_unknown_preset_names_what_there_is_instead(name: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UnknownPreset) as caught:
        presets.preset(name)
    assert all(word in str(caught.value) for word in words)
    assert len(str(caught.value)) < 600


def test_the_nearest_names_are_the_similar_ones() -> None:
    assert presets.nearest("cifar10/smothmix/0.5")[0] == "cifar10/smoothmix/0.5"
    assert presets.nearest("zzz") == ()


def test_architectures_are_those_of_the_table() -> None:
    assert {spec(name).architecture for name in presets.names()} - {None} <= set(ARCHITECTURES)


def test_presets_need_no_torch() -> None:
    code = "import sys, radii.rs_core.literature.presets; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
