"""Pre-activation ResNet-18: blocks by hand, names and shapes of the public files."""

import torch
import torch.nn.functional as F

from radii.rs_core.models.preact_resnet import PreActBlock, SiluPreActBlock
from radii.rs_core.models.registry import build, skeleton


@torch.no_grad()
def test_a_classic_block_by_hand() -> None:
    block, x = PreActBlock(4, 8, 2).eval(), torch.randn(2, 4, 6, 6)
    active = (x / (1 + 1e-5) ** 0.5).clamp_min(0)
    inner = F.conv2d(active, block.conv1.weight, stride=2, padding=1) / (1 + 1e-5) ** 0.5
    assert block.shortcut is not None
    wanted = F.conv2d(inner.clamp_min(0), block.conv2.weight, padding=1)
    wanted = wanted + F.conv2d(active, block.state_dict()["shortcut.0.weight"], stride=2)
    assert torch.allclose(block(x), wanted, atol=1e-5)


@torch.no_grad()
def test_a_silu_block_by_hand() -> None:
    block, x = SiluPreActBlock(4, 8, 2).eval(), torch.randn(2, 4, 6, 6)
    active = x / (1 + 1e-5) ** 0.5
    active = active * torch.sigmoid(active)
    inner = F.conv2d(F.pad(active, (0, 1, 0, 1)), block.conv_2d_1.weight, stride=2) / (1 + 1e-5) ** 0.5
    assert block.shortcut is not None
    wanted = F.conv2d(inner * torch.sigmoid(inner), block.conv_2d_2.weight, padding=1)
    wanted = wanted + F.conv2d(F.pad(x, (0, 1, 0, 1)), block.shortcut.weight, stride=2)
    assert torch.allclose(block(x), wanted, atol=1e-5)


def test_names_and_shapes_are_those_of_public_files() -> None:
    state = skeleton("preact_resnet18", num_classes=10, input_shape=(3, 32, 32)).network.state_dict()
    assert {name.split(".")[0] for name in state} == {"conv1", "layer1", "layer2", "layer3", "layer4", "bn", "linear"}
    assert {name for name in state if "shortcut" in name} == {f"layer{n}.0.shortcut.0.weight" for n in (2, 3, 4)}
    other = skeleton("preact_resnet18_silu", num_classes=10, input_shape=(3, 32, 32)).network.state_dict()
    assert {name.split(".")[0] for name in other} == {
        *("conv_2d", "layer_0", "layer_1", "layer_2", "layer_3", "batchnorm", "logits")
    }
    assert tuple(other["layer_1.0.shortcut.weight"].shape) == (128, 64, 3, 3)


def test_both_answer_with_one_logit_per_class() -> None:
    for name in ("preact_resnet18", "preact_resnet18_silu"):
        model = build(name, num_classes=7, input_shape=(3, 32, 32)).eval()
        with torch.inference_mode():
            assert model(torch.rand(1, 3, 32, 32)).shape == (1, 7)
