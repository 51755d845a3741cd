"""Names of tensors in public files: wrappings, layers of normalisation, tables of architectures."""

from pathlib import Path

import pytest
import torch
from tests_support.public_files import CIFAR10, CIFAR100, IMAGENET, lenet, prefixed, published, saved, sentence, state
from torch import Tensor

from radii.rs_core.checkpoints.checkpoint import load
from radii.rs_core.checkpoints.checkpoint_info import ConversionHints
from radii.rs_core.checkpoints.tensor_names import take_apart
from radii.rs_core.checkpoints.torch_file import convert, read_torch_file
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.registry import architecture, skeleton
from radii.rs_core.specs.fields import Normalization


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["", "module.", "1.", "1.module.", "module.1.", "module.1.module.", "network."])
def test_every_wrapping_gives_the_same_network(tmp_path: Path, prefix: str, zipped: bool) -> None:
    wanted = state()
    path = saved(tmp_path, published(prefixed(prefix, wanted)), zipped=zipped)
    found, info = read_torch_file(path)
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert found["bn1.num_batches_tracked"].dtype == torch.int64
    assert (info.architecture, info.num_classes, info.input_shape, info.epoch) == (
        "cifar_resnet20",
        10,
        (3, 32, 32),
        90,
    )
    assert info.normalization == (None if prefix in {"", "module."} else CIFAR10)


@pytest.mark.parametrize(
    ("name", "classes", "shape", "normalization"),
    [
        ("cifar_resnet20", 10, (3, 32, 32), CIFAR10),
        ("cifar_resnet110", 100, (3, 32, 32), CIFAR100),
        ("resnet50", 1000, (3, 224, 224), IMAGENET),
        ("lenet", 10, (1, 28, 28), None),
    ],
)
def test_a_layer_without_traces_is_the_one_of_the_public_code(
    tmp_path: Path, name: str, classes: int, shape: Shape, normalization: Normalization | None
) -> None:
    _, info = read_torch_file(saved(tmp_path, published(prefixed("1.module.", state(name, classes, shape)), name)))
    assert (info.normalization, info.input_shape, info.num_classes) == (normalization, shape, classes)


def test_a_hint_replaces_the_normalisation_that_would_be_implied(tmp_path: Path) -> None:
    path = saved(tmp_path, published(prefixed("1.", state())))
    centred = Normalization(mean=CIFAR10.mean if CIFAR10 else (0.0,), std=(1.0, 1.0, 1.0))
    assert read_torch_file(path, ConversionHints(normalization=centred))[1].normalization == centred
    assert read_torch_file(path, ConversionHints(normalization="none"))[1].normalization is None


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize(
    ("layer", "network"),
    [("0.{}s", "1."), ("module.0.{}", "module.1."), ("normalize.{}", ""), ("normalize.{}", "network."), ("{}", "")],
)
def test_buffers_of_the_layer_become_the_normalisation(
    tmp_path: Path, layer: str, network: str, shape: tuple[int, ...]
) -> None:
    assert CIFAR100 is not None
    sd = "sd" if layer.endswith("s") else "std"
    buffers = {
        layer.format("mean"): torch.tensor(CIFAR100.mean).reshape(shape),
        layer.format(sd): torch.tensor(CIFAR100.std).reshape(shape),
    }
    _, info = read_torch_file(saved(tmp_path, published(buffers | prefixed(network, state()))))
    assert info.normalization == CIFAR100


def test_a_mean_alone_centres(tmp_path: Path) -> None:
    _, info = read_torch_file(saved(tmp_path, published({"0.means": torch.full((3,), 0.5)} | prefixed("1.", state()))))
    assert info.normalization == Normalization(mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))


def test_another_architecture_is_refused_by_its_names(tmp_path: Path) -> None:
    found = sentence(saved(tmp_path, published(prefixed("1.", lenet()), "cifar_resnet20")))
    assert found == (
        "expected the 128 tensors of cifar_resnet20, got 127 missing: bn1.weight, bn1.bias, bn1.running_mean, "
        "bn1.running_var, bn1.num_batches_tracked and 122 more; 7 extra: conv1.bias, conv2.weight, conv2.bias, "
        "fc1.weight, fc1.bias and 2 more; 1 of another shape: conv1.weight (20, 1, 5, 5), not (16, 3, 3, 3)."
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"0.conv.weight": torch.zeros(1)}, "missing: "),
        ({"1.extra": torch.zeros(1)}, "expected the 8 tensors of lenet, got 1 extra: extra."),
        (
            {"module.1.fc2.bias": torch.zeros(10)},
            "expected each tensor once, got 1.fc2.bias with and without 'module'.",
        ),
        (
            {"0.means": torch.zeros(1), "0.mean": torch.zeros(1)},
            "expected a normalisation layer of one mean and at most one std, got 0.means, 0.mean.",
        ),
        (
            {"0.sds": torch.zeros(1)},
            "expected a normalisation layer of one mean and at most one std, got 0.sds.",
        ),
        (
            {"0.means": torch.zeros(1), "0.sds": torch.zeros(1)},
            "expected a finite mean and a positive std for each channel, got 0.means (0.0,), 0.sds (0.0,).",
        ),
        (
            {"0.means": torch.tensor([float("nan")])},
            "expected a finite mean and a positive std for each channel, got 0.means (nan,).",
        ),
        (
            {"0.means": torch.zeros(2, 3)},
            "expected one number per channel in the normalisation layer, got shape (2, 3).",
        ),
        ({"0.means": torch.zeros(3)}, "expected a normalisation of 1 channels, got one of 3."),
    ],
)
def test_names_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, Tensor], expected: str) -> None:
    assert expected in sentence(saved(tmp_path, published(prefixed("1.", lenet()) | change, "lenet")))


def empty(name: str, classes: int = 10) -> dict[str, Tensor]:
    """Weights of a large network that take no memory."""
    state = skeleton(name, num_classes=classes, input_shape=(3, 32, 32)).network.state_dict()
    return {key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "model.module."])
def test_files_of_robust_classifiers_are_understood(tmp_path: Path, prefix: str, key: str) -> None:
    wanted = state("preact_resnet18")
    path = saved(tmp_path, {key: prefixed(prefix, wanted), "epoch": 12})
    with pytest.raises(InvalidCheckpoint, match="the hint 'normalization'"):
        read_torch_file(path, ConversionHints(architecture="preact_resnet18"))
    found, info = read_torch_file(path, ConversionHints(architecture="preact_resnet18", normalization="none"))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert (info.architecture, info.num_classes, info.epoch, info.normalization) == ("preact_resnet18", 10, 12, None)


@pytest.mark.parametrize(
    ("mean", "std", "prefix"),
    [
        ("normalize.mean", "normalize.std", "model."),
        ("module.normalize.mean", "module.normalize.std", "module.model."),
        ("mean", "std", ""),
        ("mu", "sigma", ""),
    ],
)
def test_constants_of_robust_classifiers_become_the_normalisation(
    tmp_path: Path, mean: str, std: str, prefix: str
) -> None:
    assert CIFAR100 is not None
    layer = {mean: torch.tensor(CIFAR100.mean).view(1, 3, 1, 1), std: torch.tensor(CIFAR100.std).view(1, 3, 1, 1)}
    path = saved(tmp_path, {"state_dict": layer | prefixed(prefix, state("preact_resnet18_silu"))})
    found, info = read_torch_file(path, ConversionHints(architecture="preact_resnet18_silu"))
    assert info.normalization == CIFAR100
    assert not {"mean", "std", "mu", "sigma"} & found.keys()


@pytest.mark.parametrize("name", ["wrn_28_10", "wrn_28_10_silu", "wrn_70_16", "wrn_70_16_silu"])
def test_a_wide_networks_names_are_taken_apart(name: str) -> None:
    wanted = empty(name, 100)
    beside = {"module.mean": torch.zeros(3, 1, 1), "module.std": torch.ones(3, 1, 1)}
    taken = take_apart(beside | prefixed("module.", wanted), "x", architecture(name).head)
    assert taken.network.keys() == wanted.keys()
    assert taken.normalization == Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def test_a_block_that_public_files_hold_and_never_read_is_left_out() -> None:
    wanted = empty("wrn_28_10")
    copied = {f"sub_{key}": tensor for key, tensor in wanted.items() if key.startswith("block1.")}
    assert copied
    row = architecture("wrn_28_10")
    assert take_apart(wanted | copied, "x", row.head, row.unread).network.keys() == wanted.keys()


@pytest.mark.parametrize(
    ("arch", "shape", "prefix"),
    [("cifar_dncnn", (3, 32, 32), ""), ("imagenet_dncnn", (3, 224, 224), "module.")],
)
def test_files_of_denoised_smoothing_are_understood(tmp_path: Path, arch: str, shape: Shape, prefix: str) -> None:
    wanted = state("dncnn", 0)
    path = saved(tmp_path, published(prefixed(prefix, wanted), arch))
    info = convert(path, ConversionHints(sigma=0.25), tmp_path / "out")
    assert (info.architecture, info.role, info.num_classes, info.input_shape) == ("dncnn", "denoiser", 0, shape)
    assert (info.sigma, info.normalization) == (0.25, None)
    denoiser, again = load(tmp_path / "out")
    assert again == info
    assert all(torch.equal(denoiser.network.state_dict()[name], wanted[name]) for name in wanted)


def test_a_denoiser_of_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, published(state("dncnn", 0), "dncnn"))
    assert "the hint 'input_shape'" in sentence(path)
    assert "2 of another shape: dncnn.0.weight" in sentence(path, input_shape=(1, 28, 28))
