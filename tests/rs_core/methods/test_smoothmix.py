"""SmoothMix in special cases: no step, early iterates, and the radius that holds them.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

import pytest
import torch
from tests_support.losses import (
    CLASSES,
    SIGMA,
    Recorded,
    assert_same,
    images,
    labels,
    network,
    step,
    terms,
)

from radii.rs_core.noise.streams import draw
from radii.rs_core.specs.jobs import SmoothMix


def test_without_a_step_the_mix_is_the_image_drawn_towards_less_confidence() -> None:
    """T = 0: nothing to mix with, so the second term only pulls the prediction towards a part of uniform."""
    hp = SmoothMix(m=3, steps=0, eta=4.0)
    model = Recorded(network())
    found = terms(hp, model=model)
    natural, mixed = model.learned()
    assert torch.allclose(mixed, natural, atol=1e-12), "the mix is the image, under the same noises"
    stream = step().generator
    draw(images(), 3, SIGMA, stream)
    ratio = (torch.rand(5, generator=stream) / 2).double()[:, None]
    with torch.no_grad():
        prediction = network()(natural).softmax(1).view(3, 5, CLASSES)
    target = (1 - ratio) * prediction.mean(0) + ratio / CLASSES
    right = prediction.mean(0).argmax(1) == labels()
    divergence = (target * (target.log() - prediction.log())).sum(2) * right
    assert found.parts["mixup"].item() == pytest.approx(divergence.mean().item(), rel=1e-6)
    each_copy = terms(SmoothMix(m=3, steps=0, eta=0.0)).total
    assert found.total.item() == pytest.approx(each_copy.item() + 4.0 * divergence.mean().item(), rel=1e-6)


@pytest.mark.parametrize("mix_step", [2, 3, 10])
def test_an_iterate_that_is_not_before_the_last_step_stays_the_image(mix_step: int) -> None:
    assert_same(SmoothMix(steps=2, mix_step=mix_step), SmoothMix(steps=2))


def test_the_first_iterate_stands_in_for_the_image_in_both_losses() -> None:
    hp = SmoothMix(m=1, steps=3, step_size=0.4, mix_step=1, one_step_radius="full")
    model = Recorded(network())
    terms(hp, model=model)
    noise = draw(images(), 1, SIGMA, step().generator)[0]
    natural, mixed = (shown - noise for shown in model.learned())
    moved = (natural - images()).flatten(1).norm(dim=1)
    assert ((moved > 0.1) & (moved <= 0.4 + 1e-6)).all()
    assert natural.min() >= -1e-6 and natural.max() <= 1 + 1e-6
    assert ((mixed - natural).flatten(1).norm(dim=1) <= 0.5 * 2 * 0.4 + 1e-6).all(), "half way at most, two steps on"


def test_the_radius_of_the_first_iterate_follows_the_warm_up_unless_it_is_full() -> None:
    warmed_up, full = (SmoothMix(steps=2, mix_step=1, step_size=0.4, one_step_radius=r) for r in ("warmed_up", "full"))  # type: ignore[arg-type]
    assert_same(warmed_up, full, epoch=9)
    moved = []
    for hp in (warmed_up, full):
        model = Recorded(network())
        terms(hp, model=model, epoch=0)
        at = model.learned()[0].view(2, 5, 2, 6, 6) - draw(images(), 2, SIGMA, step(epoch=0).generator)
        moved.append((at[0] - images()).flatten(1).norm(dim=1).max().item())
    assert moved[0] == pytest.approx(0.04, rel=1e-5)
    assert 0.3 < moved[1] <= 0.4 + 1e-6, "the ball of the first epoch would hold it to a tenth of that"
