"""The mix of a standard and a robust classifier: its formula, its ends, and what it gives where numbers are extreme."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests_support import parts
from torch import Tensor, nn

from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.models.mixed import MixedClassifier, mix, mix_by
from radii.rs_core.models.registry import build
from radii.rs_core.specs.composition import Mixed

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Given(nn.Module):
    """Gives these logits, whatever it is shown."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


def _formula(g: Tensor, h: Tensor, mixed: Mixed, weight: float) -> np.ndarray:
    """The log of the mixed probabilities, as the paper has it, in long doubles."""
    probabilities = []
    for logits, scale in ((g, mixed.standard_scale), (h, mixed.robust_scale)):
        scaled = logits.numpy().astype(np.longdouble) * scale
        exponentials = np.exp(scaled - scaled.max(1, keepdims=True))
        probabilities.append(exponentials / exponentials.sum(1, keepdims=True))
    return np.log((1 - weight) * probabilities[0] + weight * probabilities[1])


@pytest.mark.parametrize("weight", [0.0, 0.01, 0.5, 0.76, 1.0])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.0, 0.3)])
@torch.no_grad()
def test_the_mix_is_the_papers(weight: float, scales: tuple[float, float]) -> None:
    models, infos = parts.two()
    spec = Mixed(robust_weight=weight, standard_scale=scales[0], robust_scale=scales[1])
    model, _ = joined(spec, models, infos)
    wanted = _formula(models[0](X), models[1](X), spec, weight)
    assert np.abs(model(X).numpy() - wanted).max() < 1e-5


@pytest.mark.parametrize(("weight", "place"), [(0.0, 0), (1.0, 1)])
@torch.no_grad()
def test_at_the_ends_it_is_one_classifier_exactly_and_the_other_is_not_run(weight: float, place: int) -> None:
    models, infos = parts.two()
    model, _ = joined(Mixed(robust_weight=weight, standard_scale=2.0, robust_scale=2.0), models, infos)
    wanted = F.log_softmax(models[place](X) * 2.0, dim=1)
    models[1 - place].forward = None  # type: ignore[assignment, method-assign]
    assert torch.equal(model(X), wanted)


@torch.no_grad()
def test_the_parts_of_a_constant_mix_are_told() -> None:
    models, infos = parts.two()
    model, _ = joined(Mixed(robust_weight=0.76), models, infos)
    assert isinstance(model.network, MixedClassifier)
    found = model.network.forward_parts(X)
    assert torch.equal(found.log_probs, model(X))
    assert found.weight.tolist() == pytest.approx([0.76] * 6)
    assert found.gamma is None
    assert torch.equal(model.network.standard(X), models[0](X))
    assert torch.equal(model.network.robust(X), models[1](X))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_class_that_both_find_impossible_has_a_finite_number(dtype: torch.dtype) -> None:
    """In half precision both softmaxes are 0 there, and the logarithm of their mix would be minus infinity."""
    sure = torch.tensor([[0.0, -300.0, -200.0]], dtype=dtype)
    assert float(F.softmax(sure, dim=1).half()[0, 1]) == 0.0
    model = MixedClassifier(Mixed(robust_weight=0.5), [Given(sure), Given(sure)])
    found = model(torch.zeros(1, 1, 8, 8))
    assert bool(torch.isfinite(found).all())
    assert found[0].tolist() == pytest.approx([0.0, -300.0, -200.0], abs=0.5)


def test_scaled_logits_do_not_overflow_in_half_precision() -> None:
    large = torch.tensor([[40_000.0, -40_000.0]], dtype=torch.float16)
    model = MixedClassifier(Mixed(robust_weight=0.5, standard_scale=4.0), [Given(large), Given(large)])
    assert bool(torch.isfinite(model(torch.zeros(1, 1, 8, 8))).all())


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_a_weight_for_each_input_gives_the_same_mix_with_finite_gradients(weight: float) -> None:
    stream = torch.Generator().manual_seed(1)
    g, h = (F.log_softmax(torch.randn(5, 4, generator=stream), dim=1) for _ in range(2))
    weights = torch.full((5,), weight, requires_grad=True)
    found = mix_by(g, h, weights)
    wanted = {0.0: g, 1.0: h}.get(weight)
    assert torch.allclose(found, mix(g, h, weight) if wanted is None else wanted, atol=1e-6)
    (gradient,) = torch.autograd.grad(found.sum(), weights)
    assert bool(torch.isfinite(gradient).all())


@torch.no_grad()
def test_the_standard_classifier_may_take_larger_images() -> None:
    large = replace(parts.CIFAR, architecture="torchvision/shufflenet_v2_x0_5", input_shape=(3, 40, 40))
    infos = [large, parts.CIFAR]
    models = [parts.model(info, seed) for seed, info in enumerate(infos)]
    model, info = joined(Mixed(robust_weight=0.4, standard_size=40), models, infos)
    x = torch.rand(2, 3, 32, 32)
    shown = F.interpolate(x, size=(40, 40), mode="bilinear", align_corners=False)
    wanted = _formula(models[0](shown), models[1](x), Mixed(robust_weight=0.4), 0.4)
    assert info.input_shape == (3, 32, 32)
    assert np.abs(model(x).numpy() - wanted).max() < 1e-4


def test_its_parts_stay_in_evaluation_mode() -> None:
    infos = [parts.CIFAR, parts.CIFAR]
    models = [build(info.architecture, num_classes=10, input_shape=(3, 32, 32)) for info in infos]
    model, _ = joined(Mixed(robust_weight=0.5), models, infos)
    model.train()
    assert not any(module.training for part in models for module in part.modules())
