"""Ensembles and denoised classifiers against their formulas, written out a second time."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests_support import parts
from torch import Tensor

from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.composition import Denoised, Ensemble, Mixed

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def _by_hand(model: BaseClassifier, mean: float, std: float, x: Tensor) -> Tensor:
    """The digits network's logits in float64, layer by layer."""
    state = {name: tensor.double() for name, tensor in model.network.state_dict().items()}
    x = (x.double() - mean) / std
    x = F.conv2d(x, state["conv1.weight"], state["conv1.bias"], padding=1).clamp_min(0)
    x = F.conv2d(x, state["conv2.weight"], state["conv2.bias"], padding=1).clamp_min(0)
    x = x.reshape(len(x), 32, 4, 2, 4, 2).amax((3, 5)).flatten(1)
    x = (x @ state["fc1.weight"].T + state["fc1.bias"]).clamp_min(0)
    return x @ state["fc2.weight"].T + state["fc2.bias"]


@torch.no_grad()
def test_an_ensemble_is_the_mean_of_its_parts_each_behind_its_own_normalisation() -> None:
    models, infos = parts.two()
    model, _ = joined(Ensemble(), models, infos)
    wanted = (_by_hand(models[0], 0.0, 1.0, X) + _by_hand(models[1], 0.3, 0.4, X)) / 2
    assert torch.allclose(model(X).double(), wanted, atol=1e-6)
    assert not torch.allclose(model(X), models[0](X), atol=1e-3)


@torch.no_grad()
def test_a_denoised_classifier_is_shown_the_image_without_the_predicted_noise() -> None:
    (denoiser, classifier), infos = parts.denoised()
    model, _ = joined(Denoised(), [denoiser, classifier], infos)
    noise = copy.deepcopy(denoiser.network.dncnn).double()(X.double())
    assert float(noise.abs().mean()) > 0.01
    assert torch.allclose(model(X).double(), _by_hand(classifier, 0.3, 0.4, X.double() - noise), atol=1e-5)


@pytest.mark.parametrize("composition", [Ensemble(), Mixed(robust_weight=0.5)])
@torch.no_grad()
def test_each_image_goes_its_own_way(composition: Ensemble | Mixed) -> None:
    model, _ = joined(composition, *parts.two())
    assert torch.allclose(model(X)[2:3], model(X[2:3]), atol=1e-6)


def test_the_gradient_of_an_ensemble_is_the_mean_of_its_parts_gradients() -> None:
    models, infos = parts.two()
    model, _ = joined(Ensemble(), models, infos)
    x = X.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(x)[:, 3].sum(), x)
    one, other = (torch.autograd.grad(part(x)[:, 3].sum(), x)[0] for part in models)
    assert torch.allclose(found, (one + other) / 2, atol=1e-6)
    assert float(found.abs().max()) > 1e-3
