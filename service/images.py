"""A request's images as numbers. What has to be decoded goes to a confined process; JSON is read here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from rs_core.data import pictures
from rs_core.data.info import Shape
from rs_core.errors import InvalidImages
from service.errors import UnsupportedMedia
from worker.decoding import Decoder

LISTS = "JSON with nested lists of pixels in [0, 1]: one image (channels, height, width), or a list of them"


def check_media(content_type: str) -> None:
    """Raises :class:`UnsupportedMedia`."""
    if content_type.lower().startswith("multipart/"):
        raise UnsupportedMedia(expected="the images' bytes as the request's body", got=content_type[:100])


def read(
    body: bytes,
    content_type: str,
    decoder: Decoder,
    *,
    shape: Shape,
    most: int,
    resize: int | None = None,
    center_crop: int | None = None,
) -> NDArray[Any]:
    """Images (N, C, H, W) of ``shape``, uint8 or float32 in [0, 1]. Raises :class:`InvalidImages` or :class:`Mismatch`.

    JSON is told by its type, or by how it begins: as no file of images does.
    """
    if content_type.partition(";")[0].strip().lower() == "application/json" or body.lstrip()[:1] in (b"[", b"{"):
        return from_lists(body, shape=shape, most=most)
    return decoder.decode(body, shape=shape, most=most, resize=resize, center_crop=center_crop)


def from_lists(body: bytes, *, shape: Shape, most: int) -> NDArray[np.float32]:
    """The same from JSON."""
    try:
        found = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise InvalidImages(expected=LISTS, got=f"something else ({error})"[:200]) from None
    if not isinstance(found, list):
        raise InvalidImages(expected=LISTS, got="an object" if isinstance(found, dict) else "no list")
    try:
        images = np.asarray(found)
    except ValueError:
        raise InvalidImages(expected=LISTS, got="lists that are not of one length") from None
    if images.dtype.kind not in "iuf" or images.ndim not in (3, 4) or images.size == 0:
        raise InvalidImages(expected=LISTS, got=f"lists of shape {images.shape} of {_kind(images)}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InvalidImages(expected="pixels in [0, 1]", got=f"pixels from {low:g} to {high:g}")
    several = images if images.ndim == 4 else images[None]
    return pictures.fitting(several.astype(np.float32), shape, most)


def _kind(images: NDArray[Any]) -> str:
    return "numbers" if images.dtype.kind in "iuf" else "something else"
