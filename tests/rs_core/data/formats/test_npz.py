"""NumPy archives: layouts, types, and every refusal with its sentence."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radii.rs_core.data.convert import convert
from radii.rs_core.data.formats import npy, npz
from radii.rs_core.data.ignored_files import SkippedMembers
from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import read
from radii.rs_core.errors import InvalidDataset

PIXELS = np.arange(4 * 3 * 5 * 6, dtype=np.uint8).reshape(4, 3, 5, 6)
LABELS = np.array([0, 2, 1, 0])


def archive(folder: Path, **arrays: NDArray[Any]) -> list[Path]:
    np.savez(folder / "set.npz", **arrays)  # type: ignore[arg-type]
    return [folder / "set.npz"]


def header(shape: tuple[int, ...], descr: str) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue()


def raw_archive(path: Path, **members: bytes) -> list[Path]:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return [path]


def sentence(paths: list[Path]) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read(paths)
    return str(caught.value)


@pytest.mark.parametrize("images", [PIXELS, PIXELS.transpose(0, 2, 3, 1)], ids=["channels first", "channels last"])
@pytest.mark.parametrize("keys", npz.PAIRS)
def test_both_layouts_and_all_names_give_the_same_images(
    tmp_path: Path, images: NDArray[Any], keys: tuple[str, str]
) -> None:
    dataset = read(archive(tmp_path, **{keys[0]: images, keys[1]: LABELS}))
    assert np.array_equal(dataset.images, PIXELS)
    assert dataset.images.flags.c_contiguous
    assert dataset.labels.tolist() == [0, 2, 1, 0]
    assert dataset.labels.dtype == np.int64
    assert dataset.class_names == ("0", "1", "2")


def test_the_names_of_scikit_learn_are_understood(tmp_path: Path) -> None:
    dataset = read(archive(tmp_path, X=PIXELS, y=LABELS))
    assert (len(dataset), dataset.shape, dataset.labels.tolist()) == (4, (3, 5, 6), [0, 2, 1, 0])
    assert inspect([tmp_path / "set.npz"]).shape == (3, 5, 6)


def test_two_images_for_one_array_of_labels_are_one_too_many(tmp_path: Path) -> None:
    assert sentence(archive(tmp_path, X=PIXELS, x=PIXELS, y=LABELS)).endswith("got X, x, y.")


def test_images_without_channels_are_greyscale(tmp_path: Path) -> None:
    assert read(archive(tmp_path, x=PIXELS[:, 0], y=LABELS)).shape == (1, 5, 6)


def test_three_channels_in_the_second_place_win_over_three_in_the_last(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    assert np.array_equal(read(archive(tmp_path, images=images, labels=LABELS[:2])).images, images)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_become_float32(tmp_path: Path, dtype: str) -> None:
    dataset = read(archive(tmp_path, images=(PIXELS / 512).astype(dtype), labels=LABELS))
    assert dataset.images.dtype == np.float32
    assert np.allclose(dataset.images, PIXELS / 512, atol=1e-3)


def test_labels_may_be_a_column_and_fortran_order_is_understood(tmp_path: Path) -> None:
    dataset = read(archive(tmp_path, images=np.asfortranarray(PIXELS), labels=LABELS[:, None].astype(np.uint8)))
    assert np.array_equal(dataset.images, PIXELS)
    assert dataset.labels.tolist() == [0, 2, 1, 0]


def test_class_names_come_from_the_archive(tmp_path: Path) -> None:
    paths = archive(tmp_path, images=PIXELS, labels=LABELS, class_names=np.array(["cat", "dog", "eel", "fox"]))
    assert read(paths).class_names == inspect(paths).class_names == ("cat", "dog", "eel", "fox")


def test_compressed_archives_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", images=PIXELS, labels=LABELS)
    assert np.array_equal(read([tmp_path / "set.npz"]).images, PIXELS)


def test_inspection_agrees_with_reading(tmp_path: Path) -> None:
    paths = archive(tmp_path, images=PIXELS.transpose(0, 2, 3, 1), labels=LABELS, notes=np.arange(3))
    info, dataset = inspect(paths), read(paths)
    assert (info.format, info.count, info.shape, info.num_classes) == ("npz", 4, dataset.shape, dataset.num_classes)
    assert (info.class_names, info.dtype) == (dataset.class_names, "uint8")


def replaced(**changes: Any) -> dict[str, NDArray[Any]]:
    arrays = {"images": PIXELS, "labels": LABELS} | changes
    return {name: np.asarray(array) for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"labels": None},
            "expected one pair of arrays out of images and labels, x and y, X and y, X and Y, x_train and y_train, "
            "x_test and y_test, got images",
        ),
        (
            {"x": PIXELS, "y": LABELS},
            "x_train and y_train, x_test and y_test, got images, labels, x, y",
        ),
        (
            {"images": PIXELS.reshape(4, 90)},
            "expected images (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels, "
            "got an array 'images' of shape (4, 90)",
        ),
        ({"images": PIXELS.reshape(4, 2, 5, 9)}, "got an array 'images' of shape (4, 2, 5, 9)"),
        ({"images": PIXELS.astype(np.int64)}, "expected pixels as uint8, or floats in [0, 1], got int64"),
        (
            {"images": PIXELS.astype(np.float32)},
            "expected float pixels in [0, 1], or pixels as uint8, got floats from 0 to 255 (divide them by 255)",
        ),
        (
            {"images": PIXELS / 255 - 0.5},
            "expected float pixels in [0, 1], or pixels as uint8, got floats from -0.5 to 0.5 (give images that are not normalized, and make the normalization the model's first layer)",
        ),
        (
            {"images": np.full((4, 2, 2), np.nan)},
            "expected float pixels in [0, 1], or pixels as uint8, got NaN (16 of 16 values are not finite)",
        ),
        ({"images": np.full((4, 2, 2), np.inf)}, "got infinite values (16 of 16 values are not finite)"),
        ({"images": PIXELS[:0], "labels": LABELS[:0]}, "expected at least one image, got 0 images of shape (3, 5, 6)"),
        ({"labels": LABELS[:3]}, "expected 4 labels, one per image, got 3"),
        ({"labels": LABELS / 2}, "expected integer labels of shape (N,) or (N, 1), got float64 of shape (4,)"),
        (
            {"labels": np.eye(4, dtype=int)},
            "expected integer labels of shape (N,) or (N, 1), got int64 of shape (4, 4)",
        ),
        (
            {"labels": np.array([0, 1, -1, 2])},
            "expected labels from 0 to 99,999, got labels from -1 to 2, the first outside at index 2",
        ),
        (
            {"labels": np.array([0, 1, 2**63], dtype=np.uint64).repeat([2, 1, 1])},
            "expected labels from 0 to 99,999, got labels from 0 to 9223372036854775808, the first outside at index 3",
        ),
        (
            {"labels": np.array([0, 1, 10**6, 2])},
            "expected labels from 0 to 99,999, got labels from 0 to 1000000, the first outside at index 2",
        ),
        (
            {"labels": LABELS * 0},
            "expected at least two classes, or the names of all of them, got one class, and no class names",
        ),
        (
            {"class_names": np.array(["cat", "dog"])},
            "expected labels from 0 to 1, got labels from 0 to 2, the first outside at index 1",
        ),
        (
            {"class_names": np.array(["cat", "", "dog"])},
            "expected at most 100,000 class names of 1 to 200 printable characters, got 3 names, one of them ''",
        ),
        ({"class_names": np.arange(3)}, "expected class_names as texts of shape (K,), got int64 of shape (3,)"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    found = sentence(archive(tmp_path, **replaced(**changes)))
    assert found.startswith("The data set cannot be read (set.npz): expected ")
    assert found.endswith(expected + ".")


@pytest.mark.parametrize("name", ["images", "notes"])
def test_an_array_of_objects_is_refused_wherever_it_is(tmp_path: Path, name: str) -> None:
    paths = archive(tmp_path, **replaced(**{name: np.array([{"a": 1}] * 4, dtype=object)}))
    expected = f"expected arrays of numbers, got an array '{name}' of Python objects, which is a pickle."
    assert sentence(paths).endswith(expected)
    with pytest.raises(InvalidDataset, match="which is a pickle"):
        inspect(paths)


def test_a_header_that_promises_more_than_is_there_costs_no_memory(tmp_path: Path) -> None:
    images = header((10**6, 3, 1000, 1000), "|u1")
    found = sentence(raw_archive(tmp_path / "set.npz", images=images, labels=header((10**6,), "<i8")))
    assert found.endswith(
        "expected an array 'images' of shape (1000000, 3, 1000, 1000), as its header says, got 128 bytes."
    )


def test_a_set_beyond_the_limits_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.rs_core.data.dataset_info.MAX_BYTES", 2**20)
    # Compressed, these two mebibytes are a few kilobytes.
    np.savez_compressed(tmp_path / "set.npz", images=np.zeros((2, 1024, 1024), np.uint8), labels=np.array([0, 1]))
    monkeypatch.setattr(npz, "_load", lambda *_: pytest.fail("an array was read"))
    found = sentence([tmp_path / "set.npz"])
    assert found.endswith("1 MiB together, got 2 images of shape (1, 1024, 1024), 2 MiB.")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path, images=PIXELS, labels=LABELS)[0].read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-100])
    assert "(cut.npz): expected a whole .npz file, got a broken one" in sentence([tmp_path / "cut.npz"])
    large = archive(tmp_path, images=PIXELS.repeat(100, axis=2), labels=LABELS)[0].read_bytes()
    (tmp_path / "flipped.npz").write_bytes(large.replace(bytes(PIXELS[3, 2, 4]), bytes(6)))
    flipped = sentence([tmp_path / "flipped.npz"])
    assert "(flipped.npz): expected 'images.npy' as the directory of the zip describes it, got a broken file" in flipped
    found = sentence(raw_archive(tmp_path / "odd.npz", images=b"no header", labels=b""))
    assert "(odd.npz): expected an array 'images' with a .npy header, got " in found


def test_a_member_without_the_suffix_is_not_taken_for_the_array(tmp_path: Path) -> None:
    paths = archive(tmp_path, images=PIXELS, labels=LABELS)
    with zipfile.ZipFile(paths[0], "a") as file:
        file.writestr("images", header((10**12,), "|u1"))
    assert np.array_equal(read(paths).images, PIXELS)


def test_only_one_file_is_taken(tmp_path: Path) -> None:
    paths = archive(tmp_path, images=PIXELS, labels=LABELS)
    assert sentence(paths * 2).endswith("expected one .npz file, got 2 files.")


def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.npz"
    np.savez(path, images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", archive.read("images.npy"))
    with pytest.raises(InvalidDataset, match="expected each file once"):
        read([path])


def test_class_names_beyond_unicode_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.npz"
    names = np.frombuffer(b"\xff\xff\xff\x7fb\x00\x00\x00", dtype="<U1")
    np.savez(path, images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, 1]), class_names=names)
    with pytest.raises(InvalidDataset, match="code points beyond Unicode"):
        read([path])


@pytest.mark.parametrize("header", ["{'descr': '|u1', 'shape': (2, 4", "(" * 5_000, "x" * 20_000])
def test_a_header_that_cannot_be_parsed_is_told_in_one_line(tmp_path: Path, header: str) -> None:
    text = header.encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "header.npz", "w") as archive:
        archive.writestr("images.npy", array)
    with pytest.raises(InvalidDataset, match=r"expected an array .images. with a \.npy header") as found:
        read([tmp_path / "header.npz"])
    assert found.value.detail.isprintable()
    assert "allow_pickle" not in found.value.detail


def test_a_copy_that_a_system_left_in_the_archive_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("__MACOSX/._images.npy", b"no array")
    assert len(read([tmp_path / "set.npz"])) == 2


def test_a_header_that_announces_gigabytes_is_not_read(tmp_path: Path) -> None:
    announced = b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little")

    class Counting(io.BytesIO):
        asked = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.asked = max(self.asked, size or 0)
            return super().read(size)

    file = Counting(announced + bytes(2**20))
    with pytest.raises(InvalidDataset, match="npy header"):
        npy.read_header(file, "images", "a.npz")
    assert file.asked <= npy.MAX_HEADER


def test_hidden_and_system_entries_are_skipped_and_listed(tmp_path: Path) -> None:
    paths = archive(tmp_path, images=PIXELS, labels=LABELS)
    assert read(paths).skipped is None
    with zipfile.ZipFile(paths[0], "a") as file:
        file.writestr("__MACOSX/._images.npy", b"x")
        file.writestr(".DS_Store", b"x")
    made = convert(paths, tmp_path / "out")
    assert (made.count, made.skipped) == (4, SkippedMembers(count=2, names=(".DS_Store", "__MACOSX/._images.npy")))
