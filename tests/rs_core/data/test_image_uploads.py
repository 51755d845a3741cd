"""Images without labels: told by their content, of the model's shape, and every wrong one ends in a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.pictures import RAMP, zipped
from tests_support.pictures import npz as archived
from tests_support.pictures import png as encoded

from radii.rs_core.data import image_uploads
from radii.rs_core.data.formats import npz
from radii.rs_core.data.formats.image_files import Framing
from radii.rs_core.errors import InvalidImages, Mismatch

GREY, COLOUR = (1, 8, 8), (3, 8, 8)


def read(tmp_path: Path, data: bytes, shape: tuple[int, int, int] = GREY, **more: Any) -> Any:
    path = tmp_path / "body"
    path.write_bytes(data)
    return image_uploads.read(path, shape=shape, most=more.pop("most", 5), **more)


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    images = read(tmp_path, encoded(RAMP))
    assert images.dtype == np.uint8 and (images == RAMP[None, None]).all()


def test_greyscale_fills_three_channels_and_colour_does_not_become_grey(tmp_path: Path) -> None:
    assert (read(tmp_path, encoded(RAMP), COLOUR) == np.stack([RAMP] * 3)[None]).all()
    assert (read(tmp_path, archived(x=RAMP[None]), COLOUR) == np.stack([RAMP] * 3)[None]).all()
    with pytest.raises(Mismatch, match=r"expected images of 1x8x8 .* got one of 3x8x8\."):
        read(tmp_path, encoded(np.stack([RAMP] * 3, axis=-1)))


def test_a_zip_has_its_images_in_the_order_of_their_names(tmp_path: Path) -> None:
    images = read(tmp_path, zipped(b=encoded(RAMP), a__z=encoded(RAMP + 1), a__a=encoded(RAMP + 2)))
    assert images[:, 0, 0, 0].tolist() == [2, 1, 0]


def test_an_archive_needs_no_labels(tmp_path: Path) -> None:
    wanted = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    for arrays in ({"images": wanted}, {"anything": wanted}, {"x": wanted, "y": np.zeros(3, int)}):
        assert (read(tmp_path, archived(**arrays)) == wanted).all()
    assert (read(tmp_path, archived(images=wanted[:, 0])) == wanted).all()


def test_photographs_are_framed_to_the_models_size(tmp_path: Path) -> None:
    large = np.kron(RAMP, np.ones((4, 6), np.uint8))
    framing = Framing(resize=16, center_crop=8)
    assert read(tmp_path, encoded(large, "JPEG"), framing=framing).shape == (1, 1, 8, 8)
    with pytest.raises(Mismatch, match="resize and center_crop bring"):
        read(tmp_path, encoded(large))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "a PNG or JPEG image, a zip"),
        (b"GIF89a", "a PNG or JPEG image, a zip"),
        (encoded(RAMP)[:50], "a whole PNG or JPEG image"),
        (zipped(a=b"no image"), "a whole PNG or JPEG image"),
        (zipped(a=encoded(RAMP))[:60], "a whole zip file"),
        (zipped(), "1 to 5 images"),
        (zipped(**{f"n{number}": encoded(RAMP) for number in range(6)}), "1 to 5 images"),
        (archived(images=np.zeros((6, 8, 8), np.uint8)), "1 to 5 images"),
        (archived(images=np.full((1, 8, 8), 1.5)), "float pixels in"),
        (archived(images=np.full((1, 8, 8), np.nan)), "float pixels in"),
        (archived(images=np.zeros((1, 8, 8), object)), "arrays of numbers"),
        (archived(a=RAMP, b=RAMP), "one array of images"),
        (zipped(**{"..__a": encoded(RAMP)}), "plain image files"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_was_expected(tmp_path: Path, data: bytes, expected: str) -> None:
    with pytest.raises(InvalidImages, match=f"^The images cannot be read.*: expected {expected}"):
        read(tmp_path, data)


def test_files_of_too_many_pixels_are_refused_by_their_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = encoded(np.zeros((8_000, 8_000), np.uint8))

    def decode(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(image_uploads, "_decoded", decode)
    limit = r"expected images of at most 268,435,456 pixels together, .*, got 320,000,000 pixels"
    with pytest.raises(InvalidImages, match=limit):
        read(tmp_path, zipped(**{f"n{number}": blank for number in range(5)}))


def test_pixels_are_counted_as_they_come_and_as_they_are_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    framing, data = Framing(resize=16, center_crop=8), encoded(RAMP)
    monkeypatch.setattr(image_uploads, "MAX_PIXELS", 8 * 8 + 16 * 16)
    assert read(tmp_path, data, framing=framing).shape == (1, 1, 8, 8)
    for body in (zipped(a=data, b=data), encoded(np.kron(RAMP, np.ones((1, 2), np.uint8)))):
        with pytest.raises(InvalidImages, match="at most 320 pixels together"):
            read(tmp_path, body, framing=framing)


def test_an_archive_that_does_not_fit_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(npz, "_load", load)
    with pytest.raises(InvalidImages, match="1 to 5 images in one request"):
        read(tmp_path, archived(images=np.zeros((6, 8, 8), np.uint8)))
    with pytest.raises(Mismatch, match="expected images of 1x8x8"):
        read(tmp_path, archived(images=np.zeros((5, 9, 8), np.uint8)))
