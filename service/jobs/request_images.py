"""A request's images as numbers. They are read in a confined process, JSON as well as files of images."""

from math import prod
from typing import Any

from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import Shape
from radii.rs_core.data.json_pixels import LISTS
from radii.rs_core.errors import InvalidImages
from radii.service.errors import UnsupportedMedia
from radii.worker.sandbox.decoder_client import Decoder

MOST_NUMBERS = 2**26
"""Pixel values of the images of one request: 256 MiB as float32."""


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

    There are at most ``most`` of them, fewer where the images are so large that more than ``MOST_NUMBERS`` would be held here.
    JSON is recognized by its type, or by how it begins: as no file of images does.
    """
    if content_type.partition(";")[0].strip().lower() == "application/json" or body.lstrip()[:1] in (b"[", b"{"):
        body = body.lstrip()
        if body[:1] != b"[":
            raise InvalidImages(expected=LISTS, got="an object" if body[:1] == b"{" else "no list")
    most = min(most, max(1, MOST_NUMBERS // prod(shape)))
    return decoder.decode(body, shape=shape, most=most, resize=resize, center_crop=center_crop)
