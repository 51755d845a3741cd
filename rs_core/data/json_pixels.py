"""Images as JSON: nested lists of pixels. Torch-free.

Parsing takes some twenty times as much memory as the text, and holds the interpreter's lock. Call it in a process of its
own for text of strangers, as :func:`radii.rs_core.data.image_uploads.read` is called.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from radii.rs_core.data.image_checks import check_range
from radii.rs_core.errors import InvalidImages

LISTS = "JSON with nested lists of pixels in [0, 1]: one image (channels, height, width), or a list of them"


def read_lists(text: bytes) -> NDArray[np.float32]:
    """Images (N, C, H, W) in [0, 1] from JSON.

    Args:
        text: One image as lists (C, H, W) of numbers, or a list of such images.

    Raises:
        InvalidImages: The text is something else.
    """
    try:
        found = from_json(text, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise InvalidImages(expected=LISTS, got=f"something else ({error})"[:200]) from None
    if not isinstance(found, list):
        raise InvalidImages(expected=LISTS, got="an object" if isinstance(found, dict) else "no list")
    try:
        images = np.asarray(found)
    except ValueError:
        raise InvalidImages(expected=LISTS, got="lists that are not of one length") from None
    numbers = images.dtype.kind in "iuf"
    if not numbers or images.ndim not in (3, 4) or images.size == 0:
        kind = "numbers" if numbers else "something else"
        raise InvalidImages(expected=LISTS, got=f"lists of shape {images.shape} of {kind}")
    check_range(images, None, InvalidImages)
    return (images if images.ndim == 4 else images[None]).astype(np.float32)
