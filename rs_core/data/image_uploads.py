"""Images without labels, as somebody sends them to have them classified: one PNG or JPEG, a zip of such files, a NumPy
archive, or JSON. Torch-free.

The format is detected from the content. Images come in the order of their names in a zip, folders included, and in that
of the array in an archive. All have the shape of what the model reads, once they are framed; greyscale fills three channels.
"""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import MAX_BYTES, Shape, head
from radii.rs_core.data.decompression import BROKEN, DecompressionCounter, read_member
from radii.rs_core.data.formats.image_files import AS_THEY_ARE, Framing, opened_image, pixels, pixels_to_come, shape_of
from radii.rs_core.data.formats.image_folders import opened_zip, plain_files
from radii.rs_core.data.formats.npz import read_images
from radii.rs_core.data.image_checks import check_images, check_layout
from radii.rs_core.data.inspect import holds_arrays
from radii.rs_core.data.json_pixels import read_lists
from radii.rs_core.errors import InvalidDataset, InvalidImages, Mismatch
from radii.rs_core.exception_text import first_line

PNG, JPEG, ZIP, LIST = b"\x89PNG", b"\xff\xd8\xff", b"PK", b"["
MAX_PIXELS = 2**28
"""Of all PNG and JPEG files of one request together, before and after resizing: a few seconds of a processor."""
KNOWN = "a PNG or JPEG image, a zip of such images, an .npz with an array of images, or JSON"


def read(path: Path, *, shape: Shape, most: int, framing: Framing = AS_THEY_ARE) -> NDArray[Any]:
    """Images (N, C, H, W), uint8 or float32 in [0, 1], of ``shape`` (C, H, W), ``most`` of them.

    Raises :class:`InvalidImages` and, for images of another shape, :class:`Mismatch`.
    """
    try:
        start = head(path, 4)
        if start[:4] == PNG or start[:3] == JPEG:
            check_pixels([("the image", path.open("rb"))], framing)
            return _stacked([("the image", path.read_bytes())], shape, framing)
        if start[:1] == LIST:
            return fitting(read_lists(path.read_bytes()), shape, most)
        if start[:2] != ZIP:
            raise InvalidImages(expected=KNOWN, got=f"{path.stat().st_size:,} bytes that start with {start!r}")
        if holds_arrays(path):
            return fitting(_from_archive(path, shape, most), shape, most)
        with opened_zip([path]) as archive:
            names = _names(archive, path, most)
            check_pixels(((name, archive.open(name)) for name in names), framing)
            unpacked = DecompressionCounter(path)
            return _stacked(((name, read_member(archive, name, unpacked)) for name in names), shape, framing)
    except InvalidDataset as error:
        where = None if error.where == path.name else error.where
        raise InvalidImages(expected=error.expected, got=error.got, where=where) from None
    except BROKEN as error:
        raise InvalidImages(expected="a whole zip file", got=f"a broken one ({first_line(error)})"[:300]) from None


def fitting(images: NDArray[Any], shape: Shape, most: int) -> NDArray[Any]:
    """The images (N, C, H, W), with one channel filling three where the model reads three; raises as :func:`read` does.

    Their shape is compared first: it costs nothing.
    """
    check_layout(images, None, InvalidImages)
    _check_fit(len(images), cast(Shape, images.shape[1:]), shape, most)
    check_images(images, None, InvalidImages)
    return np.ascontiguousarray(np.broadcast_to(images, (len(images), *shape)))


def check_count(count: int, most: int) -> None:
    """Raises :class:`InvalidImages` for none, and for more than ``most``."""
    if not 1 <= count <= most:
        raise InvalidImages(expected=f"1 to {most:,} images in one request", got=f"{count:,}")


def check_pixels(files: Iterable[tuple[str, IO[bytes]]], framing: Framing) -> None:
    """Raises :class:`InvalidImages` where the headers of the files, which are closed, promise more pixels than
    ``MAX_PIXELS``."""
    found = 0
    for name, file in files:
        with file:
            found += pixels_to_come(file, name, framing)
    if found > MAX_PIXELS:
        expected = f"images of at most {MAX_PIXELS:,} pixels together, before and after resize, in one request"
        raise InvalidImages(expected=expected, got=f"{found:,} pixels")


def _check_fit(count: int, found: Shape, shape: Shape, most: int) -> None:
    """Raises as :func:`read` does; one channel fills three."""
    check_count(count, most)
    _check_shape((3, *found[1:]) if found[0] == 1 and shape[0] == 3 else found, shape)


def _from_archive(path: Path, shape: Shape, most: int) -> NDArray[Any]:
    """Its images, which fit by their header before they are read."""
    try:
        return read_images(path, lambda count, found: _check_fit(count, found, shape, most))
    except InvalidDataset as error:
        raise InvalidImages(expected=error.expected, got=error.got) from None


def _names(archive: zipfile.ZipFile, path: Path, most: int) -> list[str]:
    names = sorted(info.filename for info in plain_files(archive, path, MAX_BYTES) if not info.is_dir())
    check_count(len(names), most)
    return names


def _stacked(files: Iterable[tuple[str, bytes]], shape: Shape, framing: Framing) -> NDArray[np.uint8]:
    """Each file decoded, once its header has said that it has the right shape."""
    return np.stack([_decoded(name, data, shape, framing) for name, data in files])


def _decoded(name: str, data: bytes, shape: Shape, framing: Framing) -> NDArray[np.uint8]:
    with opened_image(data, name) as image:
        channels, *size = shape_of(image, framing)
        grey_fills = channels == 1 and shape[0] == 3
        _check_shape((3 if grey_fills else channels, *size), shape, name)
        return np.broadcast_to(pixels(image, framing), shape)


def _check_shape(found: Sequence[int], shape: Shape, where: str | None = None) -> None:
    if tuple(found) != tuple(shape):
        wanted, got = ("x".join(str(side) for side in sides) for sides in (shape, found))
        advice = "" if found[1:] == shape[1:] else "; resize and center_crop bring PNG and JPEG files to one size"
        raise Mismatch(
            expected=f"images of {wanted} (channels, height, width), as the checkpoint reads them",
            got=f"one of {got}{advice}",
            where=where,
        )
