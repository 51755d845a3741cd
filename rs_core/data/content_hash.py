"""The hash that identifies a data set, over images whose bytes come in pieces. Torch-free."""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.memmap import chunks


class ContentHash:
    """sha256 over labels (N,), class names and images (N, C, H, W) of that ``shape``, uint8 or float32."""

    def __init__(
        self, shape: tuple[int, ...], dtype: str, labels: NDArray[np.int64], class_names: tuple[str, ...]
    ) -> None:
        head: dict[str, Any] = {"dtype": dtype, "shape": shape, "class_names": class_names}
        self._digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode() + b"\n")
        for piece in chunks(labels):
            self._digest.update(piece)

    def update(self, piece: bytes) -> None:
        """The next bytes of the images."""
        self._digest.update(piece)

    def hexdigest(self) -> str:
        """The hash, once all images went in."""
        return self._digest.hexdigest()
