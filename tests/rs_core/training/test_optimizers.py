"""The optimisers: AdamW's step written out, clipping, and what they remember."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.training.optimizers import descend, optimizer_of, remembered, remind

TARGET = torch.tensor([[3.0, -4.0]])


def _spec(**changes: Any) -> TrainSpec:
    return TrainSpec(dataset="d", architecture="lenet", sigma=0.25, **changes)


def _module() -> nn.Linear:
    module = nn.Linear(2, 1, bias=False)
    module.weight.data[:] = torch.tensor([[1.0, 2.0]])
    return module


def _loss(module: nn.Linear) -> Tensor:
    """Its gradient is ``TARGET``, whatever the weights are."""
    return (module.weight * TARGET).sum()


def test_adamw_takes_decoupled_decay_and_a_step_of_the_rate_in_each_weight_at_first() -> None:
    """With bias correction, the first step is rate * sign(gradient), beside rate * weight_decay * weight."""
    module, spec = _module(), _spec(optimizer="adamw", weight_decay=0.5)
    optimizer = optimizer_of(spec, module)
    descend(optimizer, _loss(module), 0.1)
    assert module.weight.tolist() == [pytest.approx([1.0 * 0.95 - 0.1, 2.0 * 0.95 + 0.1], rel=1e-6)]
    descend(optimizer, _loss(module), 0.0)
    assert module.weight.tolist() == [pytest.approx([0.85, 2.0], rel=1e-6)], "the rate is the step's own"


@pytest.mark.parametrize(("clip_norm", "moved"), [(None, 5.0), (10.0, 5.0), (2.0, 2.0)])
def test_a_gradient_longer_than_clip_norm_is_shortened_to_it(clip_norm: float | None, moved: float) -> None:
    module = _module()
    before = module.weight.detach().clone()
    optimizer = optimizer_of(_spec(momentum=0.0, weight_decay=0.0), module)
    descend(optimizer, _loss(module), 1.0, clip_norm)
    step = before - module.weight.detach()
    assert step.norm().item() == pytest.approx(moved, rel=1e-5)
    assert torch.allclose(step / step.norm(), TARGET / 5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_an_optimiser_that_is_reminded_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    module, spec = _module(), _spec(optimizer=name)
    optimizer = optimizer_of(spec, module)
    for rate in (0.1, 0.2):
        descend(optimizer, module(torch.ones(1, 2)).square().sum(), rate)
    kept = {name: tensor.clone() for name, tensor in remembered(optimizer, module).items()}
    weights = module.weight.detach().clone()
    descend(optimizer, module(torch.ones(1, 2)).square().sum(), 0.3)

    again = _module()
    again.weight.data[:] = weights
    other = optimizer_of(spec, again)
    remind(other, again, kept | {"model.weight": weights})
    descend(other, again(torch.ones(1, 2)).square().sum(), 0.3)
    assert torch.equal(again.weight, module.weight)
    names = {"sgd": {"momentum.weight"}, "adamw": {"mean.weight", "square.weight", "steps.weight"}}
    assert set(kept) == names[name]
