"""Composites as files: they stand alone, come back as they were, and a file that contradicts itself is refused."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests_support import parts
from torch import Tensor

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import load
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, check_fits, dump_info, metadata_of
from radii.rs_core.checkpoints.compose import compose, joined
from radii.rs_core.checkpoints.torch_file import convert
from radii.rs_core.data.builtin import digits
from radii.rs_core.errors import IncompatibleParts, InvalidCheckpoint, Mismatch
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.mixing_network import mixing_for
from radii.rs_core.safetensors_header import METADATA_KEY, metadata, read_header
from radii.rs_core.specs.composition import Composition, Denoised, Ensemble, Mixed

Made = tuple[Composition, list[BaseClassifier], list[CheckpointInfo]]


def _mixing() -> Made:
    models, infos = parts.two()
    return (
        Mixed(mixing=mixing_for(models, [(1, 8, 8), (1, 8, 8)], gamma_scale=2.0, weight_bias=0.5, weight_scale=0.4)),
        (models),
        infos,
    )


KINDS: dict[str, Callable[[], Made]] = {
    "ensemble": lambda: (Ensemble(), *parts.two()),
    "denoised": lambda: (Denoised(), *parts.denoised()),
    "mixed": lambda: (Mixed(robust_weight=0.76, standard_scale=2.0), *parts.two()),
    "mixing": _mixing,
}


def _changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrites the file with another record."""
    body = json.loads(read_header(path, InvalidCheckpoint).metadata[METADATA_KEY])
    change(body["info"])
    save_file(load_file(path), path, metadata=metadata(body))


def _sentence(path: Path) -> str:
    with pytest.raises(InvalidCheckpoint) as caught:
        load(path)
    return str(caught.value).removeprefix("The checkpoint cannot be read ")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_is_loaded(kind: str, tmp_path: Path) -> None:
    composition, models, infos = KINDS[kind]()
    before, record = joined(composition, models, infos)
    checkpoint.save(before, record, tmp_path / "x")
    after, info = load(tmp_path / "x")
    assert info == record
    assert info.composition == composition
    x = torch.rand(3, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(after(x), before(x))
    assert not any(module.training for module in after.modules())
    assert after.state_dict().keys() == before.state_dict().keys()
    assert all(torch.equal(after.state_dict()[name], tensor) for name, tensor in before.state_dict().items())


def test_a_composite_needs_the_files_of_its_parts_no_more(tmp_path: Path) -> None:
    models, infos = parts.two()
    files = parts.saved(tmp_path, models, infos)
    made = compose(Ensemble(), files, tmp_path / "e")
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    for file in files:
        file.unlink()
    model, info = load(tmp_path / "e")
    assert info == made
    assert [part.file_sha256 for part in info.parts] == hashes
    assert [replace(part, file_sha256=None) for part in info.parts] == infos
    x = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(model(x), torch.stack([part(x) for part in models]).mean(0))


def test_equal_parts_give_equal_bytes_and_composing_draws_no_random_number(tmp_path: Path) -> None:
    files = parts.saved(tmp_path, *parts.two())
    before = torch.get_rng_state()
    compose(Mixed(robust_weight=0.5), files, tmp_path / "1")
    compose(Mixed(robust_weight=0.5), files, tmp_path / "2")
    load(tmp_path / "1")
    assert torch.equal(before, torch.get_rng_state())
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_loading_a_mixing_network_draws_no_random_number(tmp_path: Path) -> None:
    composition, models, infos = _mixing()
    checkpoint.save(*joined(composition, models, infos), tmp_path / "x")
    before = torch.get_rng_state()
    load(tmp_path / "x")
    assert torch.equal(before, torch.get_rng_state())


def test_a_composite_of_composites_is_one_file_too(tmp_path: Path) -> None:
    inner = compose(Ensemble(), parts.saved(tmp_path, *parts.two()), tmp_path / "e")
    other = parts.saved(tmp_path, [parts.model(parts.DIGITS, 5)], [parts.DIGITS])
    info = compose(Mixed(robust_weight=0.5), [*other, tmp_path / "e"], tmp_path / "m")
    assert info.architecture == "mixed(digits_cnn, ensemble(2 x digits_cnn))"
    assert replace(info.parts[1], file_sha256=None) == inner
    model, loaded = load(tmp_path / "m")
    assert loaded == info
    with torch.inference_mode():
        assert model(torch.rand(2, 1, 8, 8)).exp().sum(1).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)


def test_a_composite_that_is_brought_back_is_read_by_the_converter(tmp_path: Path) -> None:
    made = compose(Ensemble(), parts.saved(tmp_path, *parts.two()), tmp_path / "e")
    from radii.rs_core.checkpoints.checkpoint_info import ConversionHints

    assert convert(tmp_path / "e", ConversionHints(), tmp_path / "again") == made
    assert (tmp_path / "again").read_bytes() == (tmp_path / "e").read_bytes()


def test_the_record_of_a_single_network_says_nothing_of_composites() -> None:
    assert not {"composition", "parts", "role", "file_sha256"} & dump_info(parts.DIGITS).keys()
    assert metadata_of(parts.DIGITS)["info"] == dump_info(parts.DIGITS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda info: info["parts"].pop(), "expected 2 to 64 parts, got 1"),
        (lambda info: info.pop("parts"), "expected a composition with its parts, got one without the other"),
        (lambda info: info.pop("composition"), "expected a composition with its parts, got one without the other"),
        (
            lambda info: info.update(num_classes=9, class_names=[]),
            "expected num_classes 10, as follows from the parts, got 9",
        ),
        (lambda info: info.update(architecture="lenet"), "'ensemble(2 x digits_cnn)', as follows from the parts"),
        (
            lambda info: info.update(normalization={"mean": [0.0], "std": [1.0]}),
            "expected normalization None, as follows from the parts",
        ),
        (
            lambda info: (
                [part.update(architecture="lenet", input_shape=[1, 28, 28]) for part in info["parts"]]
                and info.update(architecture="ensemble(2 x lenet)", input_shape=[1, 28, 28])
            ),
            "of another shape: ",
        ),
        (lambda info: info["parts"][0].update(architecture="nonesuch"), "nonesuch"),
        (lambda info: info["composition"].update(kind="averaged"), "averaged"),
    ],
)
def test_a_record_that_does_not_follow_from_its_parts_is_refused(
    change: Callable[[dict[str, Any]], object], sentence: str, tmp_path: Path
) -> None:
    compose(Ensemble(), parts.saved(tmp_path, *parts.two()), tmp_path / "e")
    _changed(tmp_path / "e", change)
    with pytest.raises(ValueError) as caught:
        load(tmp_path / "e")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.pop("parts.1.network.fc2.bias"), "1 missing: parts.1.network.fc2.bias"),
        (
            lambda state: state.update({"parts.2.network.fc2.bias": torch.zeros(10)}),
            "1 extra: parts.2.network.fc2.bias",
        ),
        (
            lambda state: state.update({"parts.0.network.fc2.bias": torch.full((10,), torch.nan)}),
            "10 that are NaN or infinite in parts.0.network.fc2.bias",
        ),
    ],
)
def test_tensors_that_are_not_those_of_the_parts_are_refused(
    change: Callable[[dict[str, Tensor]], object], sentence: str, tmp_path: Path
) -> None:
    info = compose(Ensemble(), parts.saved(tmp_path, *parts.two()), tmp_path / "e")
    state = load_file(tmp_path / "e")
    change(state)
    save_file(state, tmp_path / "e", metadata=metadata(metadata_of(info)))
    assert sentence in _sentence(tmp_path / "e")


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    files = parts.saved(tmp_path, *parts.two())
    files[1].unlink()
    with pytest.raises(InvalidCheckpoint, match="part1"):
        compose(Ensemble(), files, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_parts_that_do_not_fit_leave_no_file(tmp_path: Path) -> None:
    files = parts.saved(
        tmp_path, [parts.model(info, 0) for info in (parts.DIGITS, parts.CIFAR)], [parts.DIGITS, parts.CIFAR]
    )
    with pytest.raises(IncompatibleParts, match="one image shape in all parts"):
        compose(Ensemble(), files, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_a_denoiser_is_stored_without_classes_and_fits_no_data_set(tmp_path: Path) -> None:
    [file] = parts.saved(tmp_path, [parts.model(parts.DENOISER, 0)], [parts.DENOISER])
    model, info = load(file)
    assert (info.num_classes, info.role) == (0, "denoiser")
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 1, 8, 8)
    with pytest.raises(Mismatch, match=r"expected a classifier .*, got dncnn, a denoiser"):
        check_fits(info, digits())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_classes": 0}, "expected at least 2 classes, got 0"),
        ({"num_classes": 1}, "expected at least 2 classes, got 1"),
        ({"role": "denoiser"}, "expected 0 classes, as a denoiser has, got 10"),
        ({"role": "denoiser", "num_classes": 0, "normalization": parts.GREY}, "a denoiser of images as they are"),
    ],
)
def test_only_a_denoiser_has_no_classes(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(parts.DIGITS, class_names=(), **fields)


def test_a_classifier_called_a_denoiser_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    [file] = parts.saved(tmp_path, [parts.model(parts.DIGITS, 0)], [parts.DIGITS])
    _changed(file, lambda info: info.update(role="denoiser", num_classes=0, class_names=[]))
    assert "expected at least 2 classes, got 0" in _sentence(file)


def test_the_parts_in_memory_are_held_as_they_are() -> None:
    models, infos = parts.two()
    before = [copy.deepcopy(model.state_dict()) for model in models]
    joined(Ensemble(), models, infos)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
