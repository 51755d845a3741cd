"""The networks' arithmetic: normalisation, initialisation, and a forward pass written out by hand."""

import math

import torch
import torch.nn.functional as F

from radii.rs_core.models.base_classifier import BaseClassifier, Normalize
from radii.rs_core.models.cifar_resnet import BasicBlock, CifarResNet
from radii.rs_core.models.lenet import LeNet
from radii.rs_core.models.registry import build
from radii.rs_core.specs.jobs import Normalization

NORMALIZATION = Normalization(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))


def test_normalisation_is_x_minus_mean_over_std_per_channel() -> None:
    x = torch.ones(2, 3, 4, 5)
    found = Normalize(NORMALIZATION)(x)
    assert found.shape == x.shape
    assert torch.allclose(found[1, :, 2, 3], torch.tensor([0.9 / 0.5, 0.8 / 0.25, 0.7 / 2.0]))


def test_normalisation_stays_out_of_the_state_dict_and_follows_the_device() -> None:
    model = build("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32), normalization=NORMALIZATION)
    assert all(name.startswith("network.") for name in model.state_dict())
    assert {buffer.dtype for buffer in model.normalize.to(torch.float64).buffers()} == {torch.float64}


def test_the_network_sees_normalised_images() -> None:
    model = BaseClassifier(torch.nn.Flatten(), NORMALIZATION)
    x = torch.rand(2, 3, 2, 2)
    assert torch.equal(model(x), Normalize(NORMALIZATION)(x).flatten(1))


def test_without_normalisation_images_pass_unchanged() -> None:
    x = torch.rand(2, 3, 2, 2)
    assert torch.equal(BaseClassifier(torch.nn.Flatten(), None)(x), x.flatten(1))


def test_lenet_is_conv_relu_pool_twice_then_two_linear_layers() -> None:
    net = LeNet(10)
    x = torch.rand(3, 1, 28, 28)
    h = F.max_pool2d(F.conv2d(x, net.conv1.weight, net.conv1.bias).clamp(min=0), 2)
    h = F.max_pool2d(F.conv2d(h, net.conv2.weight, net.conv2.bias).clamp(min=0), 2)
    h = (h.reshape(3, 800) @ net.fc1.weight.T + net.fc1.bias).clamp(min=0)
    assert torch.allclose(net(x), h @ net.fc2.weight.T + net.fc2.bias, atol=1e-5)


def test_a_block_adds_its_shortcut_before_the_last_relu() -> None:
    block = BasicBlock(4, 8, stride=2).eval()
    assert block.downsample is not None
    x = torch.randn(2, 4, 6, 6)
    h = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    assert torch.allclose(block(x), F.relu(h + block.downsample(x)))
    assert block(x).shape == (2, 8, 3, 3)


def test_stages_have_the_published_widths_and_strides() -> None:
    net = CifarResNet(3, 10).eval()
    x = net.layer1(net.bn1(net.conv1(torch.rand(1, 3, 32, 32))))
    assert x.shape == (1, 16, 32, 32)
    assert net.layer2(x).shape == (1, 32, 16, 16)
    assert net.layer3(net.layer2(x)).shape == (1, 64, 8, 8)


def test_convolutions_start_with_variance_two_over_fan_out() -> None:
    # 36,864 draws: the sample standard deviation is off by 2 % or more with probability below 1e-7.
    weight = CifarResNet(3, 10).state_dict()["layer3.2.conv2.weight"]
    assert abs(float(weight.std()) / math.sqrt(2 / (9 * 64)) - 1) < 0.02


def test_batch_normalisation_starts_as_the_identity_and_convolutions_have_no_bias() -> None:
    state = CifarResNet(3, 10).state_dict()
    norms = [name.removesuffix(".running_mean") for name in state if name.endswith(".running_mean")]
    assert all(bool((state[f"{name}.weight"] == 1).all()) and not state[f"{name}.bias"].any() for name in norms)
    assert not any("conv" in name and name.endswith(".bias") for name in state)
