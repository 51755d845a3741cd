"""Corrupted images: each depends on its image, seed, index, corruption and severity, and on nothing else.

No test here is random: every seed is fixed.
"""

import random
import subprocess
import sys
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radii.rs_core.data.builtin import digits
from radii.rs_core.data.corruption_info import COMMON, VALIDATION, Corrupted, in_a_row
from radii.rs_core.data.corruptions import transforms
from radii.rs_core.data.corruptions.spec import CorruptSpec, parse
from radii.rs_core.data.corruptions.transforms import corrupt_image, images, plan
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidDataset, InvalidSpec, MissingPackage

ALL = (*COMMON, *VALIDATION)
COLOUR = np.random.default_rng(0).integers(40, 216, (3, 32, 32), dtype=np.uint8)
GREY = np.random.default_rng(1).integers(40, 216, (1, 8, 8), dtype=np.uint8)
ELSEWHERE = """
import hashlib, sys
from tests.rs_core.data.corruptions.test_transforms import ALL, made
print(hashlib.sha256(b"".join(made(name) for name in reversed(ALL))).hexdigest())
"""


def made(corruption: str) -> bytes:
    """Both images' bytes under a corruption."""
    return b"".join(corrupt_image(image, corruption, 3, seed=7, index=4).tobytes() for image in (COLOUR, GREY))


def small(images: NDArray[Any], **fields: Any) -> Dataset:
    labels = np.arange(len(images)) % 2
    return Dataset(images=images, labels=labels, class_names=("a", "b"), name="small", **fields)


@pytest.mark.parametrize("corruption", ALL)
def test_an_image_keeps_its_shape_and_type_and_is_changed(corruption: str) -> None:
    for image in (COLOUR, GREY):
        found = corrupt_image(image, corruption, 5, seed=0, index=0)
        assert (found.shape, found.dtype) == (image.shape, np.uint8)
        assert not np.array_equal(found, image)


@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 28, 28), (3, 5, 64), (1, 1, 1)])
def test_sides_need_not_be_equal_or_large(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    for corruption, severity in product(COMMON, (1, 5)):
        assert corrupt_image(image, corruption, severity, seed=0, index=0).shape == shape


def test_equal_keys_give_equal_images_whatever_was_done_before() -> None:
    first = [made(corruption) for corruption in ALL]
    np.random.seed(3)
    random.seed(4)
    assert [made(corruption) for corruption in reversed(ALL)] == first[::-1]


def test_another_process_makes_the_same_images() -> None:
    import hashlib

    here = hashlib.sha256(b"".join(made(name) for name in reversed(ALL))).hexdigest()
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here


@pytest.mark.parametrize(
    "corruption", ["gaussian_noise", "impulse_noise", "glass_blur", "fog", "snow", "elastic_transform"]
)
def test_what_is_random_changes_with_seed_index_and_severity(corruption: str) -> None:
    keys = [(0, 0, 2), (1, 0, 2), (0, 1, 2), (0, 0, 3)]
    found = {corrupt_image(COLOUR, corruption, s, seed=seed, index=index).tobytes() for seed, index, s in keys}
    assert len(found) == len(keys)


def test_the_global_generators_are_where_they_were() -> None:
    np.random.seed(1)
    random.seed(1)
    wanted = np.random.random(3).tolist(), random.random()
    np.random.seed(1)
    random.seed(1)
    for corruption in ALL:
        corrupt_image(GREY, corruption, 1, seed=0, index=0)
    assert (np.random.random(3).tolist(), random.random()) == wanted


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for corruption in ("snow", "zoom_blur"):
        corrupt_image(np.zeros((3, 33, 45), dtype=np.uint8), corruption, 4, seed=0, index=0)
    assert capsys.readouterr().out == ""


def test_the_strengths_are_those_of_imagenet_c() -> None:
    """A grey image keeps all of its noise: the mean of three channels would have 0.58 of it."""
    grey = np.full((1, 64, 64), 128, dtype=np.uint8)
    for severity, sigma in enumerate((0.08, 0.12, 0.18), start=1):
        noise = corrupt_image(grey, "gaussian_noise", severity, seed=0, index=0).astype(float) / 255 - 128 / 255
        assert noise.std() == pytest.approx(sigma, rel=0.05)
    share = np.mean(corrupt_image(grey, "impulse_noise", 5, seed=0, index=0) != 128)
    assert share == pytest.approx(0.27, abs=0.03)
    assert corrupt_image(grey, "brightness", 2, seed=0, index=0)[0, 0, 0] == int(128 + 0.2 * 255)


def test_padding_is_by_the_edge_and_leaves_no_trace_where_pixels_stay_apart() -> None:
    """Contrast looks at the mean of the padded image; brightness at each pixel."""
    wide = np.pad(GREY, ((0, 0), (12, 12), (12, 12)), mode="edge")
    whole = corrupt_image(wide, "contrast", 3, seed=0, index=0)
    assert np.array_equal(whole[:, 12:20, 12:20], corrupt_image(GREY, "contrast", 3, seed=0, index=0))


def test_images_come_group_by_group_and_one_does_not_depend_on_the_others() -> None:
    data = small(np.stack([GREY] * 4))
    spec = CorruptSpec(dataset="-", corruptions=("fog", "snow"), severities=(1, 4), seed=9)
    every = list(images(data, plan(data, spec, "h")))
    some = list(
        images(
            data,
            plan(
                data,
                parse(
                    {
                        "dataset": "-",
                        "corruptions": ["snow"],
                        "severities": [4],
                        "seed": 9,
                        "inputs": {"start": 1, "step": 2},
                    }
                ),
                "h",
            ),
        )
    )
    assert len(every) == 16
    assert [image.tobytes() for image in some] == [every[13].tobytes(), every[15].tobytes()]
    assert every[2].tobytes() == corrupt_image(GREY, "fog", 1, seed=9, index=2).tobytes()


def test_the_plan_says_where_the_images_come_from() -> None:
    found = plan(digits(), CorruptSpec(dataset="digits", severities=(2,), seed=3), "the hash")
    assert [group.corruption for group in found.groups] == list(COMMON)
    assert {group.stop - group.start for group in found.groups} == {1797}
    assert (found.library, found.constants, found.seed, found.clean_hash) == (
        "imagecorruptions-imaug",
        "ImageNet-C",
        3,
        "the hash",
    )
    assert found.padded and found.rounded and found.version


def test_pixels_on_the_grid_are_not_said_to_be_rounded() -> None:
    floats = (np.stack([COLOUR] * 2) / 255).astype(np.float32)
    found = plan(small(floats), CorruptSpec(dataset="-"), "h")
    assert not found.rounded and not found.padded
    first = next(images(small(floats), replace(found, groups=in_a_row([("fog", 2)], 2))))
    assert np.array_equal(first, corrupt_image(COLOUR, "fog", 2, seed=0, index=0))


def test_what_cannot_be_corrupted_is_refused() -> None:
    two = np.zeros((4, 2, 32, 32), dtype=np.uint8)
    with pytest.raises(InvalidDataset, match="1 or 3 channels to corrupt, got 2 channels"):
        plan(small(two), CorruptSpec(dataset="-"), "h")
    again = small(two[:, :1], corrupted=Corrupted(groups=in_a_row([("fog", 1)], 4), constants="ImageNet-C"))
    with pytest.raises(InvalidDataset, match="got one that is corrupted already"):
        plan(again, CorruptSpec(dataset="-"), "h")
    with pytest.raises(InvalidSpec, match="none from index 9 on"):
        plan(small(two[:, :1]), parse({"dataset": "-", "inputs": {"start": 9}}), "h")


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(MissingPackage, match=r"pip install 'radii\[corruptions\]'"):
        corrupt_image(COLOUR, "fog", 1, seed=0, index=0)
    monkeypatch.setattr(transforms, "LIBRARY", "no-such-package")
    with pytest.raises(MissingPackage, match="the package no-such-package, which makes corrupted images"):
        plan(digits(), CorruptSpec(dataset="-"), "h")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"corruptions": ["rain"]}, r"corruptions.0\): expected 'gaussian_noise', .* or 'saturate', got 'rain'\.$"),
        ({"corruptions": []}, "corruptions"),
        ({"corruptions": ["fog", "fog"]}, r"corruptions\): expected at least one, each once, got fog, fog"),
        ({"severities": [0]}, "severities"),
        ({"severities": [2, 2]}, r"severities\): expected at least one, each once, got 2, 2"),
        ({"seed": -1}, "seed"),
        ({"strange": 1}, "strange"),
    ],
)
def test_a_wrong_specification_names_its_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        parse({"dataset": "-"} | fields)


def test_frost_draws_the_five_textures_of_imagenet_c_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package has a sixth, which ImageNet-C does not use. Chi-square of 500 fixed draws, below its 99.9 % quantile."""
    from pathlib import Path

    import cv2
    from scipy.stats import chi2

    seen: list[str] = []

    def read(path: Any) -> NDArray[np.uint8]:
        seen.append(Path(path).name)
        return np.zeros((64, 64, 3), np.uint8)

    monkeypatch.setattr(cv2, "imread", read)
    for index in range(500):
        corrupt_image(COLOUR, "frost", 1, seed=0, index=index)
    counts = {name: seen.count(name) for name in set(seen)}
    assert set(counts) == {"frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"}
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < chi2.ppf(0.999, 4)


def test_images_that_never_had_the_sixth_texture_are_what_they_were() -> None:
    same = 0
    for index in range(30):
        key = transforms._key(1, index, "frost", 2)
        with transforms._seeded(key):
            first = np.random.randint(6)
        same += bool(np.array_equal(transforms._frost_key(1, index, 2), key)) == (first < 5)
    assert same == 30


def test_what_is_made_now_says_its_revision_and_older_records_are_of_the_first() -> None:
    from radii.rs_core.data.corruption_info import from_json, to_json

    found = plan(digits(), CorruptSpec(dataset="digits", severities=(2,), seed=3), "h")
    assert found.revision == 2 and from_json(to_json(found), found.groups[-1].stop, "x") == found
    older = replace(found, revision=1)
    assert "revision" not in to_json(older) and from_json(to_json(older), found.groups[-1].stop, "x") == older
