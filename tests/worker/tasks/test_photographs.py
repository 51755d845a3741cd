"""Photographs of different sizes, or shown several times, through the whole service."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests_support.live import running

from radii.service.client.client import Client
from radii.service.client.errors import ApiError

RNG = np.random.default_rng(0)


PHOTOGRAPHS = {"cat/1.jpg": (40, 31), "dog/1.png": (28, 64), "dog/2.png": (25, 25)}
HIDDEN = {".ipynb_checkpoints/1-checkpoint.png": (25, 25)}


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, size in {**PHOTOGRAPHS, **HIDDEN}.items():
            file = io.BytesIO()
            pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file, "PNG" if name.endswith("png") else "JPEG")
            archive.writestr(name, file.getvalue())
    return path


def test_resize_and_center_crop_bring_photographs_to_one_size(tmp_path: Path) -> None:
    photos = _zip(tmp_path / "photos.zip")
    with running(tmp_path / "data", RADII_MAX_DATASET="20000") as (url, _), Client(url) as client:
        made = client.add_dataset("photos", [photos], resize=26, center_crop=24)
        assert (made.count, made.shape, made.class_names) == (3, [3, 24, 24], ["cat", "dog"])
        assert made.source["skipped"] == {"count": 1, "names": list(HIDDEN)}
        assert client.dataset(made.id).source["skipped"]["count"] == 1
        assert (made.source["resize"], made.source["center_crop"]) == (26, 24)
        with pytest.raises(ApiError, match="resize and center_crop bring photographs to one size"):
            client.add_dataset("photos", [photos])
        with pytest.raises(ApiError, match=r"got 3 images of shape \(3, 50, 50\)"):
            client.add_dataset("photos", [photos], resize=50, center_crop=50)
        with pytest.raises(ApiError, match="with files"):
            client.add_dataset("digits", builtin="digits", resize=8)


def test_corrupted_images_from_elsewhere_are_noted_or_declared(tmp_path: Path) -> None:
    labels = np.tile(RNG.integers(0, 3, 40), 5)
    images = RNG.integers(0, 256, (len(labels), 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "corrupted.npz", images=images, labels=labels)
    with running(tmp_path / "data") as (url, _), Client(url) as client:
        made = client.add_dataset("as it is", [tmp_path / "corrupted.npz"])
        assert (made.source["label_period"], made.photographs) == (40, None)
        declared = client.add_dataset("declared", [tmp_path / "corrupted.npz"], photographs=40)
        assert ("label_period" in declared.source, declared.photographs) == (False, 40)
        with pytest.raises(ApiError, match="labels that come again every 30 images"):
            client.add_dataset("wrong", [tmp_path / "corrupted.npz"], photographs=30)
