"""Augmentation: which parts of an image it shows, what their pixels are, and that one stream holds all its draws."""

import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor
from torchvision.transforms import functional as reference

from radii.rs_core.attacks import require_pixels
from radii.rs_core.data.augment import augment, crop_boxes, crop_flip, resized_crop_flip


def _stream(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def _images(count: int, height: int = 20, width: int = 28) -> Tensor:
    return torch.rand(count, 3, height, width, generator=_stream(7))


def test_none_is_the_images_themselves() -> None:
    x = _images(2)
    assert augment(x, "none", _stream()) is x


@pytest.mark.parametrize(("kind", "function"), [("crop_flip", crop_flip), ("resized_crop_flip", resized_crop_flip)])
def test_equal_streams_give_equal_images_and_the_callers_generator_is_left_alone(kind: str, function: object) -> None:
    x, before = _images(5), torch.get_rng_state()
    once, again = augment(x, kind, _stream(1)), augment(x, kind, _stream(1))
    assert torch.equal(once, again) and torch.equal(once, function(x, _stream(1)))  # type: ignore[operator]
    assert once.shape == x.shape
    assert not torch.equal(once, augment(x, kind, _stream(2)))
    assert torch.equal(before, torch.get_rng_state())


def test_crop_and_flip_give_the_draws_that_they_always_gave() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8).expand(3, 1, 8, 8)
    found = crop_flip(image, _stream())[:, 0, 3, 3].tolist()
    assert found == [62.0, 0.0, 14.0]


def test_each_part_is_resized_as_torchvision_does_it() -> None:
    x = _images(40)
    boxes = crop_boxes(40, 20, 28, _stream(3))
    found = resized_crop_flip(x, _stream(3), 9)
    assert found.shape == (40, 3, 9, 9)
    flips = 0
    for image, given, box in zip(x, found, boxes.tolist(), strict=True):
        wanted = reference.resized_crop(image, *box, [9, 9], antialias=True)
        plain, mirrored = torch.equal(given, wanted), torch.equal(given, wanted.flip(-1))
        assert plain or mirrored
        flips += mirrored
    assert 0 < flips < 40  # fails by chance with probability 2 ** -39


def test_white_stays_white_and_can_be_attacked() -> None:
    x = torch.zeros(16, 3, 64, 64)
    for i in range(16):
        x[i, :, i : i + 30, 2 * i : 2 * i + 30] = 1.0
    boxes = crop_boxes(16, 64, 64, _stream(5))
    raw = [
        reference.resized_crop(image, *box, [56, 56], antialias=True)
        for image, box in zip(x, boxes.tolist(), strict=True)
    ]
    assert max(float(image.max()) for image in raw) > 1.0  # else this test says nothing
    require_pixels(resized_crop_flip(x, _stream(5), 56))


def test_parts_lie_in_the_image_and_have_the_published_areas_and_ratios() -> None:
    count, side = 20_000, 1_000
    top, left, height, width = crop_boxes(count, side, side, _stream(4)).T
    assert int(torch.stack([top, left]).min()) >= 0
    assert int((top + height).max()) <= side and int((left + width).max()) <= side
    area, ratio = (height * width / side**2).numpy(), (width / height).log().numpy()
    # The distribution that torchvision draws from, cut to what fits: below 56 % of the area every ratio fits.
    low, high = torch.tensor([3 / 4, 4 / 3]).log().tolist()
    small = area < 0.5
    # False-alarm rate: 1e-6 for each of the three.
    assert kstest((area[small] - 0.08) / 0.42, "uniform").pvalue > 1e-6
    assert kstest((ratio[small] - low) / (high - low), "uniform").pvalue > 1e-6
    free = side - width.numpy()[small]
    assert kstest((left.numpy()[small] + 0.5) / (free + 1), "uniform").pvalue > 1e-6
    assert area.min() > 0.079 and area.max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "box"), [(100, 1, (49, 0, 1, 1)), (2, 90, (0, 43, 2, 3)), (1, 1, (0, 0, 1, 1))]
)
def test_where_no_try_fits_the_middle_is_taken(height: int, width: int, box: tuple[int, ...]) -> None:
    boxes = crop_boxes(50, height, width, _stream())
    assert boxes.tolist().count(list(box)) > 0
    assert bool((boxes[:, 2] >= 1).all()) and bool((boxes[:, 3] >= 1).all())


def test_what_an_image_draws_does_not_depend_on_the_others_tries() -> None:
    # Every image takes the same number of draws, so a stream that has served a batch stands at the same place.
    one, other = _stream(5), _stream(5)
    crop_boxes(8, 20, 28, one), crop_boxes(8, 300, 2, other)
    assert torch.equal(one.get_state(), other.get_state())


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="expected none, crop_flip or resized_crop_flip, got 'mixup'"):
        augment(_images(1), "mixup", _stream())


def test_crops_are_shifts_by_at_most_four_pixels_and_mirror_images() -> None:
    image = torch.arange(1.0, 65.0).view(1, 1, 8, 8)
    padded = torch.nn.functional.pad(image, (4, 4, 4, 4))[0, 0]
    windows = {
        tuple(view.flatten().tolist())
        for top in range(9)
        for left in range(9)
        for view in (padded[top : top + 8, left : left + 8], padded[top : top + 8, left : left + 8].flip(1))
    }
    stream = torch.Generator().manual_seed(0)
    crops = crop_flip(image.expand(300, 1, 8, 8), stream)
    seen = {tuple(crop.flatten().tolist()) for crop in crops}
    assert seen <= windows
    # 162 equally likely views; 300 draws miss a given half of them with probability below 1e-80.
    assert len(seen) > 81
