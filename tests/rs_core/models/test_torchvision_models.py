"""torchvision's networks: all of them by name, with the sizes and last layers that the table says.

By default one network of each family is built; with RADII_TEST_ALL_NETWORKS set, all of them (minutes).
"""

import os
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.checkpoints.checkpoint_info import ConversionHints
from radii.rs_core.checkpoints.torch_file import convert
from radii.rs_core.errors import InvalidCheckpoint, Mismatch
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.registry import architecture, build, check, skeleton
from radii.rs_core.models.torchvision_models import network
from radii.rs_core.models.torchvision_names import FAMILIES, PREFIX

ALL = [PREFIX + name for family in FAMILIES for name in family.names]
CHOSEN = ALL if os.environ.get("RADII_TEST_ALL_NETWORKS") else [PREFIX + family.names[0] for family in FAMILIES]
WITH_A_SMALLEST_SIDE = [PREFIX + family.names[0] for family in FAMILIES if family.smallest > 1 and family.multiple == 1]


def _square(name: str) -> Shape:
    side = architecture(name).smallest_side
    return (3, side, side)


def _logits(model: nn.Module, shape: Shape) -> tuple[int, ...]:
    with torch.no_grad():
        answer = model(torch.empty(2, *shape, device="meta"))
    assert isinstance(answer, torch.Tensor)
    return tuple(answer.shape)


def test_the_names_are_those_of_the_installed_torchvision() -> None:
    assert sorted(ALL) == sorted(PREFIX + name for name in torchvision.models.list_models(module=torchvision.models))


@pytest.mark.parametrize("name", CHOSEN)
def test_at_its_smallest_side_a_network_answers_with_one_logit_per_class_and_builds_without_a_draw(name: str) -> None:
    before = torch.get_rng_state()
    model = skeleton(name, num_classes=7, input_shape=_square(name)).network
    assert torch.equal(before, torch.get_rng_state())
    state = model.state_dict()
    held = [*model.named_parameters(), *model.named_buffers()]
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    # Loading puts the state dict in place of what has no numbers: nothing else may be there.
    assert {tensor_name for tensor_name, _ in held} == set(state)
    assert state[f"{architecture(name).head}.weight"].shape[0] == 7
    assert _logits(model.train(), _square(name)) == _logits(model.eval(), _square(name)) == (2, 7)


@pytest.mark.parametrize("name", WITH_A_SMALLEST_SIDE)
def test_a_pixel_less_than_the_smallest_side_would_not_do_and_is_refused(name: str) -> None:
    side = architecture(name).smallest_side - 1
    with pytest.raises(Mismatch, match=rf"\({name}\): expected images of at least {side + 1} pixels a side, got shape"):
        check(name, num_classes=7, input_shape=(3, side, side))
    with torch.device("meta"):
        model = network(name.removeprefix(PREFIX), 7, (3, side, side))
    with pytest.raises((RuntimeError, ValueError, AssertionError)):
        _logits(model.train(), (3, side, side))


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("vit_b_16", (3, 40, 40), "square images of at least 16 pixels a side, multiples of 16, got shape (3, 40, 40)"),
        ("vit_b_16", (3, 32, 48), "square images of at least 16 pixels a side, multiples of 16, got shape (3, 32, 48)"),
        ("maxvit_t", (3, 300, 224), "images of at least 224 pixels a side, multiples of 224, got shape (3, 300, 224)"),
        ("resnet18", (1, 32, 32), "images of 3 channels, got shape (1, 32, 32)"),
    ],
)
def test_images_that_a_network_cannot_take_are_refused_before_it_is_built(
    name: str, shape: Shape, sentence: str
) -> None:
    with pytest.raises(Mismatch) as caught:
        check(PREFIX + name, num_classes=7, input_shape=shape)
    assert str(caught.value).endswith(f"(torchvision/{name}): expected {sentence}.")


def test_a_transformer_is_built_for_the_images_at_hand() -> None:
    model = skeleton("torchvision/vit_b_32", num_classes=7, input_shape=(3, 64, 64))
    assert _logits(model.network, (3, 64, 64)) == (2, 7)


@pytest.mark.parametrize("name", ["torchvision/resnet18", "torchvision/shufflenet_v2_x0_5"])
def test_equal_generator_states_give_torchvisions_own_weights(name: str) -> None:
    torch.manual_seed(5)
    ours = build(name, num_classes=4, input_shape=(3, 32, 32)).network.state_dict()
    torch.manual_seed(5)
    theirs = torchvision.models.get_model(name.removeprefix(PREFIX), weights=None, num_classes=4).state_dict()
    assert all(torch.equal(tensor, ours[key]) for key, tensor in theirs.items()) and ours.keys() == theirs.keys()


@pytest.mark.parametrize(("name", "side"), [("shufflenet_v2_x0_5", 32), ("swin_t", 32), ("regnet_y_400mf", 32)])
def test_a_stored_network_answers_as_before(tmp_path: Path, name: str, side: int) -> None:
    info = CheckpointInfo(architecture=PREFIX + name, num_classes=4, input_shape=(3, side, side))
    model = build(info.architecture, num_classes=4, input_shape=info.input_shape).eval()
    checkpoint.save(model, info, tmp_path / "x.safetensors")
    loaded, found = checkpoint.load(tmp_path / "x.safetensors")
    assert found == info
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


def test_weights_saved_by_torch_are_read_under_torchvisions_name(tmp_path: Path) -> None:
    model = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=4)
    torch.save(model.state_dict(), tmp_path / "x.pt")
    hints = ConversionHints(architecture="torchvision/shufflenet_v2_x0_5", input_shape=(3, 32, 32))
    info = convert(tmp_path / "x.pt", hints, tmp_path / "out.safetensors")
    assert (info.architecture, info.num_classes) == ("torchvision/shufflenet_v2_x0_5", 4)
    with pytest.raises(InvalidCheckpoint, match="input_shape"):
        convert(
            tmp_path / "x.pt",
            ConversionHints(architecture="torchvision/shufflenet_v2_x0_5"),
            tmp_path / "out.safetensors",
        )
