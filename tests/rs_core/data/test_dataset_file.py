"""The stored form: equal bytes for equal sets, mapped when opened, one hash whatever the format was."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from radii.rs_core.data import memmap
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash, on_8_bit_grid, open_dataset, save
from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import load, read
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.safetensors_header import metadata

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6), dtype=np.uint8)
LABELS = np.array([0, 1, 1, 2])


def dataset(images: NDArray[Any] = PIXELS, name: str = "a", source: str = "npz") -> Dataset:
    return Dataset(images=images, labels=LABELS, class_names=("cat", "dog", "eel"), name=name, source=source)


@pytest.mark.parametrize("images", [PIXELS, PIXELS.astype(np.float32) / 255], ids=["uint8", "float32"])
def test_what_is_saved_is_what_is_opened(tmp_path: Path, images: NDArray[Any]) -> None:
    before = dataset(images)
    save(before, tmp_path / "x.safetensors")
    after = open_dataset(tmp_path / "x.safetensors")
    assert np.array_equal(after.images, images)
    assert after.images.dtype == images.dtype
    assert after.labels.tolist() == LABELS.tolist()
    assert (after.class_names, after.source, after.name) == (before.class_names, "npz", "x")
    assert torch.equal(after.image(2), before.image(2))
    assert all(torch.equal(a, b) for a, b in zip(after.batch([3, 0]), before.batch([3, 0]), strict=True))


def test_images_are_mapped_and_not_read(tmp_path: Path) -> None:
    save(dataset(), tmp_path / "x.safetensors")
    opened = open_dataset(tmp_path / "x.safetensors")
    assert isinstance(opened.images, np.memmap)
    assert read([tmp_path / "x.safetensors"]).source == "npz"
    assert not opened.images.flags.writeable


def test_the_header_alone_tells_what_is_inside(tmp_path: Path) -> None:
    save(dataset(), tmp_path / "x.safetensors")
    info = inspect([tmp_path / "x.safetensors"])
    assert (info.format, info.count, info.shape, info.dtype) == ("safetensors", 4, (3, 5, 6), "uint8")
    assert info.class_names == ("cat", "dog", "eel")


def test_equal_sets_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from radii.rs_core.data.dataset_file import open_dataset, save; "
        "save(open_dataset(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    first, second = tmp_path / "1", tmp_path / "2"
    save(dataset(name="mine"), first)
    subprocess.run([sys.executable, "-c", code, str(first), str(second)], check=True)
    assert first.read_bytes() == second.read_bytes()


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def test_the_hash_is_of_the_data_and_not_of_the_format(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS, class_names=np.array(["cat", "dog", "eel"]))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        for index, name in enumerate(("cat/1.png", "dog/1.png", "dog/2.png", "eel/1.png")):
            file.writestr(name, png(PIXELS[index]))
    save(dataset(), tmp_path / "c.safetensors")
    hashes = {content_hash(read([tmp_path / name])) for name in ("a.npz", "b.zip", "c.safetensors")}
    assert hashes == {content_hash(tmp_path / "c.safetensors")} == {content_hash(dataset())}
    assert len(hashes.pop()) == 64


def test_the_hash_is_fixed_for_all_time() -> None:
    assert content_hash(load("digits")) == "432be8cb2decde99d2df8f07bc5e0ce4875bf7ccaf121bc0ab2c000bce33e8c7"


@pytest.mark.parametrize(
    "change",
    [
        {"images": PIXELS ^ (np.arange(PIXELS.size).reshape(PIXELS.shape) == 17)},
        {"images": PIXELS.reshape(4, 3, 6, 5)},
        {"images": PIXELS.astype(np.float32)},
        {"labels": np.array([0, 1, 2, 1])},
        {"class_names": ("cat", "dog", "fox")},
        {"class_names": ("cat", "dog", "eel", "fox")},
    ],
    ids=["a bit", "the shape", "the type", "labels", "a name", "a class"],
)
def test_the_hash_changes_with_everything_that_counts(change: dict[str, Any]) -> None:
    assert content_hash(replace(dataset(), **change)) != content_hash(dataset())


def test_the_hash_does_not_change_with_names_of_files_or_layout_in_memory() -> None:
    assert content_hash(dataset(np.asfortranarray(PIXELS), name="b", source="zip")) == content_hash(dataset())


def test_the_hash_does_not_depend_on_how_much_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content_hash(dataset())
    monkeypatch.setattr(memmap, "CHUNK", 100)
    assert content_hash(dataset()) == whole


def sentence(path: Path) -> str:
    with pytest.raises(InvalidDataset) as caught:
        open_dataset(path)
    return str(caught.value).removeprefix("The data set cannot be read (x): ")


GOOD = {"kind": "dataset", "version": 1, "class_names": ["cat", "dog", "eel"], "source": "npz"}
TENSORS = "expected images (N, C, H, W) of type U8 or F32 and labels (N,) of type I64, got "


@pytest.mark.parametrize(
    ("tensors", "body", "expected"),
    [
        (
            {},
            {"kind": "checkpoint"},
            "expected a data set stored by this software, version 1, got kind 'checkpoint', version None.",
        ),
        ({}, GOOD | {"version": 2}, "got kind 'dataset', version 2."),
        ({}, {}, "got a safetensors file without its metadata."),
        ({"labels": LABELS.astype(np.int32)}, GOOD, TENSORS + "{'labels': ('I32', 1), 'images': ('U8', 4)}."),
        ({"images": PIXELS[:, 0]}, GOOD, TENSORS + "{'labels': ('I64', 1), 'images': ('U8', 3)}."),
        ({"more": LABELS}, GOOD, "'more': ('I64', 1), 'images': ('U8', 4)}."),
        ({"labels": LABELS[:3]}, GOOD, "expected 4 labels, one per image, got 3."),
        (
            {"labels": LABELS + 1},
            GOOD,
            "expected labels from 0 to 2, got labels from 1 to 3, the first outside at index 3.",
        ),
        ({}, GOOD | {"class_names": "cat"}, "expected class names as texts, got 'cat'."),
    ],
)
def test_a_file_that_is_not_ours_is_refused(
    tmp_path: Path, tensors: dict[str, NDArray[Any]], body: dict[str, Any], expected: str
) -> None:
    save_file({"images": PIXELS, "labels": LABELS} | tensors, tmp_path / "x", metadata=metadata(body) if body else None)
    assert sentence(tmp_path / "x").endswith(expected)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    save(dataset(), tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[:-1])
    assert (
        sentence(tmp_path / "x")
        == "expected 392 bytes of tensors, as the header says, got 391, so the file is cut short."
    )
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["images"]["dtype"] == "U8"


def test_images_on_the_8_bit_grid_are_told_from_others(tmp_path: Path) -> None:
    for pixels, on_grid in (
        (np.arange(48, dtype=np.uint8), True),
        (np.arange(48, dtype=np.float32) / np.float32(255), True),
        (np.arange(48, dtype=np.float32) / np.float32(64), False),
    ):
        images = pixels.reshape(3, 1, 4, 4)
        data = Dataset(images=images, labels=np.array([0, 1, 0]), class_names=("a", "b"), name="x", source="npz")
        assert on_8_bit_grid(data) is on_grid
        save(data, tmp_path / "x.safetensors")
        assert on_8_bit_grid(tmp_path / "x.safetensors") is on_grid
