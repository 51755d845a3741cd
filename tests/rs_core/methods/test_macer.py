"""MACER in special cases: what deferral, the mask and the quantile function leave of its robustness loss.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

import pytest
import torch
from tests_support.losses import (
    CLASSES,
    FIRST_DROP,
    assert_same,
    constant,
    images,
    implemented,
    measure,
    step,
    terms,
)
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.methods.registry import loss_function
from radii.rs_core.specs.jobs import Macer


def test_before_the_first_drop_deferred_macer_only_classifies() -> None:
    deferred, classifies = Macer(m=4, deferred=True), Macer(m=4, weight=0.0)
    assert_same(deferred, classifies, epoch=0)
    assert_same(deferred, classifies, epoch=FIRST_DROP - 1)
    assert_same(deferred, Macer(m=4), epoch=FIRST_DROP)
    assert terms(deferred, epoch=FIRST_DROP).total > terms(deferred, epoch=0).parts["classification"]


@pytest.mark.parametrize(
    ("logits", "label"),
    [([40.0, 0.0, 0.0, 0.0, 0.0], 0), ([0.0, 1.0, 0.0, 0.0, 0.0], 0), ([9.0, 0.0, 0.0, 0.0, 0.0], 1)],
    ids=["p1 rounds to 1", "misclassified", "both"],
)
def test_where_macer_keeps_no_image_the_robustness_loss_and_its_gradient_are_zero(
    logits: list[float], label: int
) -> None:
    y, x = torch.full((5,), label), images(dtype=torch.float32)
    model = constant(logits).float()
    found = loss_function("macer")(Macer(m=2), model, x, y, step())
    assert found.parts["robustness"] == 0
    got = measure(implemented, Macer(m=2), model=constant(logits).float(), x=x, y=y)
    wanted = measure(implemented, Macer(m=2, weight=0.0), model=constant(logits).float(), x=x, y=y)
    assert torch.isfinite(got.gradient).all()
    assert torch.equal(got.gradient, wanted.gradient)


class ByBrightness(nn.Module):
    """Bright images have an overwhelming logit for class 0, dark ones a slight preference for it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        bright = (x.mean((1, 2, 3)) > 0.5).float()
        return self.scale * (bright * 100 + 0.02)[:, None] * F.one_hot(torch.tensor(0), CLASSES)


def test_an_infinite_quantile_of_one_image_leaves_the_gradient_of_another_alone() -> None:
    x = torch.stack([torch.ones(2, 6, 6), torch.zeros(2, 6, 6)])
    y = torch.zeros(2, dtype=torch.long)
    both = measure(implemented, Macer(m=2), model=ByBrightness(), x=x, y=y)
    one = measure(implemented, Macer(m=2), model=ByBrightness(), x=x[1:], y=y[1:])
    assert both.gradient.item() != 0
    assert both.gradient.item() == pytest.approx(one.gradient.item() / 2, rel=1e-5), "summed, then over both images"
