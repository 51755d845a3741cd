"""Real files of the field; they lie outside the project, in the folder that RADII_TEST_DATA names."""

import os
from pathlib import Path

import numpy as np
import pytest

from radii.rs_core.data.formats.cifar import CIFAR10
from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import read


@pytest.fixture
def folder() -> Path:
    if "RADII_TEST_DATA" not in os.environ:
        pytest.skip("RADII_TEST_DATA names no folder with mnist/ and cifar10-jpeg/")
    return Path(os.environ["RADII_TEST_DATA"])


def test_the_mnist_test_set_is_what_it_is(folder: Path) -> None:
    paths = [folder / "mnist" / f"t10k-{part}-ubyte.gz" for part in ("labels-idx1", "images-idx3")]
    info, dataset = inspect(paths), read(paths)
    assert (info.count, info.shape, info.num_classes) == (len(dataset), dataset.shape, 10) == (10_000, (1, 28, 28), 10)
    assert np.bincount(dataset.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert dataset.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert abs(float(dataset.images.mean()) / 255 - 0.1325) < 1e-4


def test_a_zip_of_ten_thousand_jpeg_images_is_read(folder: Path) -> None:
    paths = [folder / "cifar10-jpeg" / "test.zip"]
    info, dataset = inspect(paths), read(paths)
    assert (info.count, info.shape, info.class_names) == (len(dataset), dataset.shape, CIFAR10)
    assert (len(dataset), dataset.shape) == (10_000, (3, 32, 32))
    assert np.bincount(dataset.labels).tolist() == [1000] * 10
    assert np.allclose(dataset.images.mean(axis=(0, 2, 3)) / 255, (0.4942, 0.4851, 0.4504), atol=0.01)
