"""Published settings and results, beside what the papers and their code say."""

from typing import Any

import pytest
from tests_support.preset_jobs import method, spec

from radii.rs_core.literature import presets
from radii.rs_core.literature.preset_tables.row import PerSigma

DATASETS = {"mnist", "fmnist", "cifar10", "cifar100", "imagenet"}
METHODS = {"gaussian", "stability", "smoothadv", "macer", "consistency", "smoothmix", "cat_rs"}


def test_every_method_is_published_for_every_data_set_but_stability_on_imagenet() -> None:
    seen = {(name.split("/")[0], presets.preset(name).body()["method"]["name"]) for name in presets.names()}
    assert {(dataset, one) for dataset in DATASETS for one in METHODS} - seen == {("imagenet", "stability")}


def test_rows_have_one_value_per_noise_level() -> None:
    def lengths(values: Any) -> list[int]:
        if isinstance(values, PerSigma):
            return [len(values.values)]
        return [n for value in values.values() for n in lengths(value)] if isinstance(values, dict) else []

    seen = 0
    for table in presets.TABLES:
        for row in table.rows:
            expected = len(row.sigmas)
            found = [*lengths(dict(row.method)), *lengths(dict(row.training)), *lengths(dict(row.notes))]
            found += [len(row.acr)] if row.acr else []
            assert set(found) <= {expected}, (table.dataset, row.name)
            seen += len(found)
    assert seen > 80


# Copied by hand from the settings and tables that the authors published.
SCHEDULES: list[tuple[str, tuple[Any, ...]]] = [
    ("mnist/gaussian/0.25", ("lenet", "none", "none", 0.01, 30, 90, 256, "published")),
    ("mnist/cat_rs/0.5", ("lenet", "none", "none", 0.01, 50, 150, 256, "published")),
    ("mnist/gaussian-150/0.25", ("lenet", "none", "none", 0.01, 50, 150, 256, "published")),
    ("fmnist/smoothadv/1.0", ("lenet", "none", "none", 0.01, 30, 90, 256, "published")),
    ("fmnist/cat_rs/1.0", ("lenet", "none", "none", 0.01, 50, 150, 256, "published")),
    ("cifar10/smoothmix/0.5", ("cifar_resnet110", "cifar10", "crop_flip", 0.1, 50, 150, 256, "published")),
    ("cifar10/cat_rs/0.25", ("cifar_resnet110", "cifar10", "crop_flip", 0.1, 50, 150, 256, "published")),
    ("cifar10/gaussian-cohen/0.5", ("cifar_resnet110", "cifar10", "crop_flip", 0.1, 30, 90, 400, "exact")),
    ("cifar10/macer-original/0.25", ("cifar_resnet110", "none", "crop_flip", 0.01, 200, 440, 64, "exact")),
    ("cifar10/smoothadv-finetune/0.5", ("cifar_resnet110", "cifar10", "crop_flip", 0.001, 30, 30, 256, "exact")),
    ("cifar100/macer/1.0", ("cifar_resnet110", "cifar100", "crop_flip", 0.1, 50, 150, 256, "published")),
    ("imagenet/gaussian-cohen/1.0", ("resnet50", "imagenet", "resized_crop_flip", 0.1, 30, 90, 400, "exact")),
    ("imagenet/cat_rs/1.0", ("resnet50", "imagenet", "resized_crop_flip", 0.1, 30, 90, 256, "published")),
    ("imagenet/macer/0.25", ("resnet50", "imagenet", "resized_crop_flip", 0.1, 30, 120, 256, "published")),
]


@pytest.mark.parametrize(("name", "expected"), SCHEDULES)
def test_schedules_are_the_published_ones(name: str, expected: tuple[Any, ...]) -> None:
    found = spec(name)
    assert (
        found.architecture,
        found.normalization,
        found.augmentation,
        found.learning_rate,
        found.lr_step,
        found.epochs,
        found.batch_size,
        found.lr_drop,
    ) == expected
    assert (found.momentum, found.lr_gamma) == (0.9, 0.1)
    assert found.weight_decay == (5e-4 if "macer-original" in name else 1e-4)
    assert found.crop_size == (224 if name.startswith("imagenet") else None)


PER_SIGMA: list[tuple[str, str, tuple[Any, ...]]] = [
    ("mnist/stability", "weight", (2, 2, 2)),
    ("mnist/smoothadv", "m", (4, 4, 4)),
    ("mnist/smoothadv", "epsilon", (255 / 256, 255 / 256, 255 / 256)),
    ("mnist/macer", "weight", (16, 16, 6)),
    ("mnist/macer", "deferred", (True, True, True)),
    ("mnist/consistency", "weight", (10, 5, 5)),
    ("mnist/consistency-smoothadv", "weight", (1, 1, 1)),
    ("mnist/smoothmix-eta1", "steps", (3, 4, 8)),
    ("mnist/smoothmix-eta5", "steps", (2, 4, 8)),
    ("mnist/smoothmix-one-step-eta1", "mix_step", (1, 1, 1)),
    ("mnist/smoothmix-one-step-eta5", "eta", (5, 5, 5)),
    ("mnist/smoothmix-eta5", "m", (4, 4, 4)),
    ("cifar10/stability", "weight", (2, 2, 1)),
    ("cifar10/smoothadv", "m", (4, 8, 2)),
    ("cifar10/smoothadv", "epsilon", (1, 1, 2)),
    ("cifar10/smoothadv", "steps", (10, 10, 10)),
    ("cifar10/smoothadv", "warmup_epochs", (10, 10, 10)),
    ("cifar10/macer", "m", (16, 16, 16)),
    ("cifar10/macer", "weight", (12, 4, 12)),
    ("cifar10/macer", "deferred", (False, False, True)),
    ("cifar10/macer", "beta", (16, 16, 16)),
    ("cifar10/macer", "margin", (8, 8, 8)),
    ("cifar10/consistency", "weight", (20, 10, 10)),
    ("cifar10/consistency", "eta", (0.5, 0.5, 0.5)),
    ("cifar10/consistency", "m", (2, 2, 2)),
    ("cifar10/consistency-smoothadv", "m", (4, 2, 2)),
    ("cifar10/consistency-smoothadv", "weight", (2, 1, 1)),
    ("cifar10/smoothmix", "m", (2, 2, 2)),
    ("cifar10/smoothmix", "steps", (4, 4, 4)),
    ("cifar10/smoothmix", "step_size", (0.5, 1, 2)),
    ("cifar10/smoothmix", "eta", (5, 5, 5)),
    ("cifar10/smoothmix", "mix_step", (0, 0, 0)),
    ("cifar10/smoothmix-one-step", "mix_step", (1, 1, 1)),
    ("cifar10/cat_rs", "weight", (0.5, 1, 2)),
    ("cifar10/cat_rs", "m", (4, 4, 4)),
    ("cifar10/cat_rs", "steps", (4, 4, 4)),
    ("cifar10/cat_rs", "epsilon", (1, 1, 1)),
    ("cifar10/cat_rs", "soft_label_sigma", (0.25, 0.25, 0.25)),
    ("cifar10/cat_rs", "soft_label_n", (10_000, 10_000, 10_000)),
    ("cifar10/macer-original", "weight", (12, 4, 12)),
    ("cifar100/stability", "weight", (2, 2, 1)),
    ("cifar100/smoothadv", "m", (4, 8, 2)),
    ("cifar100/macer", "weight", (12, 4, 12)),
    ("cifar100/consistency", "weight", (20, 10, 10)),
    ("cifar100/smoothmix", "step_size", (0.5, 1, 2)),
    ("cifar100/smoothmix", "mix_step", (0, 1, 1)),
    ("cifar100/cat_rs", "weight", (0.5, 1, 2)),
    ("imagenet/macer", "m", (2, 2, 2)),
    ("imagenet/macer", "weight", (6, 3, 3)),
]


@pytest.mark.parametrize(("row", "field", "expected"), PER_SIGMA)
def test_hyper_parameters_are_the_published_ones(row: str, field: str, expected: tuple[Any, ...]) -> None:
    assert tuple(method(f"{row}/{sigma}")[field] for sigma in ("0.25", "0.5", "1.0")) == expected


def test_consistency_trains_on_the_published_adversarial_examples() -> None:
    radii = [method(f"cifar10/consistency-smoothadv/{sigma}")["attack"] for sigma in ("0.25", "0.5", "1.0")]
    assert [attack["epsilon"] for attack in radii] == [255 / 256, 2.0, 2.0]
    assert all((attack["steps"], attack["warmup_epochs"]) == (10, 10) for attack in radii)
    assert method("mnist/consistency-smoothadv/0.5")["attack"]["epsilon"] == 255 / 256
    assert method("cifar10/consistency/0.5")["attack"] is None


def test_imagenet_has_settings_of_its_own() -> None:
    assert [method(f"imagenet/consistency/{sigma}")["eta"] for sigma in ("0.5", "1.0")] == [0.5, 0.1]
    assert [method(f"imagenet/consistency/{sigma}")["weight"] for sigma in ("0.5", "1.0")] == [5, 5]
    cat_rs = method("imagenet/cat_rs/1.0")
    names = ("m", "steps", "epsilon", "epsilon_doubles_at", "weight", "confidence")
    assert [cat_rs[name] for name in names] == [2, 1, 1.0, 80, 2.0, "soft_labels"]
    adv = method("imagenet/smoothadv/1.0")
    assert (adv["attack"], adv["m"], adv["steps"]) == ("pgd", 1, 1)
    assert spec("imagenet/smoothadv/0.5").normalization.std == (1.0, 1.0, 1.0)  # type: ignore[union-attr]


# Copied by hand: c_bce, c_ce, c_prod, gamma's scale and bias, range of the weight, both scales, learning rate.
MIXING: dict[str, tuple[float, ...]] = {
    "cifar10/adaptive_smoothing/edm": (1.5, 0, 0.3, 2, 1.05, 0.96, 1.0, 1.2, 0.3, 5e-5),
    "cifar100/adaptive_smoothing/edm": (1.5, 0, 0.2, 2, 1.3, 0.84, 0.99, 2, 1, 5e-5),
    "cifar100/adaptive_smoothing/trades": (1, 0.5, 0.1, 2, 1, 0.815, 0.915, 2, 1, 1e-4),
}


@pytest.mark.parametrize("name", MIXING)
def test_mixing_networks_are_trained_as_published(name: str) -> None:
    fields = (
        "bce_weight",
        "ce_weight",
        "product_weight",
        "gamma_scale",
        "gamma_bias",
        "least_weight",
        "largest_weight",
    )
    found, hp = spec(name), method(name)
    values = [hp[field] for field in (*fields, "standard_scale", "robust_scale")]
    assert (*values, found.learning_rate) == MIXING[name]
    assert (hp["extra_clean"], hp["attacked"], hp["epsilon"], hp["epsilon_range"]) == (9, 10, 8 / 255, [0.4, 1.1])
    assert (found.optimizer, found.weight_decay, found.schedule, found.lr_warmup) == ("adamw", 1e-5, "cosine", 1 / 25)
    assert (found.clip_norm, found.epochs, found.architecture, found.normalization) == (10, 3, None, "none")
    assert set(presets.preset(name).uncertain) >= {"batch_size", "method.gamma_scale", "method.robust_scale"}
    assert {name for name in presets.names() if "adaptive" in name} == MIXING.keys()


def test_noise_012_is_there_where_it_was_published() -> None:
    small = {name.split("/")[1] for name in presets.names() if name.endswith("/0.12")}
    assert small == {"gaussian-cohen", "smoothadv-salman", "smoothadv-ddn", "smoothadv-finetune"}
    best = [method(f"cifar10/smoothadv-salman/{sigma}") for sigma in ("0.25", "0.5", "1.0")]
    assert [(one["steps"], one["m"], one["epsilon"]) for one in best] == [(10, 8, 255 / 256), (2, 8, 2.0), (10, 2, 2.0)]


# ACR at sigma 0.25, 0.5 and 1.0, copied by hand from the published tables and logs.
PUBLISHED: dict[str, tuple[float | None, ...]] = {
    "mnist/gaussian": (0.911, 1.558, 1.618),
    "mnist/stability": (0.915, 1.572, 1.634),
    "mnist/smoothadv": (0.932, 1.687, 1.779),
    "mnist/macer": (0.920, 1.590, 1.595),
    "mnist/consistency": (0.928, 1.655, 1.738),
    "mnist/consistency-smoothadv": (0.932, 1.696, 1.816),
    "mnist/smoothmix-eta1": (0.930, 1.678, 1.787),
    "mnist/smoothmix-eta5": (0.932, 1.693, 1.818),
    "mnist/smoothmix-one-step-eta1": (0.933, 1.693, 1.817),
    "mnist/smoothmix-one-step-eta5": (0.933, 1.685, 1.821),
    "mnist/cat_rs": (0.933, 1.700, 1.831),
    "fmnist/gaussian": (0.670, 1.056, 1.316),
    "fmnist/stability": (0.689, 1.118, 1.394),
    "fmnist/smoothadv": (0.756, 1.255, 1.538),
    "fmnist/macer": (0.727, 1.183, 1.504),
    "fmnist/consistency": (0.744, 1.212, 1.491),
    "fmnist/smoothmix": (0.745, 1.237, 1.534),
    "fmnist/cat_rs": (0.757, 1.274, 1.607),
    "cifar10/gaussian": (0.424, 0.525, 0.511),
    "cifar10/gaussian-cohen": (0.424, 0.525, 0.511),
    "cifar10/stability": (0.420, 0.531, 0.514),
    "cifar10/smoothadv": (0.544, 0.684, 0.790),
    "cifar10/smoothadv-salman": (0.551, 0.738, 0.790),
    "cifar10/macer": (0.531, 0.691, 0.744),
    "cifar10/macer-original": (0.556, 0.726, 0.792),
    "cifar10/consistency": (0.552, 0.720, 0.756),
    "cifar10/consistency-smoothadv": (0.548, 0.726, 0.816),
    "cifar10/smoothmix": (0.553, 0.715, 0.773),
    "cifar10/smoothmix-one-step": (0.548, 0.737, None),
    "cifar10/cat_rs": (0.562, 0.757, 0.815),
    "cifar100/gaussian": (0.228, 0.259, None),
    "cifar100/stability": (0.159, 0.078, None),
    "cifar100/smoothadv": (0.298, 0.342, None),
    "cifar100/macer": (0.283, 0.314, None),
    "cifar100/consistency": (0.263, 0.275, None),
    "cifar100/smoothmix": (0.295, 0.352, None),
    "cifar100/cat_rs": (0.312, 0.368, None),
    "imagenet/gaussian": (0.472, 0.742, 0.840),
    "imagenet/gaussian-cohen": (None, 0.733, 0.875),
    "imagenet/smoothadv": (None, 0.825, 1.040),
    "imagenet/consistency": (None, 0.822, 0.982),
    "imagenet/smoothmix": (None, 0.846, 1.047),
    "imagenet/cat_rs": (None, None, 1.071),
}


def test_results_are_those_that_were_reported_and_no_others() -> None:
    levels = ("0.25", "0.5", "1.0")
    wanted = {f"{row}/{sigma}": acr for row, acrs in PUBLISHED.items() for sigma, acr in zip(levels, acrs, strict=True)}
    found = {name: presets.preset(name).published for name in presets.names()}
    assert {name: acr for name, acr in found.items() if acr is not None} == {
        name: acr for name, acr in wanted.items() if acr is not None
    }


UNCERTAIN: list[tuple[str, str, str]] = [
    ("cifar10/macer/0.5", "method.weight", "disputed: the CAT-RS training command says 6"),
    ("cifar10/macer-original/1.0", "method.deferred", "recalled: "),
    ("imagenet/macer/0.5", "method.weight", "recalled: "),
    ("imagenet/macer/0.5", "weight_decay", "guess: "),
    ("imagenet/macer/0.25", "normalization", "guess: "),
    ("fmnist/macer/1.0", "method.beta", "guess: "),
    ("cifar10/stability/0.5", "published", "disputed: 0.521"),
    ("imagenet/smoothmix/0.5", "method.eta", "guess: "),
    ("imagenet/smoothadv/1.0", "published", "disputed: the CAT-RS poster prints 1.003"),
    ("mnist/cat_rs/0.5", "method.weight", "guess: "),
    ("fmnist/cat_rs/0.25", "method.weight", "guess: "),
]


@pytest.mark.parametrize(("name", "field", "text"), UNCERTAIN)
def test_what_is_not_certain_says_so(name: str, field: str, text: str) -> None:
    found = presets.preset(name)
    assert field in found.uncertain
    assert found.notes[field].startswith(text)


def test_what_differs_from_the_publication_here_is_told_for_the_whole_data_set() -> None:
    for name in (name for name in presets.names() if name.startswith("imagenet/")):
        assert "whole photographs" in presets.preset(name).notes["augmentation"]


def test_what_is_certain_has_no_mark() -> None:
    assert presets.preset("mnist/cat_rs/0.25").uncertain == ()
    assert presets.preset("cifar10/macer/0.25").uncertain == ()
