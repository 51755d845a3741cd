"""Conversion: the same file as reading and storing gives, and photographs brought to one size as torchvision does it."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from torchvision import transforms

from radii.rs_core.data.convert import convert
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash, open_dataset, save
from radii.rs_core.data.formats.image_files import MAX_RESIZED, Framing
from radii.rs_core.data.load import load, read
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.safetensors_header import metadata

RNG = np.random.default_rng(0)


def _photo(height: int, width: int, *, mode: str = "RGB", kind: str = "PNG") -> bytes:
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


PHOTOS = {
    "cat/1.png": _photo(30, 41),
    "cat/2.jpg": _photo(57, 33, kind="JPEG"),
    "dog/1.png": _photo(24, 24, mode="L"),
    "dog/2.jpg": _photo(35, 90, mode="CMYK", kind="JPEG"),
    "dog/3.png": _photo(31, 30, mode="P"),
}


def _reference(data: bytes, resize: int, crop: int) -> NDArray[np.uint8]:
    """The test pipeline of the public ImageNet code, up to the division by 255."""
    steps = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(crop)])
    return np.asarray(steps(Image.open(io.BytesIO(data)).convert("RGB"))).transpose(2, 0, 1)


@pytest.mark.parametrize(("resize", "crop"), [(26, 24), (24, 24), (64, 21), (9, 8)])
def test_photographs_are_framed_as_torchvision_frames_them(tmp_path: Path, resize: int, crop: int) -> None:
    path = _zip(tmp_path / "a.zip", PHOTOS)
    made = convert([path], tmp_path / "out", framing=Framing(resize=resize, center_crop=crop))
    data = open_dataset(tmp_path / "out")
    assert (made.count, made.shape, made.class_names) == (5, (3, crop, crop), ("cat", "dog"))
    for found, photo in zip(data.images, PHOTOS.values(), strict=True):
        assert np.array_equal(found, _reference(photo, resize, crop))


@pytest.mark.parametrize(
    ("suffix", "framing"),
    [("@26/24", Framing(resize=26, center_crop=24)), ("@/24", Framing(center_crop=24))],
)
def test_the_local_reader_and_the_conversion_agree(tmp_path: Path, suffix: str, framing: Framing) -> None:
    path = _zip(tmp_path / "a.zip", PHOTOS)
    made = convert([path], tmp_path / "out", framing=framing)
    local = load(f"{path}{suffix}")
    assert np.array_equal(open_dataset(tmp_path / "out").images, local.images)
    assert made.content_hash == content_hash(local) == content_hash(tmp_path / "out")


@pytest.mark.parametrize("names", [None, ("dog", "eel", "cat")])
@pytest.mark.parametrize("modes", ["LLL", "RLL", "LLR", "RRR"])
def test_images_written_one_by_one_make_the_file_that_reading_all_of_them_makes(
    tmp_path: Path, modes: str, names: tuple[str, ...] | None
) -> None:
    files = ("cat/1.png", "cat/2.png", "dog/1.png")
    members = {name: _photo(5, 6, mode="RGB" if mode == "R" else "L") for name, mode in zip(files, modes, strict=True)}
    path = _zip(tmp_path / "a.zip", members)
    made = convert([path], tmp_path / "streamed", class_names=names)
    data = read([path], class_names=names)
    save(data, tmp_path / "saved")
    assert (tmp_path / "streamed").read_bytes() == (tmp_path / "saved").read_bytes()
    assert (made.content_hash, made.shape) == (content_hash(data), data.shape)


def test_other_formats_are_converted_too_within_the_limit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((10, 8, 8), np.uint8), labels=np.arange(10))
    made = convert([tmp_path / "a.npz"], tmp_path / "out", limit=640)
    assert (made.content_hash, made.count) == (content_hash(read([tmp_path / "a.npz"])), 10)
    with pytest.raises(InvalidDataset, match="expected at most 10,000,000 images"):
        convert([tmp_path / "a.npz"], tmp_path / "out", limit=639)


def test_the_limit_on_all_images_is_kept_before_any_is_written(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {f"{name}/1.png": _photo(8, 8) for name in "ab"})
    assert convert([path], tmp_path / "out", limit=2 * 8 * 8 * 3 + 200).count == 2
    with pytest.raises(InvalidDataset, match=r"got 2 images of shape \(3, 80, 80\), 0 MiB"):
        convert([path], tmp_path / "none", framing=Framing(resize=80), limit=30_000)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("members", "framing", "sentence"),
    [
        (PHOTOS, Framing(), "; resize and center_crop bring photographs to one size."),
        (PHOTOS, Framing(resize=16), "expected images of one size (height, width), (16, 21) as in cat/1.png"),
        (PHOTOS, Framing(center_crop=32), "got a broken one (30x41 pixels, of which no square of side 32 can be cut)."),
    ],
)
def test_photographs_that_do_not_come_to_one_size_are_refused(
    tmp_path: Path, members: dict[str, bytes], framing: Framing, sentence: str
) -> None:
    with pytest.raises(InvalidDataset) as caught:
        convert([_zip(tmp_path / "a.zip", members)], tmp_path / "out", framing=framing)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("height", "width"), [(1, 20_000), (20_000, 1)])
def test_a_photograph_that_resizing_would_make_huge_is_refused_before_it_is_decoded(
    tmp_path: Path, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _zip(tmp_path / "a.zip", {"cat/1.png": _photo(24, 24), "dog/long.png": _photo(height, width)})
    monkeypatch.setattr(Image.Image, "resize", lambda *_: Image.new("RGB", (4096, 4096)))
    sizes = {1: 4096, 20_000: 81_920_000}
    sentence = (
        "The data set cannot be read (dog/long.png in a.zip): expected at most 134,217,728 pixels in a photograph after "
        f"resize = 4096, got {sizes[height]:,}x{sizes[width]:,}, from {height:,}x{width:,}."
    )
    with pytest.raises(InvalidDataset) as converted:
        convert([path], tmp_path / "out", framing=Framing(resize=4096, center_crop=224))
    with pytest.raises(InvalidDataset) as loaded:
        load(f"{path}@4096/224")
    assert str(converted.value) == str(loaded.value) == sentence


def test_a_photograph_may_have_as_many_pixels_after_resizing_as_the_bound_says() -> None:
    framing = Framing(resize=4096, center_crop=224)
    assert MAX_RESIZED == 4096 * 32_768
    assert framing.size(1, 8) == (224, 224)
    with pytest.raises(InvalidDataset, match=r"got 4,096x36,864, from 1x9"):
        framing.size(1, 9)
    assert Framing(center_crop=224).size(13_000, 13_000) == (224, 224)


def test_framing_is_for_photographs_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8), np.uint8), labels=np.arange(2))
    with pytest.raises(InvalidDataset, match=r"expected a zip of class folders, .*, got the format npz, whose images"):
        convert([tmp_path / "a.npz"], tmp_path / "out", framing=Framing(resize=4))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("names", [("a", "b"), ('"quoted"\\', "ä ☃ 🐈"), ("x" * 200, "\xa0y")])
def test_the_file_is_the_one_that_the_safetensors_package_writes(
    tmp_path: Path, dtype: Any, names: tuple[str, str]
) -> None:
    images = RNG.random((3, 1, 2, 5)).astype(dtype)
    labels = np.array([0, 1, 1])
    save(Dataset(images=images, labels=labels, class_names=names, name="x", source="npz"), tmp_path / "ours")
    body = {"kind": "dataset", "version": 1, "class_names": list(names), "source": "npz"}
    save_file({"images": images, "labels": labels}, tmp_path / "theirs", metadata=metadata(body))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_conversion_holds_a_few_images_at_a_time(tmp_path: Path) -> None:
    # 120 MiB of pixels out of a small zip, with a limit on memory that the pixels alone would break.
    photo = _photo(8, 8)
    path = _zip(tmp_path / "a.zip", {f"{index % 2}/{index}.png": photo for index in range(60)})
    code = (
        "import resource, sys; from pathlib import Path; from radii.rs_core.data.convert import convert\n"
        "from radii.rs_core.data.formats.image_files import Framing\n"
        "from PIL import PngImagePlugin\n"
        "def used(): return int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used() + 60 * 2**20,) * 2)\n"
        "print(convert([Path(sys.argv[1])], Path(sys.argv[2]), framing=Framing(resize=840)).count)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / "out")], capture_output=True)
    assert done.stdout == b"60\n", done.stderr.decode()[-2000:]
    assert (tmp_path / "out").stat().st_size > 120 * 2**20
    (tmp_path / "out").unlink()


def test_a_conversion_waits_for_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=RNG.random((3, 1, 4, 4), dtype=np.float32), labels=np.arange(3))
    code = (
        "import sys; from pathlib import Path; from radii.rs_core.data.convert import convert\n"
        "made = convert([Path(sys.argv[1])], Path(sys.argv[2]))\n"
        "print(made.count, [name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.npz", tmp_path / "out"], capture_output=True, text=True
    )
    assert ran.stdout == "3 []\n", ran.stderr
