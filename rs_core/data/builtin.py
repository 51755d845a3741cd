"""The dataset that needs no file: 1,797 handwritten digits, 8x8 pixels, ten classes.

They are the test part of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(doi 10.24432/C50P49, CC BY 4.0), in the order of ``sklearn.datasets.load_digits``. ``digits.bin`` holds 65 bytes for each image: 64
grey values from 0 to 16, row by row, and the digit.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset import Dataset

FILE = Path(__file__).with_name("digits.bin")
SIDE = 8
WHITE = 16
"""The largest grey value."""


def digit_pixels() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Grey values (1797, 8, 8) from 0 to 16, and the digits (1797,)."""
    rows = np.frombuffer(FILE.read_bytes(), dtype=np.uint8).reshape(-1, SIDE * SIDE + 1)
    return rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1].astype(np.int64)


def digits() -> Dataset:
    """The digits as a dataset: images (1797, 1, 8, 8) float32 in [0, 1], the grey values over 16."""
    pixels, labels = digit_pixels()
    return Dataset(
        images=(pixels / WHITE).astype(np.float32)[:, None],
        labels=labels,
        class_names=tuple(str(digit) for digit in range(10)),
        name="digits",
        source="digits",
    )


BUILTIN = {"digits": digits}
