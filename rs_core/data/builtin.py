"""The data set that needs no file: scikit-learn's handwritten digits.

1,797 greyscale images of 8x8, ten classes; the test part of Alpaydin and Kaynak, "Optical Recognition of Handwritten
Digits", UCI Machine Learning Repository, 1998, as ``sklearn.datasets.load_digits`` has it.
"""

import numpy as np

from radii.rs_core.data.dataset import Dataset


def digits() -> Dataset:
    """Images (1797, 1, 8, 8) float32: the grey values 0 to 16, over 16."""
    from sklearn.datasets import load_digits  # a second and more, which other data sets need not take

    bunch = load_digits()
    return Dataset(
        images=(bunch.images / 16).astype(np.float32)[:, None],
        labels=bunch.target.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
        name="digits",
        source="digits",
    )


BUILTIN = {"digits": digits}
