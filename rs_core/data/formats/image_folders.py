"""Images from a zip of class folders: ``cat/0001.png``, ``dog/0001.jpg``, ... Torch-free.

The folders' names, sorted as texts, are the classes; within a class the files come sorted by name. One common folder
around all of them is allowed. Files are PNG or JPEG (``image_files``), of one size once they are framed, without
transparency: greyscale where all of them are, else three channels. Nothing is unpacked to disk, and images are decoded
one by one as they are asked for. The directory listing is checked before anything is read: no absolute or ``..`` paths,
no links, no encryption, bounded number, sizes and ratio. Hidden and system entries are skipped and named (``data.ignored_files``).
"""

import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import (
    MAX_IMAGES,
    DatasetArrays,
    DatasetInfo,
    Shape,
    byte_limit,
    check_once,
    check_size,
    one,
)
from radii.rs_core.data.decompression import BROKEN, DecompressionCounter, check_expansion, read_member
from radii.rs_core.data.formats.image_files import AS_THEY_ARE, Framing, opened_image, pixels, shape_of
from radii.rs_core.data.ignored_files import SkippedMembers, is_clutter
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.exception_text import first_line

MAX_FILE_BYTES = 64 * 2**20
LONGEST_PATH = 1024


@dataclass(frozen=True)
class _Listing:
    """The classes in their order, and each image's name in the zip with its class, in the order of the data set."""

    classes: tuple[str, ...]
    images: tuple[tuple[str, int], ...]


class ColorImageFound(Exception):
    """A colour image came after greyscale ones: all of them have to have three channels."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """An opened zip of class folders: labels (N,) and class names; ``shape`` (C, H, W) is that of its first image."""

    archive: zipfile.ZipFile
    path: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    shape: Shape
    framing: Framing
    limit: float | None
    skipped: SkippedMembers | None = None

    def images(self, channels: int) -> Iterator[NDArray[np.uint8]]:
        """Each image (channels, H, W), decoded when asked for; one channel fills three.

        Raises :class:`ColorImageFound` where one channel is asked for and a colour image comes.
        """
        check_size(len(self.files), (channels, *self.shape[1:]), 1, self.path.name, self.limit)
        return self._decoded(channels)

    def _decoded(self, channels: int) -> Iterator[NDArray[np.uint8]]:
        files, decoded_bytes = DecompressionCounter(self.path), DecompressionCounter(self.path)
        for name in self.files:
            with opened_image(read_member(self.archive, name, files), f"{name} in {self.path.name}") as image:
                found, *size = shape_of(image, self.framing)
                decoded_bytes.add(image.width * image.height * found)
                self._check_size(name, tuple(size))
                decoded = pixels(image, self.framing)
            if found > channels:
                raise ColorImageFound(name)
            yield np.broadcast_to(decoded, (channels, *size))

    def _check_size(self, name: str, size: tuple[int, ...]) -> None:
        if size != self.shape[1:]:
            advice = "" if self.framing.center_crop else "; resize and center_crop bring photographs to one size"
            raise InvalidDataset(
                expected=f"images of one size (height, width), {self.shape[1:]} as in {self.files[0]}",
                got=f"{size} in {name}{advice}",
                where=self.path.name,
            )


@contextmanager
def open_folders(
    paths: Sequence[Path], framing: Framing = AS_THEY_ARE, limit: float | None = None
) -> Iterator[Folders]:
    """The zip, its listing checked and its first image's header read; ``limit`` is on the bytes of all images."""
    with opened_zip(paths) as archive:
        listing = _listing(archive, paths[0], limit)
        first = listing.images[0][0]
        with opened_image(
            read_member(archive, first, DecompressionCounter(paths[0])), f"{first} in {paths[0].name}"
        ) as image:
            shape = shape_of(image, framing)
        yield Folders(
            archive=archive,
            path=paths[0],
            files=tuple(name for name, _ in listing.images),
            labels=np.array([label for _, label in listing.images], dtype=np.int64),
            class_names=listing.classes,
            shape=shape,
            framing=framing,
            limit=limit,
            skipped=SkippedMembers.among(archive.namelist()),
        )


def inspect_folders(paths: Sequence[Path]) -> DatasetInfo:
    """From the directory listing and the first image's header, which gives the channels and the size."""
    with open_folders(paths) as found:
        check_size(len(found.files), found.shape, 1, paths[0].name)
        return DatasetInfo(
            format="folders",
            count=len(found.files),
            shape=found.shape,
            num_classes=len(found.class_names),
            class_names=found.class_names,
            dtype="uint8",
        )


def read_folders(paths: Sequence[Path], framing: Framing = AS_THEY_ARE) -> DatasetArrays:
    """All of it in memory, checked: images (N, 1 or 3, H, W) uint8."""
    with open_folders(paths, framing) as found:
        try:
            images = _stacked(found, found.shape[0])
        except ColorImageFound:
            images = _stacked(found, 3)
        return DatasetArrays(images=images, labels=found.labels, class_names=found.class_names, skipped=found.skipped)


def _stacked(found: Folders, channels: int) -> NDArray[np.uint8]:
    images = found.images(channels)
    stacked = np.empty((len(found.files), channels, *found.shape[1:]), dtype=np.uint8)
    for index, image in enumerate(images):
        stacked[index] = image
    return stacked


@contextmanager
def opened_zip(paths: Sequence[Path]) -> Iterator[zipfile.ZipFile]:
    """The only one of the paths, opened; :class:`InvalidDataset` where it is no whole zip file."""
    path = one(paths, "zip file")
    try:
        archive = zipfile.ZipFile(path)
    except (*BROKEN, ValueError) as error:
        raise InvalidDataset(
            expected="a whole zip file", got=f"a broken one ({first_line(error)})", where=path.name
        ) from None
    with archive:
        yield archive


def _listing(archive: zipfile.ZipFile, path: Path, limit: float | None) -> _Listing:
    members = plain_files(archive, path, limit)
    files = sorted((PurePosixPath(info.filename).parts, info.filename) for info in members if not info.is_dir())
    if not files and (skipped := SkippedMembers.among(archive.namelist())) is not None:
        raise InvalidDataset(expected="at least one image", got=f"none. {skipped.text}", where=path.name)
    depth = _depth([parts for parts, _ in files], path)
    folders = {PurePosixPath(info.filename).parts for info in members if info.is_dir()}
    classes = sorted({parts[depth] for parts, _ in files} | {parts[depth] for parts in folders if len(parts) > depth})
    label = {name: index for index, name in enumerate(classes)}
    return _Listing(tuple(classes), tuple((name, label[parts[depth]]) for parts, name in files))


def plain_files(archive: zipfile.ZipFile, path: Path, limit: float | None) -> list[zipfile.ZipInfo]:
    """What is in a zip, folders included, once its listing has been checked; ``limit`` is on the bytes of all files."""
    members = [info for info in archive.infolist() if not is_clutter(info.filename)]
    _check_members(members, path, limit)
    return members


def _check_members(members: Sequence[zipfile.ZipInfo], path: Path, limit: float | None) -> None:
    if len(members) > MAX_IMAGES:
        raise InvalidDataset(expected=f"at most {MAX_IMAGES:,} files", got=f"{len(members):,}", where=path.name)
    for info in members:
        if fault := _fault(info):
            raise InvalidDataset(expected="plain image files", got=fault, where=path.name)
    check_once([info.filename for info in members], path.name)
    size = sum(info.file_size for info in members)
    if size > byte_limit(limit):
        raise InvalidDataset(
            expected=f"at most {byte_limit(limit):,} bytes, unpacked", got=f"{size:,} bytes", where=path.name
        )
    check_expansion(size, path)


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not to be opened, judged by the directory listing alone."""
    name = repr(info.filename)[:200]
    if not info.filename:
        return "a file without a name"
    if len(info.filename) > LONGEST_PATH:
        return f"a path of {len(info.filename):,} characters, more than {LONGEST_PATH:,}"
    if re.match(r"[/\\]|[A-Za-z]:", info.filename):
        return f"the absolute path {name}"
    if ".." in re.split(r"[/\\]", info.filename):
        return f"the path {name}, which leads outside"
    if "\\" in info.filename:
        return f"the path {name} with backslashes: make the zip again with a program that writes / between folders"
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
