"""Checkpoints: what is saved comes back, and a file that is not of its architecture is refused with its sentence."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from radii.rs_core.checkpoints.checkpoint import CheckpointInfo, load, read_info, save
from radii.rs_core.checkpoints.checkpoint_info import metadata_of
from radii.rs_core.errors import InvalidCheckpoint, UnknownArchitecture
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.registry import build
from radii.rs_core.safetensors_header import metadata
from radii.rs_core.specs.fields import NORMALIZATIONS

INFO = CheckpointInfo(
    architecture="cifar_resnet20",
    num_classes=10,
    input_shape=(3, 32, 32),
    normalization=NORMALIZATIONS["cifar10"],
    class_names=tuple("abcdefghij"),
    sigma=0.25,
    method="gaussian",
    epoch=90,
    dataset_hash="00ff",
    provenance={"torch": torch.__version__, "threads": 2},
)
DIGITS = CheckpointInfo(architecture="digits_cnn", num_classes=10, input_shape=(1, 8, 8))


def model(info: CheckpointInfo = INFO) -> BaseClassifier:
    """A network whose batch statistics are not the initial ones."""
    torch.manual_seed(0)
    made = build(
        info.architecture, num_classes=info.num_classes, input_shape=info.input_shape, normalization=info.normalization
    )
    made(torch.rand(4, *info.input_shape))
    return made


def digits(folder: Path, changes: dict[str, Tensor | None], info: CheckpointInfo = DIGITS) -> Path:
    """A file of the digits network in which some tensors were replaced, added, or left out."""
    state: dict[str, Tensor | None] = {**model(DIGITS).network.state_dict(), **changes}
    kept = {name: tensor for name, tensor in state.items() if tensor is not None}
    save_file(kept, folder / "x", metadata=metadata(metadata_of(info)))
    return folder / "x"


def sentence(path: Path, kind: type[Exception] = InvalidCheckpoint, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        load(path, **options)
    return str(caught.value).removeprefix("The checkpoint cannot be read ")


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    before = model().eval()
    save(before, INFO, tmp_path / "x")
    after, info = load(tmp_path / "x")
    assert info == INFO
    assert not after.training
    x = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(after(x), before(x))
    assert after.state_dict().keys() == before.state_dict().keys()
    assert all(torch.equal(after.state_dict()[name], tensor) for name, tensor in before.state_dict().items())


def test_the_file_holds_the_network_alone_under_the_names_of_the_field(tmp_path: Path) -> None:
    save(model(), INFO, tmp_path / "x")
    assert load_file(tmp_path / "x").keys() == model().network.state_dict().keys()
    assert read_info(tmp_path / "x") == INFO


def test_equal_weights_and_records_give_equal_bytes(tmp_path: Path) -> None:
    save(model(), INFO, tmp_path / "1")
    save(model().to(memory_format=torch.channels_last), INFO, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_loading_draws_no_random_number_and_can_be_trained_further(tmp_path: Path) -> None:
    save(model(), INFO, tmp_path / "x")
    before = torch.get_rng_state()
    loaded, _ = load(tmp_path / "x")
    assert torch.equal(before, torch.get_rng_state())
    loaded(torch.rand(1, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


def test_loaded_weights_do_not_depend_on_the_file_any_more(tmp_path: Path) -> None:
    path = digits(tmp_path, {})
    loaded, _ = load(path)
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    path.write_bytes(bytes(path.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_weights_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    bias = torch.arange(10).to(dtype)
    loaded, _ = load(digits(tmp_path, {"fc2.bias": bias}))
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    assert loaded.state_dict()["network.fc2.bias"].tolist() == list(range(10))


def test_a_bare_file_is_loaded_with_a_record_from_the_caller(tmp_path: Path) -> None:
    save_file(model(DIGITS).network.state_dict(), tmp_path / "x")
    expected = (
        "(x): expected a checkpoint stored by this software, version 1, got a safetensors file without its metadata."
    )
    assert sentence(tmp_path / "x") == expected
    loaded, info = load(tmp_path / "x", DIGITS)
    assert info == DIGITS
    assert loaded(torch.rand(2, 1, 8, 8)).shape == (2, 10)


TENSORS = "(x): expected the 8 tensors of digits_cnn, got "


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fc2.bias": None}, TENSORS + "1 missing: fc2.bias."),
        ({"fc3.bias": torch.zeros(1)}, TENSORS + "1 extra: fc3.bias."),
        (
            {"fc2.weight": torch.zeros(100, 64), "fc2.bias": torch.zeros(100)},
            TENSORS + "2 of another shape: fc2.weight (100, 64), not (10, 64), fc2.bias (100,), not (10,).",
        ),
        (
            {name: None for name in model(DIGITS).network.state_dict()} | {"w": torch.zeros(1)},
            TENSORS
            + "8 missing: conv1.weight, conv1.bias, conv2.weight, conv2.bias, fc1.weight and 3 more; 1 extra: w.",
        ),
        (
            {"fc2.bias": torch.tensor([0.0] * 7 + [float("nan"), float("inf"), 1.0])},
            "(x): expected finite weights, got 2 that are NaN or infinite in fc2.bias.",
        ),
        (
            {"fc2.bias": torch.full((10,), 1e300, dtype=torch.float64)},
            "(x): expected finite weights, got 10 that are NaN or infinite in fc2.bias.",
        ),
        (
            {"fc2.bias": torch.zeros(10, dtype=torch.int32)},
            "(x): expected a dense floating-point tensor fc2.bias, got torch.int32, torch.strided, on cpu.",
        ),
    ],
)
def test_tensors_of_another_network_are_refused(
    tmp_path: Path, changes: dict[str, Tensor | None], expected: str
) -> None:
    assert sentence(digits(tmp_path, changes)) == expected


def test_another_architecture_is_refused_by_its_names(tmp_path: Path) -> None:
    info = CheckpointInfo(architecture="lenet", num_classes=10, input_shape=(1, 28, 28))
    found = sentence(digits(tmp_path, {}, info))
    assert found.startswith("(x): expected the 8 tensors of lenet, got 7 of another shape: conv1.weight (16, 1,")
    assert found.endswith("and 2 more.")


def test_an_architecture_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    found = sentence(digits(tmp_path, {}, replace(DIGITS, architecture="vit")), UnknownArchitecture)
    assert "expected one of lenet, cifar_resnet20" in found
    assert found.endswith("got 'vit'.")


def test_a_shape_that_the_architecture_does_not_take_is_refused(tmp_path: Path) -> None:
    found = sentence(digits(tmp_path, {}, replace(DIGITS, input_shape=(1, 9, 9))))
    assert found == "(x, digits_cnn): expected images of shape (1, 8, 8) (channels, height, width), got (1, 9, 9)."


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = digits(tmp_path, {})
    data = path.read_bytes()
    path.write_bytes(data[:-4])
    found = sentence(path)
    assert found == "(x): expected 153,128 bytes of tensors, as the header says, got 153,124, so the file is cut short."
    path.write_bytes(data[:100])
    assert sentence(path).startswith(
        "(x): expected a safetensors file whose header lies inside the file, got 100 bytes"
    )


def test_metadata_of_another_kind_or_version_are_refused(tmp_path: Path) -> None:
    state = model(DIGITS).network.state_dict()
    for body, got in (
        ({"kind": "dataset", "version": 1}, "kind 'dataset', version 1"),
        (metadata_of(DIGITS) | {"version": 2}, "kind 'checkpoint', version 2"),
    ):
        save_file(state, tmp_path / "x", metadata=metadata(body))
        assert sentence(tmp_path / "x").endswith(f"stored by this software, version 1, got {got}.")


def test_weights_that_are_not_of_their_record_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="expected the 8 tensors of digits_cnn, got 7 of another shape"):
        save(model(replace(DIGITS, architecture="lenet", input_shape=(1, 28, 28))), DIGITS, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_header_that_the_package_does_not_accept_is_refused(tmp_path: Path) -> None:
    header = b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "more": NaN}}'
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert sentence(tmp_path / "x", info=DIGITS).startswith("(x): expected a safetensors file, got Error while")


def test_a_saved_file_can_be_read_by_whom_the_process_lets_read_its_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save(model(DIGITS), DIGITS, tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o644
