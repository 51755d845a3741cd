"""One image file, PNG or JPEG, to pixels: decoding, and bringing photographs to one size. Torch-free.

8-bit greyscale and colour are read, CMYK as Pillow converts it; EXIF rotation is not applied. The steps of
:class:`Framing` are torchvision's ``Resize`` and ``CenterCrop`` on Pillow images, down to their rounding. For training on
ImageNet the original pipeline cuts random parts from the whole photograph, before any resizing; a set that was framed at
256/256 holds the middle square of each at less detail, and random parts are cut from that.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from radii.rs_core.data.dataset_info import Shape
from radii.rs_core.errors import InvalidDataset, RadiiError
from radii.rs_core.exception_text import first_line

FORMATS = ("PNG", "JPEG")
CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3, "PA": 3, "CMYK": 3}
"""By Pillow's mode: 16-bit and floating-point images are not among them."""
MAX_RESIZED = 2**27
"""Pixels of one photograph after resizing and before cropping: a long strip would fill any memory."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What is done to each photograph: first ``resize``, then ``center_crop``; in pixels, ``None`` for neither.

    ``resize`` is the length of the shorter side afterwards (bilinear, antialiased, the ratio kept), ``center_crop`` the
    side of the square that is cut from the middle.
    """

    resize: int | None = None
    center_crop: int | None = None

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width afterwards; ``ValueError`` where the square would not fit.

        Raises :class:`InvalidDataset` where the photograph would have more than ``MAX_RESIZED`` pixels before the crop.
        """
        height, width = self._resized(height, width)
        if self.center_crop is None:
            return height, width
        if self.center_crop > min(height, width):
            raise ValueError(f"{height}x{width} pixels, of which no square of side {self.center_crop} can be cut")
        return self.center_crop, self.center_crop

    def pixels(self, height: int, width: int) -> int:
        """Of a photograph before and after ``resize``, together: what there is to be computed. Raises as :meth:`size` does."""
        resized = prod(self._resized(height, width)) if self.resize is not None else 0
        return height * width + resized

    def apply(self, image: Image.Image) -> Image.Image:
        """The framed image; its mode, "L" or "RGB", stays."""
        height, width = self._resized(image.height, image.width)
        if self.resize is not None:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        if self.center_crop is None:
            return image
        side = self.center_crop
        top, left = round((height - side) / 2), round((width - side) / 2)
        return image.crop((left, top, left + side, top + side))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize is None:
            return height, width
        if height <= width:
            size = self.resize, int(self.resize * width / height)
        else:
            size = int(self.resize * height / width), self.resize
        if size[0] * size[1] > MAX_RESIZED:
            raise InvalidDataset(
                expected=f"at most {MAX_RESIZED:,} pixels in a photograph after resize = {self.resize}",
                got=f"{size[0]:,}x{size[1]:,}, from {height:,}x{width:,}",
            )
        return size


AS_THEY_ARE = Framing()


@contextmanager
def opened_image(data: bytes, where: str) -> Iterator[Image.Image]:
    """The image in a file's bytes, its header read; whatever goes wrong until the block ends is said of ``where``."""
    with _said_of(where):
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.verify()  # checksums and the end of the file, which decoding does not need; it spends the image
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image


def pixels_to_come(file: IO[bytes], where: str, framing: Framing) -> int:
    """How many pixels there are to be decoded and resized, from the header alone."""
    with _said_of(where), Image.open(file, formats=FORMATS) as image:
        return framing.pixels(image.height, image.width)


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    try:
        yield
    except RadiiError as error:
        raise type(error)(expected=error.expected, got=error.got, where=error.where or where) from None
    except Exception as error:  # the decoders raise whatever the bytes led them to
        reason = (
            "something else" if isinstance(error, UnidentifiedImageError) else f"a broken one ({first_line(error)})"
        )
        raise InvalidDataset(expected="a whole PNG or JPEG image", got=reason[:300], where=where) from None


def shape_of(image: Image.Image, framing: Framing) -> Shape:
    """Channels, height and width once it is framed, from its header."""
    if image.mode not in CHANNELS:
        raise ValueError(f"mode {image.mode}; 8-bit greyscale or colour can be read")
    return CHANNELS[image.mode], *framing.size(image.height, image.width)


def pixels(image: Image.Image, framing: Framing) -> NDArray[np.uint8]:
    """Pixels (1 or 3, H, W), framed; an image that is transparent in places is refused."""
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError("it is transparent in places")
    if CHANNELS[image.mode] == 1:
        return np.asarray(framing.apply(image.convert("L")))[None]
    return np.asarray(framing.apply(image.convert("RGB"))).transpose(2, 0, 1)
