"""A zip of class folders: order, channels, and every refusal with its sentence."""

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from radii.rs_core.data import decompression
from radii.rs_core.data.convert import convert
from radii.rs_core.data.ignored_files import SkippedMembers
from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import read
from radii.rs_core.errors import InvalidDataset

RNG = np.random.default_rng(0)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def grey(value: int, form: str = "PNG", size: tuple[int, int] = (4, 6)) -> bytes:
    """A greyscale image of one value, 4 high and 6 wide."""
    return encoded(Image.fromarray(np.full(size, value, np.uint8)), form)


def flipped(data: bytes, place: int) -> bytes:
    """The same with one bit changed."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def colour(pixels: NDArray[np.uint8]) -> bytes:
    return encoded(Image.fromarray(pixels))


def archive(folder: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> list[Path]:
    with zipfile.ZipFile(folder / "set.zip", "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return [folder / "set.zip"]


def sentence(paths: list[Path], **options: Any) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read(paths, **options)
    return str(caught.value).removeprefix("The data set cannot be read ")


TWO = {"cat/1.png": grey(10), "dog/1.png": grey(20)}


def test_sorted_folders_are_the_classes_and_sorted_files_their_images(tmp_path: Path) -> None:
    dataset = read(archive(tmp_path, {"dog/b.png": grey(1), "dog/a.png": grey(2), "cat/z.png": grey(3)}))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.images[:, 0, 0, 0].tolist() == [3, 2, 1]
    assert dataset.shape == (1, 4, 6)


def test_one_common_folder_may_stand_around_the_classes(tmp_path: Path) -> None:
    members = {"images/": b"", "images/eel/": b""} | {f"images/{name}": data for name, data in TWO.items()}
    dataset = read(archive(tmp_path, members))
    assert dataset.class_names == ("cat", "dog", "eel")
    assert dataset.labels.tolist() == [0, 1]


CLUTTER = {
    "__MACOSX/cat/._1.png": b"x",
    "cat/.DS_Store": b"x",
    ".hidden": b"x",
    ".ipynb_checkpoints/1-checkpoint.png": grey(1),
    ".ipynb_checkpoints/": b"",
    "cat/.ipynb_checkpoints/1-checkpoint.png": grey(1),
    "cat/Thumbs.db": b"x",
    "dog/desktop.ini": b"x",
    "@eaDir/cat/1.png": grey(1),
    "$RECYCLE.BIN/x": b"x",
    "lost+found/": b"",
    "System Volume Information/x": b"x",
}


@pytest.mark.parametrize("around", ["", "images/"])
@pytest.mark.parametrize("name", CLUTTER)
def test_hidden_and_system_entries_are_skipped_at_every_level_and_named(tmp_path: Path, name: str, around: str) -> None:
    """A folder of a notebook server used to become class 0, and to shift all labels by one."""
    inside = {f"{around}{member}": data for member, data in (TWO | {name: CLUTTER[name]}).items()}
    dataset = read(archive(tmp_path, inside))
    assert (dataset.class_names, dataset.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert dataset.skipped == SkippedMembers(count=1, names=(f"{around}{name}",))
    info = inspect([tmp_path / "set.zip"])
    assert (info.count, info.class_names) == (2, ("cat", "dog"))


def test_what_was_skipped_is_a_number_and_a_few_names(tmp_path: Path) -> None:
    dataset = read(archive(tmp_path, TWO | CLUTTER | {f"cat/.{'x' * 300}\n{i}": b"" for i in range(50)}))
    assert dataset.skipped is not None and dataset.skipped.count == 62 and len(dataset.skipped.names) == 5
    assert all(len(name) <= 100 and name.isprintable() for name in dataset.skipped.names)
    assert dataset.skipped.text.startswith("Skipped 62 hidden or system entries: $RECYCLE.BIN/x, .hidden")
    assert dataset.skipped.text.endswith(" and 57 more.")
    assert read(archive(tmp_path, TWO)).skipped is None


def test_a_conversion_says_what_was_skipped(tmp_path: Path) -> None:
    made = convert(archive(tmp_path, TWO | CLUTTER), tmp_path / "out")
    assert made.skipped is not None and (made.count, made.skipped.count) == (2, 12)
    assert convert(archive(tmp_path, TWO), tmp_path / "out").skipped is None


def test_a_zip_of_nothing_but_hidden_files_says_so(tmp_path: Path) -> None:
    found = sentence(archive(tmp_path, {".data/cat/1.png": grey(1), ".data/dog/1.png": grey(2)}))
    assert found.startswith(
        "(set.zip): expected at least one image, got none. Skipped 2 hidden or system entries: .data/"
    )


def test_a_zip_with_backslashes_says_what_to_do(tmp_path: Path) -> None:
    found = sentence(archive(tmp_path, {"0\\1.png": grey(1), "1\\1.png": grey(2)}))
    assert found == (
        PLAIN
        + r"the path '0\\1.png' with backslashes: make the zip again with a program that writes / between folders."
    )


def test_a_hidden_name_does_not_hide_a_path_that_leads_outside(tmp_path: Path) -> None:
    for name in ("../.hidden", ".hidden/../../x"):
        assert "leads outside" in sentence(archive(tmp_path, TWO | {name: b"x"}))


def test_given_class_names_set_the_order_and_may_be_more(tmp_path: Path) -> None:
    dataset = read(archive(tmp_path, TWO), class_names=("eel", "dog", "cat"))
    assert dataset.labels.tolist() == [2, 1]
    assert dataset.class_names == ("eel", "dog", "cat")
    one = read(archive(tmp_path, {"dog/1.png": grey(1)}), class_names=("cat", "dog"))
    assert one.labels.tolist() == [1]


def test_colour_images_keep_their_pixels(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    dataset = read(archive(tmp_path, {"a/1.png": colour(pixels[0]), "b/1.png": colour(pixels[1])}))
    assert np.array_equal(dataset.images, pixels.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("first", ["grey", "colour"])
def test_greyscale_among_colour_becomes_three_equal_channels(tmp_path: Path, first: str) -> None:
    pixels = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    images = {"grey": grey(7), "colour": colour(pixels)}
    second = "colour" if first == "grey" else "grey"
    dataset = read(archive(tmp_path, {"a/1.png": images[first], "b/1.png": images[second]}))
    found = dict(zip((first, second), dataset.images, strict=True))
    assert (found["grey"] == 7).all()
    assert np.array_equal(found["colour"], pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGBA", 3)])
def test_other_opaque_kinds_are_converted(tmp_path: Path, mode: str, channels: int) -> None:
    image = encoded(Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode))
    dataset = read(archive(tmp_path, {"a/1.png": image, "b/1.png": image}))
    assert dataset.shape == (channels, 4, 6)
    assert (dataset.images == 255).all()


def test_jpeg_is_read(tmp_path: Path) -> None:
    dataset = read(archive(tmp_path, {"a/1.jpg": grey(100, "JPEG"), "b/1.jpeg": grey(100, "JPEG")}, zipfile.ZIP_STORED))
    assert dataset.images.shape == (2, 1, 4, 6)
    assert abs(dataset.images.astype(int) - 100).max() <= 2


def test_inspection_reads_the_listing_and_the_first_header(tmp_path: Path) -> None:
    info = inspect(archive(tmp_path, TWO | {"dog/2.png": b"not looked at"}))
    assert (info.format, info.count, info.shape, info.class_names) == ("folders", 3, (1, 4, 6), ("cat", "dog"))


PLAIN = "(set.zip): expected plain image files, got "
PATHS = "(set.zip): expected paths like cat/1.png, or images/cat/1.png with one common folder, got "


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "(set.zip): expected at least one image, got a zip without files."),
        ({"cat/": b""}, "(set.zip): expected at least one image, got a zip without files."),
        ({"../cat/1.png": b""}, PLAIN + "the path '../cat/1.png', which leads outside."),
        ({"cat/../../1.png": b""}, PLAIN + "the path 'cat/../../1.png', which leads outside."),
        ({"cat\\..\\1.png": b""}, PLAIN + "the path 'cat\\\\..\\\\1.png', which leads outside."),
        ({"/cat/1.png": b""}, PLAIN + "the absolute path '/cat/1.png'."),
        ({"C:/cat/1.png": b""}, PLAIN + "the absolute path 'C:/cat/1.png'."),
        ({"1.png": grey(1)}, PATHS + "'1.png'."),
        (TWO | {"readme.txt": b"hello"}, PATHS + "'readme.txt'."),
        ({"train/cat/1.png": b"", "test/cat/1.png": b""}, PATHS + "'test/cat/1.png'."),
        ({"a/b/c/1.png": b""}, PATHS + "'a/b/c/1.png'."),
        (
            TWO | {"dog/2.png": grey(1)[:-20]},
            "(dog/2.png in set.zip): expected a whole PNG or JPEG image, got a broken one (",
        ),
        (
            TWO | {"dog/2.jpg": grey(1, "JPEG")[:-50]},
            "(dog/2.jpg in set.zip): expected a whole PNG or JPEG image, got a broken one (",
        ),
        (
            TWO | {"dog/2.png": flipped(grey(1), grey(1).index(b"IDAT") + 12)},
            "(dog/2.png in set.zip): expected a whole PNG or JPEG image, got a broken one (",
        ),
        (TWO | {"dog/2.png": b""}, "(dog/2.png in set.zip): expected a whole PNG or JPEG image, got something else."),
        (
            TWO | {"dog/notes.txt": b"hello"},
            "(dog/notes.txt in set.zip): expected a whole PNG or JPEG image, got something else.",
        ),
        (
            TWO | {"dog/2.gif": grey(1, "GIF")},
            "(dog/2.gif in set.zip): expected a whole PNG or JPEG image, got something else.",
        ),
        (
            TWO | {"dog/2.png": grey(1, size=(4, 7))},
            "(set.zip): expected images of one size (height, width), (4, 6) as in cat/1.png, got (4, 7) in dog/2.png; "
            "resize and center_crop bring photographs to one size.",
        ),
        (
            TWO | {"dog/2.png": encoded(Image.new("RGBA", (6, 4), (0, 0, 0, 9)))},
            "(dog/2.png in set.zip): expected a whole PNG or JPEG image, "
            "got a broken one (it is transparent in places).",
        ),
        (
            TWO | {"dog/2.png": encoded(Image.fromarray(np.zeros((4, 6), np.uint16)))},
            "(dog/2.png in set.zip): expected a whole PNG or JPEG image, "
            "got a broken one (mode I;16; 8-bit greyscale or colour can be read).",
        ),
        (
            {"cat/1.png": grey(1)},
            "(set.zip): expected at least two classes, or the names of all of them, got one class, 'cat'.",
        ),
    ],
)
def test_what_is_no_zip_of_class_folders_is_refused(tmp_path: Path, members: dict[str, bytes], expected: str) -> None:
    found = sentence(archive(tmp_path, members))
    assert found == expected if expected.endswith(".") else found.startswith(expected)


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/2.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    paths = archive(tmp_path, TWO)
    with zipfile.ZipFile(paths[0], "a") as file:
        file.writestr(link, "/etc/passwd")
    assert sentence(paths) == PLAIN + "the link 'cat/2.png'."


def test_an_unusual_compression_is_refused(tmp_path: Path) -> None:
    found = sentence(archive(tmp_path, TWO, zipfile.ZIP_LZMA))
    assert found == PLAIN + "the file 'cat/1.png', compressed neither by deflate nor not at all."


def test_a_file_without_a_name_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"x": b""} | TWO)[0]
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    # The name's one byte becomes a comment.
    data[entry + 28], data[entry + 32] = 0, 1
    path.write_bytes(data)
    assert sentence([path]) == PLAIN + "a file without a name."


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, TWO)[0]
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert sentence([path]) == PLAIN + "the encrypted file 'cat/1.png'."


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    paths = archive(tmp_path, TWO)
    with zipfile.ZipFile(paths[0], "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("cat/1.png", grey(3))
    assert sentence(paths) == "(set.zip): expected each file once, got 'cat/1.png' twice."


def test_a_zip_that_grows_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "FREE", 1000)
    found = sentence(archive(tmp_path, TWO | {"dog/2.png": bytes(10**6)}))
    assert found.startswith("(set.zip): expected a file that unpacks to at most 200 times its size (")


def test_blank_images_that_decode_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "FREE", 1000)
    blank = grey(0, size=(1000, 1000))
    found = sentence(archive(tmp_path, {"cat/1.png": blank, "dog/2.png": blank}))
    assert found.startswith("(set.zip): expected a file that unpacks to at most 200 times its size (")


def test_a_huge_member_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.rs_core.data.formats.image_folders.MAX_FILE_BYTES", 1000)
    assert sentence(archive(tmp_path, TWO | {"dog/2.png": bytes(1001)})) == PLAIN + "1,001 bytes in 'dog/2.png'."


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.rs_core.data.formats.image_folders.MAX_IMAGES", 1)
    assert sentence(archive(tmp_path, TWO)) == "(set.zip): expected at most 1 files, got 2."


def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    wide = grey(1, size=(1, 5000))
    found = sentence(archive(tmp_path, {"a/1.png": wide, "b/1.png": wide}))
    assert "expected at most 10,000,000 images of side 4,096" in found
    assert found.endswith("got 2 images of shape (1, 1, 5000), 0 MiB.")


def test_a_zip_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, TWO)[0]
    path.write_bytes(path.read_bytes()[:-30])
    assert sentence([path]) == "(set.zip): expected a whole zip file, got a broken one (File is not a zip file)."


def test_folders_that_are_not_among_the_given_classes_are_named(tmp_path: Path) -> None:
    found = sentence(archive(tmp_path, TWO), class_names=("cat", "eel"))
    assert found == "(set.zip): expected class folders out of cat, eel, got folders dog."


def test_a_path_of_many_characters_is_refused(tmp_path: Path) -> None:
    found = sentence(archive(tmp_path, TWO | {f"dog/{'n' * 1_100}.png": grey(1)}))
    assert found == PLAIN + "a path of 1,108 characters, more than 1,024."
