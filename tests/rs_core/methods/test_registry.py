"""What the table says of a method is what its loss does: the passes over each image, counted as they happen."""

from typing import Any

import pytest
import torch
from tests_support.losses import images, implemented, labels_for, network, step
from torch import Tensor, nn

from radii.rs_core.methods.registry import METHODS, method
from radii.rs_core.specs.jobs import (
    AdaptiveSmoothing,
    AttackFirst,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    SmoothAdv,
    SmoothMix,
    Stability,
)

METHODS_HERE: dict[str, Any] = {
    "gaussian": Gaussian(),
    "stability": Stability(),
    "smoothadv": SmoothAdv(m=3, steps=4),
    "smoothadv, ddn": SmoothAdv(m=2, steps=3, attack="ddn"),
    "smoothadv, one copy": SmoothAdv(m=3, steps=2, copies="one"),
    "macer": Macer(m=5),
    "consistency": Consistency(m=2),
    "consistency, attack": Consistency(m=3, attack=AttackFirst(steps=2)),
    "smoothmix": SmoothMix(m=2, steps=3),
    "cat_rs": CatRs(m=2, steps=3, masked_attacks="all"),
    "adaptive_smoothing": AdaptiveSmoothing(extra_clean=2, attacked=2, steps=3, step_count="fixed"),
}


def test_every_method_is_here() -> None:
    assert {hp.name for hp in METHODS_HERE.values()} == set(METHODS)


@pytest.mark.parametrize("name", METHODS_HERE)
def test_passes_are_those_that_the_loss_makes(name: str) -> None:
    hp, model, counted = METHODS_HERE[name], network(), {"full": 0, "input": 0}

    def count(module: nn.Module, inputs: tuple[Tensor]) -> None:
        counted["full" if module.training else "input"] += len(inputs[0])
        assert torch.is_grad_enabled()

    model.register_forward_pre_hook(count)
    implemented(hp, model, images(), labels_for(hp), step())
    assert (counted["full"] / 5, counted["input"] / 5) == method(hp.name).passes(hp)
