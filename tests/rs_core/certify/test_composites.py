"""The engine certifies composites as it does any network: prepared they are the same function, and counts are its votes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests_support import parts
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from radii.rs_core.certify import engine
from radii.rs_core.certify.inference_model import InferenceModel, folded
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.mixing_network import mixing_for
from radii.rs_core.records import Certificate
from radii.rs_core.specs.composition import Denoised, Ensemble, Mixed


def _mixing() -> BaseClassifier:
    models, infos = parts.two(parts.CIFAR)
    torch.manual_seed(0)
    return joined(Mixed(mixing=mixing_for(models, [(3, 32, 32)] * 2)), models, infos)[0]


MODELS: dict[str, tuple[Callable[[], BaseClassifier], tuple[int, int, int]]] = {
    "ensemble": (lambda: joined(Ensemble(), *parts.two(parts.CIFAR))[0], (3, 32, 32)),
    "denoised": (lambda: joined(Denoised(), *parts.denoised())[0], (1, 8, 8)),
    "mixed": (lambda: joined(Mixed(robust_weight=0.76), *parts.two(parts.CIFAR))[0], (3, 32, 32)),
    "mixing": (_mixing, (3, 32, 32)),
}


def _noisy(shape: tuple[int, ...], count: int = 8) -> Tensor:
    stream = torch.Generator().manual_seed(1)
    images = torch.rand(count, *shape, generator=stream) + torch.randn(count, *shape, generator=stream)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_prepared_it_is_the_same_function_up_to_last_bits(name: str) -> None:
    make, shape = MODELS[name]
    model, x = make(), _noisy(shape)
    wanted, got = model(x), InferenceModel(model)(x)
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.mark.parametrize("name", ["ensemble", "denoised", "mixed"])
def test_the_batch_normalisation_of_every_part_is_folded(name: str) -> None:
    make, shape = MODELS[name]
    model = make()
    found = folded(model, _noisy(shape, 2))
    assert any(isinstance(module, _BatchNorm) for module in model.modules())
    assert not any(isinstance(module, _BatchNorm) for module in found.modules())


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_in_bf16_it_is_near_and_answers_in_float32(name: str) -> None:
    make, shape = MODELS[name]
    model, x = make(), _noisy(shape)
    wanted, got = model(x), InferenceModel(model, precision="bf16")(x)
    assert got.dtype == torch.float32
    assert bool(torch.isfinite(got).all())
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 0.1


def _certificates(model: nn.Module, seed: int = 3) -> list[dict[str, Any]]:
    """Class and counts of two inputs."""
    stream = torch.Generator().manual_seed(2)
    inputs = [(index, torch.rand(1, 8, 8, generator=stream), 0) for index in range(2)]
    records = engine.certify(Sampler(model, 0.5, 10, seed=seed), inputs, Procedure(sigma=0.5, n=500))
    return [
        {"index": row.index, "prediction": row.prediction, "counts0": row.counts0, "counts": row.counts}
        for row in records
        if isinstance(row, Certificate)
    ]


class ByHand(nn.Module):
    """The mean of two networks' logits, written without the library."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        return (self.one(x) + self.other(x)) / 2


def test_an_ensemble_gets_the_counts_of_a_module_with_the_same_logits() -> None:
    models, infos = parts.two()
    found = _certificates(joined(Ensemble(), models, infos)[0])
    assert found == _certificates(ByHand(*models).eval())
    assert found != _certificates(models[0])


@pytest.mark.parametrize(("weight", "place"), [(0.0, 0), (1.0, 1)])
def test_at_its_ends_a_mix_gets_the_votes_of_its_one_part(weight: float, place: int) -> None:
    models, infos = parts.two()
    found = _certificates(joined(Mixed(robust_weight=weight, robust_scale=0.5), models, infos)[0])
    assert found == _certificates(models[place])
    assert found != _certificates(models[1 - place])
    assert found != _certificates(models[place], seed=4)
