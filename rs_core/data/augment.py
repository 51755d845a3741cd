"""Augmentation of one batch of images in [0, 1], each kind with all its draws from one stream.

``crop_flip`` is the CIFAR recipe of He et al. 2015 (arXiv 1512.03385, section 4.2); ``resized_crop_flip`` the ImageNet
one of Szegedy et al. 2014 (arXiv 1409.4842, section 6) in the numbers of torchvision's ``RandomResizedCrop``. Noise is
added after, by the training method. Which stream belongs to which batch is ``loader``'s business.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

AREA = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10


def augment(x: Tensor, kind: str, stream: Generator, size: int | None = None) -> Tensor:
    """(B, C, H, W) -> the same, or (B, C, size, size) for ``resized_crop_flip``; ``none`` gives ``x`` itself.

    ``kind`` is one of ``TrainSpec.augmentation``; ``stream`` is a CPU generator. ``size`` in pixels.
    """
    if kind == "none":
        return x
    if kind == "crop_flip":
        return crop_flip(x, stream)
    if kind == "resized_crop_flip":
        return resized_crop_flip(x, stream, size)
    raise ValueError(f"expected none, crop_flip or resized_crop_flip, got {kind!r}")


def crop_flip(x: Tensor, stream: Generator) -> Tensor:
    """Random crops after 4 pixels of zero padding, then mirror images with p = 1/2: (B, C, H, W) -> the same."""
    count, _, height, width = x.shape
    padded = F.pad(x, (4, 4, 4, 4))
    top, left = (torch.randint(0, 9, (count, 1), generator=stream) for _ in range(2))
    flip = torch.randint(0, 2, (count, 1), generator=stream).bool()
    rows = top + torch.arange(height)
    columns = left + torch.where(flip, torch.arange(width).flip(0), torch.arange(width))
    image = torch.arange(count)[:, None, None]
    cropped = padded.permute(0, 2, 3, 1)[image, rows[:, :, None].to(x.device), columns[:, None, :].to(x.device)]
    return cropped.permute(0, 3, 1, 2).contiguous()


def resized_crop_flip(x: Tensor, stream: Generator, size: int | None = None) -> Tensor:
    """Of each image a random part, resized, then a mirror image with p = 1/2.

    (B, C, H, W) -> (B, C, size, size), or (B, C, H, W) where no size is given. Resizing is bilinear with antialiasing.
    """
    count, _, height, width = x.shape
    side = (height, width) if size is None else (size, size)
    boxes = crop_boxes(count, height, width, stream)
    flips = torch.randint(0, 2, (count,), generator=stream).bool().tolist()
    parts = [
        resized(image[:, top : top + h, left : left + w], side)
        for image, (top, left, h, w) in zip(x, boxes.tolist(), strict=True)
    ]
    return torch.stack([part.flip(-1) if flip else part for part, flip in zip(parts, flips, strict=True)])


def crop_boxes(count: int, height: int, width: int, stream: Generator) -> Tensor:
    """``count`` random parts of an image, int64 (B, 4): top, left, height, width.

    A part has 8 % to 100 % of the area, uniformly, and a ratio of width to height in [3/4, 4/3], uniformly in its
    logarithm. Of ten tries the first that fits counts; where none does, it is the largest part in the middle with a
    ratio in that range. Every image takes the same number of draws, whichever try fits.
    """
    low, high = torch.tensor(RATIO, dtype=torch.float64).log()
    area = AREA[0] + (AREA[1] - AREA[0]) * _uniform(stream, count, TRIES)
    ratio = (low + (high - low) * _uniform(stream, count, TRIES)).exp()
    place = _uniform(stream, count, 2)
    w = (height * width * area * ratio).sqrt().round().long()
    h = (height * width * area / ratio).sqrt().round().long()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.long().argmax(1, keepdim=True)
    h, w = h.gather(1, first)[:, 0], w.gather(1, first)[:, 0]
    top, left = (place[:, 0] * (height - h + 1)).long(), (place[:, 1] * (width - w + 1)).long()
    found = torch.stack([top, left, h, w], dim=1)
    return torch.where(fits.any(1, keepdim=True), found, torch.tensor(_middle(height, width)))


def resized(image: Tensor, side: tuple[int, int]) -> Tensor:
    """(C, h, w) in [0, 1] -> (C, *side): bilinear with antialiasing, as torchvision's ``resize`` does to a tensor.

    The weights of a pixel add up to 1 only to float32, so that white areas would come out a little whiter than white.
    """
    found = F.interpolate(image[None], size=side, mode="bilinear", align_corners=False, antialias=True)[0]
    return found.clamp(0.0, 1.0)


def _uniform(stream: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=stream, dtype=torch.float64)


def _middle(height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height, width of the largest part in the middle whose ratio is allowed."""
    low, high = RATIO
    h, w = height, width
    if width / height < low:
        h = min(height, max(1, round(width / low)))
    elif width / height > high:
        w = min(width, max(1, round(height * high)))
    return (height - h) // 2, (width - w) // 2, h, w
