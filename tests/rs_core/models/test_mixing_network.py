"""The mixing network: what it reads, how large it is, and how gamma becomes a weight."""

from dataclasses import replace

import pytest
import torch
from tests_support import parts
from torch import Tensor, nn

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.errors import Mismatch
from radii.rs_core.models.feature_maps import channels_of
from radii.rs_core.models.mixed import MixedClassifier, mix_by
from radii.rs_core.models.mixing_network import CLAMP, MixingNetwork, mixing_for, widths_for
from radii.rs_core.models.registry import ARCHITECTURES, architecture, skeleton
from radii.rs_core.models.torchvision_names import FAMILIES, PREFIX
from radii.rs_core.specs.composition import Mixed, Mixing

LENET = CheckpointInfo(architecture="lenet", num_classes=10, input_shape=(1, 28, 28))
SMALL = Mixing(features=(("a", "b"), ("a", "b")), channels=((3, 5), (4, 6)), widths=(8, 12, 16))


def _mixed(one: CheckpointInfo, other: CheckpointInfo, size: int | None = None, **scales: float) -> MixedClassifier:
    infos = [one, other]
    models = [parts.model(info, seed) for seed, info in enumerate(infos)]
    mixing = mixing_for(models, [info.input_shape for info in infos], **scales)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = joined(Mixed(mixing=mixing, standard_size=size), models, infos)[0].network
    assert isinstance(network, MixedClassifier)
    return network


@pytest.mark.parametrize(
    ("one", "other", "size"),
    [
        (parts.DIGITS, parts.DIGITS, None),
        (LENET, LENET, None),
        (parts.CIFAR, parts.CIFAR, None),
        (replace(parts.CIFAR, architecture="torchvision/shufflenet_v2_x0_5", input_shape=(3, 64, 64)), parts.CIFAR, 64),
    ],
)
def test_any_two_architectures_get_a_weight_for_each_input(
    one: CheckpointInfo, other: CheckpointInfo, size: int | None
) -> None:
    model = _mixed(one, other, size)
    found = model.forward_parts(torch.rand(4, *other.input_shape))
    assert found.log_probs.shape == (4, 10)
    assert found.weight.shape == (4,) and found.gamma is not None and found.gamma.shape == (4,)
    assert torch.allclose(found.log_probs.exp().sum(1), torch.ones(4), atol=1e-5)
    found.weight.sum().backward()
    assert model.mixing is not None
    assert all(parameter.grad is not None for parameter in model.mixing.parameters())


def _by_hand(model: MixedClassifier, x: Tensor) -> Tensor:
    """Gamma of two digits networks, from their weights: the maps are those of both convolutions."""
    first, second = [], []
    for part in (model.standard, model.robust):
        first.append(part.network.conv1(part.normalize(x)))
        second.append(part.network.conv2(first[-1].clamp_min(0)))
    net = model.mixing
    assert net is not None

    def block(layer: nn.Module, x: Tensor) -> Tensor:
        inner = layer.bn1(x).clamp_min(0)
        shortcut = x if layer.shortcut is None else layer.shortcut(inner)
        return layer.conv2(layer.bn2(layer.conv1(inner)).clamp_min(0)) + shortcut

    def stage(layers: nn.Module, x: Tensor) -> Tensor:
        return block(layers[1], block(layers[0], x))  # type: ignore[index]

    pooled = torch.cat(second, 1).reshape(len(x), 64, 4, 2, 4, 2).mean((3, 5))
    maps = stage(net.stage3, stage(net.stage2, stage(net.stage1, torch.cat(first, 1)) + net.second(pooled)))
    number = maps.flatten(2).mean(2) @ net.linear.weight[0]
    return (number - net.norm.running_mean) / (net.norm.running_var + net.norm.eps).sqrt()


@torch.no_grad()
def test_gamma_and_weight_follow_from_the_maps_of_both_parts() -> None:
    model = _mixed(
        parts.DIGITS,
        replace(parts.DIGITS, normalization=parts.GREY),
        gamma_scale=2.0,
        gamma_bias=1.3,
        weight_scale=0.15,
        weight_bias=0.84,
    )
    assert model.mixing is not None
    model.mixing.norm.running_mean.fill_(0.05)
    model.mixing.norm.running_var.fill_(0.01)
    x = torch.rand(5, 1, 8, 8)
    found = model.forward_parts(x)
    wanted = _by_hand(model, x) * 2.0 + 1.3
    assert found.gamma is not None
    assert torch.allclose(found.gamma, wanted, atol=1e-4)
    assert float(wanted.std()) > 0.01
    weight = torch.sigmoid(wanted) * 0.15 + 0.84
    assert torch.allclose(found.weight, weight, atol=1e-5)
    logits = [part(x).log_softmax(1) for part in (model.standard, model.robust)]
    assert torch.allclose(found.log_probs, mix_by(logits[0], logits[1], weight), atol=1e-5)
    assert torch.equal(model(x), found.log_probs)


@torch.no_grad()
def test_in_training_numbers_are_clamped_normalised_over_the_batch_and_weights_not_rescaled() -> None:
    network = MixingNetwork(replace(SMALL, weight_scale=0.1, weight_bias=0.9)).train()
    numbers: list[Tensor] = []
    network.linear.register_forward_hook(lambda module, given, output: numbers.append(output))
    maps = [torch.rand(32, 3, 8, 8), torch.rand(32, 4, 6, 6)], [torch.rand(32, 5, 4, 4), torch.rand(32, 6, 5, 5)]
    gamma = network(*maps)
    number = numbers[0][:, 0]
    kept = number.clamp(number.mean() - CLAMP * number.std(), number.mean() + CLAMP * number.std())
    wanted = (kept - kept.mean()) / (kept.var(correction=0) + 1e-5).sqrt()
    assert torch.allclose(gamma, wanted, atol=1e-4)
    assert torch.equal(network.weight(gamma), torch.sigmoid(gamma))
    assert float(network.norm.running_mean) == pytest.approx(0.01 * float(kept.mean()), rel=1e-3)
    assert torch.allclose(network.eval().weight(gamma), torch.sigmoid(gamma) * 0.1 + 0.9)


@pytest.mark.parametrize(
    ("channels", "widths"),
    [
        (64, (128, 256, 512)),
        (160, (320, 512, 768)),
        (256, (256, 384, 512)),
        (512, (256, 384, 512)),
        (16, (32, 64, 128)),
        (96, (192, 384, 512)),
    ],
)
def test_widths_are_the_published_ones_and_smaller_for_small_networks(
    channels: int, widths: tuple[int, int, int]
) -> None:
    assert widths_for(channels) == widths


def test_the_network_is_as_wide_as_both_parts_ask_for() -> None:
    models = [parts.model(parts.CIFAR, seed) for seed in range(2)]
    found = mixing_for(models, [(3, 32, 32)] * 2)
    assert found.features == (("layer1", "layer2"), ("layer1", "layer2"))
    assert found.channels == ((16, 32), (16, 32))
    assert found.widths == (64, 128, 256)


@pytest.mark.parametrize(
    "name",
    [
        *(name for name, row in ARCHITECTURES.items() if row.features),
        *(PREFIX + name for family in FAMILIES if family.features for name in (family.names[0], family.names[-1])),
    ],
)
def test_every_row_with_features_names_two_modules_that_give_maps(name: str) -> None:
    row = architecture(name)
    shape = row.input_shape or (3, max(64, row.smallest_side), max(64, row.smallest_side))
    model = skeleton(name, num_classes=10, input_shape=shape)
    assert row.features is not None
    assert len(channels_of(model, shape, row.features)) == 2


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("conv1", "conv9"), "expected the names of two modules, got conv9"),
        (("conv1", "fc1"), r"expected feature maps \(B, c, h, w\), got shape \(1, 64\)"),
    ],
)
def test_modules_that_give_no_maps_are_refused(names: tuple[str, str], sentence: str) -> None:
    with pytest.raises(Mismatch, match=sentence):
        channels_of(parts.model(parts.DIGITS, 0), (1, 8, 8), names)


def test_an_architecture_without_maps_has_no_mixing_network() -> None:
    model = skeleton("torchvision/vit_b_16", num_classes=10, input_shape=(3, 32, 32))
    with pytest.raises(Mismatch, match="feature maps that a mixing network can read"):
        mixing_for([model, model], [(3, 32, 32)] * 2)


def test_nothing_stays_on_the_parts_after_a_pass() -> None:
    model = _mixed(parts.DIGITS, parts.DIGITS)
    model(torch.rand(2, 1, 8, 8))
    assert not any(module._forward_hooks for part in model.parts for module in part.modules())
