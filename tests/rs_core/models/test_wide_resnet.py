"""Wide residual networks: their arithmetic written out by hand on small ones, names and shapes of the public files on large ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from radii.rs_core.models.registry import skeleton
from radii.rs_core.models.wide_resnet import SiluWideResNet, WideResNet

State = dict[str, Tensor]


def _trained(network: nn.Module) -> nn.Module:
    """Statistics away from 0 and 1."""
    stream = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = torch.randn(module.num_features, generator=stream) * 0.1
            module.running_var = torch.rand(module.num_features, generator=stream) + 0.5
    return network.eval()


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
    shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def _classic_block(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    active = _norm(state, f"{name}.bn1", x).clamp_min(0)
    inner = F.conv2d(active, state[f"{name}.conv1.weight"], stride=stride, padding=1)
    out = F.conv2d(_norm(state, f"{name}.bn2", inner).clamp_min(0), state[f"{name}.conv2.weight"], padding=1)
    short = state.get(f"{name}.convShortcut.weight")
    return out + (x if short is None else F.conv2d(active, short, stride=stride))


def _silu_block(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    active = _norm(state, f"{name}.batchnorm_0", x)
    active = active * torch.sigmoid(active)
    padded = F.pad(active, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
    inner = _norm(state, f"{name}.batchnorm_1", F.conv2d(padded, state[f"{name}.conv_0.weight"], stride=stride))
    out = F.conv2d(inner * torch.sigmoid(inner), state[f"{name}.conv_1.weight"], padding=1)
    short = state.get(f"{name}.shortcut.weight")
    return out + (x if short is None else F.conv2d(active, short, stride=stride))


@torch.no_grad()
def test_the_classic_layout_by_hand() -> None:
    torch.manual_seed(1)
    network, x = _trained(WideResNet(16, 1, 5)), torch.rand(2, 3, 32, 32)
    state = network.state_dict()
    found = F.conv2d(x, state["conv1.weight"], padding=1)
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        for place in range(2):
            found = _classic_block(state, f"block{stage}.layer.{place}", found, stride if place == 0 else 1)
    pooled = _norm(state, "bn1", found).clamp_min(0).mean((2, 3))
    wanted = pooled @ state["fc.weight"].T + state["fc.bias"]
    assert torch.allclose(network(x), wanted, atol=1e-4)


@torch.no_grad()
def test_the_silu_layout_by_hand() -> None:
    torch.manual_seed(1)
    network, x = _trained(SiluWideResNet(16, 2, 5)), torch.rand(2, 3, 32, 32)
    state = network.state_dict()
    found = F.conv2d(x, state["init_conv.weight"], padding=1)
    for stage, stride in ((0, 1), (1, 2), (2, 2)):
        for place in range(2):
            found = _silu_block(state, f"layer.{stage}.block.{place}", found, stride if place == 0 else 1)
    last = _norm(state, "batchnorm", found)
    wanted = (last * torch.sigmoid(last)).mean((2, 3)) @ state["logits.weight"].T + state["logits.bias"]
    assert torch.allclose(network(x), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "tensors", "shapes"),
    [
        (
            "wrn_28_10",
            155,
            {
                "conv1.weight": (16, 3, 3, 3),
                "block1.layer.0.bn1.weight": (16,),
                "block1.layer.0.convShortcut.weight": (160, 16, 1, 1),
                "block3.layer.3.conv2.weight": (640, 640, 3, 3),
                "bn1.running_var": (640,),
                "fc.weight": (10, 640),
            },
        ),
        ("wrn_70_16", 407, {"block2.layer.10.conv1.weight": (512, 512, 3, 3), "fc.bias": (10,)}),
        (
            "wrn_28_10_silu",
            155,
            {
                "init_conv.weight": (16, 3, 3, 3),
                "layer.0.block.0.batchnorm_0.running_mean": (16,),
                "layer.0.block.0.shortcut.weight": (160, 16, 1, 1),
                "layer.2.block.3.conv_1.weight": (640, 640, 3, 3),
                "batchnorm.weight": (640,),
                "logits.bias": (10,),
            },
        ),
        ("wrn_70_16_silu", 407, {"layer.2.block.10.conv_0.weight": (1024, 1024, 3, 3)}),
    ],
)
def test_names_and_shapes_are_those_of_public_files(
    name: str, tensors: int, shapes: dict[str, tuple[int, ...]]
) -> None:
    state = skeleton(name, num_classes=10, input_shape=(3, 32, 32)).network.state_dict()
    assert {tensor.device.type for tensor in state.values()} == {"meta"}
    assert len(state) == tensors
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
