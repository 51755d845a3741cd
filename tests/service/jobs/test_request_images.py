"""Images of a request: how many of them are held in memory."""

from typing import Any

import numpy as np
import pytest

from radii.service.jobs import request_images


class Asked:
    """Stands for a decoder; tells what it was asked for."""

    def decode(self, _: bytes, **asked: Any) -> np.ndarray[Any, Any]:
        self.most = asked["most"]
        return np.zeros((1, *asked["shape"]), np.uint8)


@pytest.mark.parametrize(
    ("shape", "most"), [((3, 32, 32), 100), ((3, 224, 224), 100), ((3, 1_024, 1_024), 21), ((3, 8_192, 8_192), 1)]
)
def test_fewer_large_images_are_taken_than_small_ones(shape: tuple[int, int, int], most: int) -> None:
    decoder = Asked()
    request_images.read(b"bytes", "image/png", decoder, shape=shape, most=100)  # type: ignore[arg-type]
    assert decoder.most == most
