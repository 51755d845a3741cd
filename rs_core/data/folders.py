"""Images from a zip of class folders: ``cat/0001.png``, ``dog/0001.jpg``, ... Torch-free.

The folders' names, sorted as texts, are the classes; within a class the files come sorted by name. One common folder
around all of them is allowed. Files are PNG or JPEG of one size, at most 8 bits a channel and without transparency:
greyscale where all of them are, else three channels. EXIF rotation is not applied. Nothing is unpacked to disk, and the
directory listing is checked before anything is read: no absolute or ``..`` paths, no links, no encryption, bounded
number, sizes and ratio. ``__MACOSX`` and files whose names begin with a dot are left alone.
"""

import io
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rs_core.data.info import MAX_BYTES, MAX_IMAGES, Arrays, DatasetInfo, Shape, check_size, one
from rs_core.errors import InvalidDataset, RadiiError

FORMATS = ("PNG", "JPEG")
MAX_FILE_BYTES = 64 * 2**20
MAX_RATIO = 200
"""Unpacked bytes of all members over the size of the zip; images hardly shrink, so honest ones are near 1."""
CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3, "PA": 3}
"""By Pillow's mode: 16-bit, CMYK and floating-point images are not among them."""


@dataclass(frozen=True)
class _Listing:
    """The classes in their order, and each image's name in the zip with its class, in the order of the data set."""

    classes: tuple[str, ...]
    images: tuple[tuple[str, int], ...]


def inspect_folders(paths: Sequence[Path]) -> DatasetInfo:
    """From the directory listing and the first image's header, which gives the channels and the size."""
    with _opened(paths) as archive:
        listing = _listing(archive, paths[0])
        first, _ = listing.images[0]
        with _image(archive, first, paths[0]) as image:
            shape = _shape(image)
    check_size(len(listing.images), shape, 1, paths[0].name)
    return DatasetInfo(
        format="folders",
        count=len(listing.images),
        shape=shape,
        num_classes=len(listing.classes),
        class_names=listing.classes,
        dtype="uint8",
    )


def read_folders(paths: Sequence[Path]) -> Arrays:
    """All of it, checked: images (N, 1 or 3, H, W) uint8."""
    with _opened(paths) as archive:
        listing = _listing(archive, paths[0])
        images = _pixels(archive, [name for name, _ in listing.images], paths[0])
    labels = np.array([label for _, label in listing.images], dtype=np.int64)
    return Arrays(images=images, labels=labels, class_names=listing.classes)


@contextmanager
def _opened(paths: Sequence[Path]) -> Iterator[zipfile.ZipFile]:
    path = one(paths, "zip file")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise InvalidDataset(expected="a whole zip file", got=f"a broken one ({error})", where=path.name) from None
    with archive:
        yield archive


def _listing(archive: zipfile.ZipFile, path: Path) -> _Listing:
    members = [info for info in archive.infolist() if not _is_clutter(info.filename)]
    _check_members(members, path)
    files = sorted((PurePosixPath(info.filename).parts, info.filename) for info in members if not info.is_dir())
    depth = _depth([parts for parts, _ in files], path)
    folders = {PurePosixPath(info.filename).parts for info in members if info.is_dir()}
    classes = sorted({parts[depth] for parts, _ in files} | {parts[depth] for parts in folders if len(parts) > depth})
    label = {name: index for index, name in enumerate(classes)}
    return _Listing(tuple(classes), tuple((name, label[parts[depth]]) for parts, name in files))


def _is_clutter(name: str) -> bool:
    """What operating systems leave in archives."""
    last = PurePosixPath(name).name
    return name.startswith("__MACOSX/") or (last.startswith(".") and last != "..")


def _check_members(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    if len(members) > MAX_IMAGES:
        raise InvalidDataset(expected=f"at most {MAX_IMAGES:,} files", got=f"{len(members):,}", where=path.name)
    for info in members:
        if fault := _fault(info):
            raise InvalidDataset(expected="class folders of plain image files", got=fault, where=path.name)
    twice = [name for name, times in Counter(info.filename for info in members).items() if times > 1]
    if twice:
        raise InvalidDataset(expected="each file once", got=f"{twice[0]!r} twice", where=path.name)
    size = sum(info.file_size for info in members)
    if size > min(MAX_BYTES, MAX_RATIO * path.stat().st_size):
        raise InvalidDataset(
            expected=f"at most {MAX_RATIO} times the size of the zip, and {MAX_BYTES:,} bytes, when unpacked",
            got=f"{size:,} bytes from {path.stat().st_size:,}",
            where=path.name,
        )


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not to be opened, judged by the directory listing alone."""
    name = repr(info.filename)[:200]
    if not info.filename:
        return "a file without a name"
    if re.match(r"[/\\]|[A-Za-z]:", info.filename):
        return f"the absolute path {name}"
    if ".." in re.split(r"[/\\]", info.filename):
        return f"the path {name}, which leads outside"
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"the link {name}"
    if info.flag_bits & 1:
        return f"the encrypted file {name}"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return f"the file {name}, compressed neither by deflate nor not at all"
    return f"{info.file_size:,} bytes in {name}" if info.file_size > MAX_FILE_BYTES else None


def _depth(files: Sequence[tuple[str, ...]], path: Path) -> int:
    """Which part of a path is the class: 0, or 1 below one common folder."""
    if not files:
        raise InvalidDataset(expected="at least one image", got="a zip without files", where=path.name)
    if all(len(parts) == 2 for parts in files):
        return 0
    if all(len(parts) == 3 and parts[0] == files[0][0] for parts in files):
        return 1
    odd = next((parts for parts in files if len(parts) != 2), files[0])
    raise InvalidDataset(
        expected="paths like cat/1.png, or images/cat/1.png with one common folder",
        got=repr("/".join(odd))[:200],
        where=path.name,
    )


def _pixels(archive: zipfile.ZipFile, names: Sequence[str], path: Path) -> NDArray[np.uint8]:
    with _image(archive, names[0], path) as first:
        shape = _shape(first)
    check_size(len(names), shape, 1, path.name)
    images = np.empty((len(names), *shape), dtype=np.uint8)
    for index, name in enumerate(names):
        with _image(archive, name, path) as image:
            channels, *size = _shape(image)
            if tuple(size) != shape[1:]:
                raise InvalidDataset(
                    expected=f"images of one size (height, width), {shape[1:]} as in {names[0]}",
                    got=f"{tuple(size)} in {name}",
                    where=path.name,
                )
            if channels > images.shape[1]:
                check_size(len(names), (channels, *shape[1:]), 1, path.name)
                images = np.repeat(images, channels, axis=1)
            images[index] = _decoded(image)  # one channel fills three
    return images


@contextmanager
def _image(archive: zipfile.ZipFile, name: str, path: Path) -> Iterator[Image.Image]:
    """The image, its header read; whatever goes wrong until the block ends is said of this file."""
    try:
        data = archive.read(name)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.verify()  # checksums and the end of the file, which decoding does not need; it spends the image
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except RadiiError:
        raise
    except Exception as error:  # the decoders raise whatever the bytes led them to
        reason = "something else" if isinstance(error, UnidentifiedImageError) else f"a broken one ({error})"
        raise InvalidDataset(
            expected="a whole PNG or JPEG image", got=reason[:300], where=f"{name} in {path.name}"
        ) from None


def _shape(image: Image.Image) -> Shape:
    if image.mode not in CHANNELS:
        raise ValueError(f"mode {image.mode}; 8-bit greyscale or colour can be read")
    return CHANNELS[image.mode], image.height, image.width


def _decoded(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels (1 or 3, H, W)."""
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError("it is transparent in places")
    if CHANNELS[image.mode] == 1:
        return np.asarray(image.convert("L"))[None]
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
