"""The estimate of how long corrupting images takes."""

import time

import numpy as np
import pytest

from radii.rs_core.data.corruption_info import COMMON, VALIDATION
from radii.rs_core.data.corruptions.estimates import MILLISECONDS, seconds


def test_every_corruption_has_a_time_which_does_not_fall_with_the_size() -> None:
    assert tuple(MILLISECONDS) == (*COMMON, *VALIDATION)
    assert all(0 < small <= large for small, large in MILLISECONDS.values())


def test_it_is_the_table_at_its_two_sizes_and_between_them_in_between() -> None:
    assert seconds(["fog"], 1000, (32, 32)) == pytest.approx(MILLISECONDS["fog"][0])
    assert seconds(["fog"], 1000, (224, 224)) == pytest.approx(MILLISECONDS["fog"][1])
    assert seconds(["fog"], 1000, (32, 32)) < seconds(["fog"], 1000, (96, 96)) < seconds(["fog"], 1000, (224, 224))
    assert seconds(["fog"] * 5, 2, (224, 224)) == pytest.approx(10 * seconds(["fog"], 1, (224, 224)))


def test_what_is_padded_takes_as_long_as_what_it_is_padded_to() -> None:
    assert seconds(["snow"], 7, (8, 8)) == seconds(["snow"], 7, (32, 32))


def test_it_is_of_the_size_of_what_is_measured() -> None:
    """By a factor of twenty either way, since machines differ and other work may share this one."""
    corruptions = pytest.importorskip("radii.rs_core.data.corruptions.transforms")
    image = np.random.default_rng(0).integers(0, 256, (3, 224, 224), dtype=np.uint8)
    corruptions.corrupt_image(image, "zoom_blur", 3, seed=0, index=0)
    begun = time.process_time()
    for index in range(3):
        corruptions.corrupt_image(image, "zoom_blur", 3, seed=0, index=index)
    measured = time.process_time() - begun
    assert measured / 20 < seconds(["zoom_blur"], 3, (224, 224)) < measured * 20
