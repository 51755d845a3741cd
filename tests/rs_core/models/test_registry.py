"""The architectures: sizes, shapes and names as published, and what is refused."""

import subprocess
import sys

import pytest
import torch

from radii.rs_core.errors import Mismatch, UnknownArchitecture
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.registry import ARCHITECTURES, architecture, build, check, skeleton
from radii.rs_core.specs.fields import NORMALIZATIONS, Normalization

SHAPES: dict[str, Shape] = {
    "lenet": (1, 28, 28),
    "cifar_resnet20": (3, 32, 32),
    "cifar_resnet110": (3, 32, 32),
    "resnet50": (3, 64, 64),
    "digits_cnn": (1, 8, 8),
    "wrn_28_10": (3, 32, 32),
    "wrn_70_16": (3, 32, 32),
    "wrn_28_10_silu": (3, 32, 32),
    "wrn_70_16_silu": (3, 32, 32),
    "preact_resnet18": (3, 32, 32),
    "preact_resnet18_silu": (3, 32, 32),
    "dncnn": (3, 32, 32),
}
SMALL = ("lenet", "cifar_resnet20", "cifar_resnet110", "digits_cnn")
CLASSIFIERS = [name for name in SHAPES if name != "dncnn"]


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("lenet", 10, 431_080),
        ("cifar_resnet20", 10, 272_474),
        ("cifar_resnet110", 10, 1_730_714),
        ("cifar_resnet110", 100, 1_736_564),
        ("resnet50", 1000, 25_557_032),
        ("digits_cnn", 10, 38_282),
        ("wrn_28_10", 10, 36_479_194),
        ("wrn_28_10", 100, 36_536_884),
        ("wrn_70_16", 10, 266_796_506),
        ("wrn_28_10_silu", 10, 36_479_194),
        ("wrn_70_16_silu", 10, 266_796_506),
        ("preact_resnet18", 10, 11_172_170),
        ("preact_resnet18_silu", 10, 12_548_426),
        ("dncnn", 0, 558_400),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, classes: int, count: int) -> None:
    model = skeleton(name, num_classes=classes, input_shape=SHAPES[name])
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_answers_with_one_logit_per_class(name: str) -> None:
    model = build(name, num_classes=7, input_shape=SHAPES[name]).eval()
    assert model(torch.rand(2, *SHAPES[name])).shape == (2, 7)


def test_resnet50_takes_images_of_any_size() -> None:
    model = build("resnet50", num_classes=4, input_shape=(3, 40, 56)).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 40, 56)).shape == (1, 4)


def test_the_table_covers_what_is_tested_here() -> None:
    assert set(ARCHITECTURES) == set(SHAPES)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_gives_one_logit_per_class_on_paper(name: str) -> None:
    network = skeleton(name, num_classes=7, input_shape=SHAPES[name]).network.eval()
    assert network(torch.empty(2, *SHAPES[name], device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_last_layer_is_the_one_the_table_names(name: str) -> None:
    state = skeleton(name, num_classes=7, input_shape=SHAPES[name]).network.state_dict()
    assert state[f"{architecture(name).head}.weight"].shape[0] == 7


def test_cifar_resnet_has_the_names_of_public_checkpoints() -> None:
    state = skeleton("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32)).network.state_dict()
    block = {name.removeprefix("layer2.0.").rsplit(".", 1)[0] for name in state if name.startswith("layer2.0.")}
    assert block == {"conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1"}
    assert {name.split(".")[0] for name in state} == {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"}
    assert not any("downsample" in name for name in state if name.startswith("layer1.") or ".1.downsample" in name)


def test_lenet_has_the_names_of_public_checkpoints() -> None:
    state = skeleton("lenet", num_classes=10, input_shape=(1, 28, 28)).network.state_dict()
    assert list(state) == [
        f"{layer}.{part}" for layer in ("conv1", "conv2", "fc1", "fc2") for part in ("weight", "bias")
    ]


def test_a_skeleton_has_no_storage_and_draws_no_number() -> None:
    before = torch.get_rng_state()
    model = skeleton("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert torch.equal(before, torch.get_rng_state())


def test_equal_generator_states_give_equal_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build("digits_cnn", num_classes=10, input_shape=(1, 8, 8)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    ("name", "classes", "shape", "normalization", "sentence"),
    [
        (
            "lenet",
            10,
            (3, 32, 32),
            None,
            "expected images of shape (1, 28, 28) (channels, height, width), got (3, 32, 32)",
        ),
        ("resnet50", 10, (1, 64, 64), None, "expected images of 3 channels, got shape (1, 64, 64)"),
        ("lenet", 10, (1, 28, 28), NORMALIZATIONS["cifar10"], "expected a normalisation of 1 channels, got one of 3"),
        ("lenet", 1, (1, 28, 28), None, "expected at least 2 classes, got 1"),
        ("lenet", 0, (1, 28, 28), None, "expected at least 2 classes, got 0"),
        (
            "dncnn",
            10,
            (1, 8, 8),
            None,
            "expected an architecture that classifies, got dncnn, a denoiser: it is composed with a classifier, as a file "
            "of trained weights",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, classes: int, shape: Shape, normalization: Normalization | None, sentence: str
) -> None:
    for function in (build, skeleton, check):
        with pytest.raises(Mismatch) as caught:
            function(name, num_classes=classes, input_shape=shape, normalization=normalization)
        assert str(caught.value) == f"The model and the data set do not fit together ({name}): {sentence}."


OURS = (
    "lenet, cifar_resnet20, cifar_resnet110, resnet50, digits_cnn, wrn_28_10, wrn_70_16, wrn_28_10_silu, wrn_70_16_silu, "
    "preact_resnet18, preact_resnet18_silu, dncnn"
)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("resnet18", " (perhaps torchvision/resnet18 or "),
        ("torchvision/resnet19", " (perhaps torchvision/resnet18 or "),
        ("cifar_resnet21", " (perhaps cifar_resnet20 or "),
        ("zzz", ", got 'zzz'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones_and_the_nearest(name: str, advice: str) -> None:
    with pytest.raises(UnknownArchitecture) as caught:
        architecture(name)
    assert f"expected one of {OURS}, or torchvision/NAME{advice}" in str(caught.value)


def test_the_table_can_be_read_without_torch() -> None:
    code = "import sys, radii.rs_core.models.registry as t; t.check('lenet', num_classes=10, input_shape=(1, 28, 28)); "
    done = subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
