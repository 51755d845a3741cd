"""A prepared classifier is the same function, and leaves the one that it was made of alone."""

import copy
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from radii.rs_core.certify import engine
from radii.rs_core.certify.inference_model import InferenceModel, folded
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.models import registry
from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import Normalization

NEEDS_A_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++, which compiling needs")
CIFAR = Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
NETWORKS = {
    "lenet": (1, 28, 28),
    "digits_cnn": (1, 8, 8),
    "cifar_resnet20": (3, 32, 32),
    "torchvision/resnet18": (3, 64, 64),
}


def _network(name: str, shape: tuple[int, int, int]) -> nn.Module:
    """Weights of a seed; running statistics are away from 0 and 1, as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        normalization = CIFAR if shape[0] == 3 else None
        model = registry.build(name, num_classes=10, input_shape=shape, normalization=normalization)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.5, 1.5)
    return model.eval()


def _noisy(shape: tuple[int, ...], count: int = 40) -> Tensor:
    stream = torch.Generator().manual_seed(1)
    images = torch.rand(count, *shape, generator=stream) + torch.randn(count, *shape, generator=stream)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_logits_are_those_of_the_classifier_up_to_their_last_bits(name: str) -> None:
    model, x = _network(name, NETWORKS[name]), _noisy(NETWORKS[name])
    wanted, got = model(x), InferenceModel(model)(x)
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        ("lenet", False),
        pytest.param("lenet", True, marks=NEEDS_A_COMPILER),
        ("cifar_resnet20", False),
        pytest.param("cifar_resnet20", True, marks=[NEEDS_A_COMPILER, pytest.mark.slow]),
    ],
)
@torch.no_grad()
def test_the_engine_votes_as_the_textbook_loop_does_but_for_ties(
    name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the engine's own noisy batches: logits within 1e-4 of each row's largest, and a gap of the top two below that
    wherever the vote is another."""
    model, seen = _network(name, NETWORKS[name]), []
    sampler = Sampler(model, 0.5, 10, batch_size=200, compiled=compiled)
    classify = sampler._classify

    def recorded(batch: Tensor) -> tuple[Tensor, Tensor]:
        labels, finite = classify(batch)
        seen.append((batch.clone(), sampler._logits(batch).clone(), labels))
        return labels, finite

    monkeypatch.setattr(sampler, "_classify", recorded)
    inputs = [(index, torch.rand(NETWORKS[name]), 0) for index in range(2)]
    certificates = [
        record
        for record in engine.certify(sampler, inputs, Procedure(sigma=0.5, n=1_000))
        if isinstance(record, Certificate)
    ]
    assert sampler.compiled is compiled
    assert sum(row.n0 + row.n for row in certificates) == 2_200 <= sum(len(labels) for *_, labels in seen)
    for batch, logits, labels in seen:
        plain = model(batch.contiguous())
        scale = plain.abs().amax(1)
        assert float(((logits - plain).abs().amax(1) / scale).max()) <= 1e-4
        top = plain.topk(2, dim=1).values
        tied = (top[:, 0] - top[:, 1]) / scale < 1e-4
        assert bool((tied | (labels == plain.argmax(1))).all())


@pytest.mark.parametrize("name", ["cifar_resnet20", "torchvision/resnet18"])
def test_no_batch_normalisation_is_left(name: str) -> None:
    model = _network(name, NETWORKS[name])
    found = folded(model, _noisy(NETWORKS[name], 2))
    assert not any(isinstance(module, _BatchNorm) for module in found.modules())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_classifier_is_left_as_it_was(precision: str) -> None:
    model = _network("cifar_resnet20", (3, 32, 32))
    before = copy.deepcopy(model.state_dict())
    InferenceModel(model, precision=precision)(_noisy((3, 32, 32), 2))  # type: ignore[arg-type]
    after = model.state_dict()
    assert all(
        torch.equal(tensor, after[name]) and tensor.stride() == after[name].stride() for name, tensor in before.items()
    )


@torch.no_grad()
def test_bf16_is_near_and_answers_in_float32() -> None:
    model, x = _network("cifar_resnet20", (3, 32, 32)), _noisy((3, 32, 32))
    wanted, got = model(x), InferenceModel(model, precision="bf16")(x)
    assert got.dtype == torch.float32
    assert 1e-5 < float((got - wanted).abs().max() / wanted.abs().max()) < 0.05


class Odd(nn.Module):
    """A network whose way depends on its numbers, so that it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.norm.running_mean = torch.ones(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).mean((2, 3))
        return x if x.sum() > 0 else -x


class Lying(nn.Module):
    """A network that is another one when it is traced: folding gives another function, which is noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.odd = Odd()

    def forward(self, x: Tensor) -> Tensor:
        factor = 1.0 if isinstance(x, Tensor) else 2.0
        return self.odd.norm(self.odd.conv(x)).mean((2, 3)) * factor


@pytest.mark.parametrize("network", [Odd, Lying])
@torch.no_grad()
def test_a_network_that_cannot_be_folded_runs_as_it_is(network: type[nn.Module]) -> None:
    torch.manual_seed(3)
    model, x = network().eval(), _noisy((1, 6, 6))
    assert any(isinstance(module, _BatchNorm) for module in folded(model, x).modules())
    assert torch.allclose(InferenceModel(model)(x), model(x), atol=1e-6)


@pytest.mark.parametrize("change", ["in place", "loaded", "replaced"])
@torch.no_grad()
def test_weights_that_are_changed_are_seen_after_a_refresh(change: str) -> None:
    model, x = _network("cifar_resnet20", (3, 32, 32)), _noisy((3, 32, 32), 4)
    prepared = InferenceModel(model)
    prepared.refresh()
    before = prepared(x)
    weights = model.state_dict()
    if change == "in place":
        next(model.parameters()).mul_(2.0)
    elif change == "loaded":
        model.load_state_dict(
            {name: tensor * 1.5 if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
        )
    else:
        first = next(model.parameters())
        first.data = first.data * 2.0
    prepared.refresh()
    after = prepared(x)
    assert torch.allclose(after, model(x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, rtol=1e-3, atol=1e-3)
    prepared.refresh()
    assert torch.equal(prepared(x), after)


def test_a_network_without_convolutions_runs_as_it_is() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).train()
    x = _noisy((1, 4, 4))
    assert torch.equal(InferenceModel(model)(x), model(x).detach())
    assert not model.training


@NEEDS_A_COMPILER
def test_every_one_of_many_networks_is_compiled() -> None:
    """torch gives up without a word after eight networks of one code, unless it is told not to."""
    from torch._dynamo.utils import counters

    x = torch.rand(4, 1, 8, 8)
    before = counters["stats"]["unique_graphs"]
    for seed in range(10):
        torch.manual_seed(seed)
        prepared = InferenceModel(registry.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8)), compiled=True)
        prepared(x)
        assert prepared.compiled
    assert counters["stats"]["unique_graphs"] - before == 10
