"""The checks that all image data passes, whatever reads it. Torch-free.

Every reader of files, the stored form, the images of a prediction request, a :class:`Dataset` made in memory and the
images given to :class:`SmoothedClassifier` use these functions, so that the same data is accepted or refused everywhere.
Pixels are checked a few megabytes at a time.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.memmap import ConcatenatedFiles, chunks
from radii.rs_core.errors import InvalidDataset, RadiiError
from radii.rs_core.noise.pixel_grid import GRID, OFF_GRID

PIXEL_TYPES = ("uint8", "float32")
"""How pixels are kept."""
EXPECTED = "float pixels in [0, 1], or pixels as uint8"


def check_images(
    images: NDArray[Any] | ConcatenatedFiles, where: str | None, error: type[RadiiError] = InvalidDataset
) -> bool:
    """Checks the shape, type and values of images; the one check that every reader calls.

    Args:
        images: (N, C, H, W), uint8 or float32 in [0, 1].
        where: the file or argument that the images come from, for the message.
        error: the class of error to raise.

    Returns:
        Whether all pixels are whole multiples of 1/255.
    """
    check_layout(images, where, error)
    return check_pixels(chunks(images), str(images.dtype), where, error)


def check_layout(
    images: NDArray[Any] | ConcatenatedFiles, where: str | None, error: type[RadiiError] = InvalidDataset
) -> None:
    """Raises ``error`` unless ``images`` is (N, C, H, W), not empty, and uint8 or float32."""
    shape, dtype = tuple(images.shape), str(images.dtype)
    if len(shape) != 4 or min(shape) < 1:
        raise error(expected="images of shape (N, C, H, W), at least one", got=f"shape {shape}", where=where)
    if dtype not in PIXEL_TYPES:
        raise error(expected="pixels as uint8, or as float32 in [0, 1]", got=dtype, where=where)


def check_pixels(
    pieces: Iterable[bytes], dtype: str, where: str | None, error: type[RadiiError] = InvalidDataset
) -> bool:
    """Checks pixels that come as little-endian bytes in pieces of any length; returns whether all are on the 8-bit grid.

    Raises ``error`` for pixels that are NaN, infinite or outside [0, 1]. Every value of uint8 is allowed.
    """
    eight_bit = True
    for piece in pieces:
        if dtype != "uint8":
            eight_bit &= _check_floats(np.frombuffer(piece, dtype="<f4"), where, error)
    return eight_bit


def check_range(pixels: NDArray[Any], where: str | None, error: type[RadiiError] = InvalidDataset) -> None:
    """Checks floating-point pixels, of any shape: all must be finite and in [0, 1].

    Args:
        where: The file or argument that they come from, for the message.
        error: The class of error to raise. Its message says what to do about usual other ranges.
    """
    if not pixels.size:
        return
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):
        raise error(expected=EXPECTED, got=_described(pixels, low, high), where=where)


def on_grid(pixels: NDArray[np.float32]) -> bool:
    """Whether pixels in [0, 1] are whole multiples of 1/255, but for rounding; never where one is NaN."""
    steps = pixels * np.float32(GRID)
    return bool(float(np.abs(steps - np.round(steps)).max(initial=0.0)) <= OFF_GRID)


def _check_floats(pixels: NDArray[np.float32], where: str | None, error: type[RadiiError]) -> bool:
    check_range(pixels, where, error)
    return on_grid(pixels)


def _described(pixels: NDArray[Any], low: float, high: float) -> str:
    """What is wrong with the pixels, and the way out where the range is a usual one."""
    bad = int((~np.isfinite(pixels)).sum())
    if bad:
        kind = "NaN" if bool(np.isnan(pixels).any()) else "infinite values"
        return f"{kind} ({bad:,} of {pixels.size:,} values are not finite)"
    found = f"floats from {_number(low)} to {_number(high)}"
    if low >= 0 and 2 < high <= 255:
        return f"{found} (divide them by 255)"
    if low < 0 and max(-low, high) <= 20:
        return f"{found} (give images that are not normalized, and make the normalization the model's first layer)"
    return found


def _number(value: float) -> str:
    """In few digits, but never as the limit that the value is beyond."""
    return f"{value:.9g}" if float(f"{value:g}") in (0.0, 1.0) else f"{value:g}"
