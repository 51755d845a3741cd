"""Images that decode to more than they look, or are something else."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from PIL import Image

from tests_support.hostile.case import Case, dataset

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(side: int = 8) -> bytes:
    """An honest greyscale PNG."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def chunk(kind: bytes, content: bytes, *, length: int | None = None, crc: int | None = None) -> bytes:
    """One chunk of a PNG."""
    found = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content) if length is None else length) + kind + content + struct.pack(">I", found)


def crafted(
    width: int = 8, height: int = 8, *, depth: int = 8, colour: int = 0, data: bytes | None = None, extra: bytes = b""
) -> bytes:
    """A PNG whose header says anything."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, colour, 0, 0, 0))
    pixels = zlib.compress(b"\x00" * 72) if data is None else data
    return SIGNATURE + head + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _as(kind: str) -> Callable[[], bytes]:
    def made() -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, kind)
        return file.getvalue()

    return made


PICTURES: dict[str, Callable[[], bytes]] = {
    "says 50,000 x 50,000 pixels": lambda: crafted(50_000, 50_000, data=zlib.compress(bytes(10_000_000))),
    "says 2^31 x 2^31 pixels": lambda: crafted(2**31 - 1, 2**31 - 1),
    "says no pixels": lambda: crafted(0, 0),
    "says a depth of 77 bits": lambda: crafted(depth=77),
    "has a checksum that is wrong": lambda: png()[:-6] + b"\x00" * 6,
    "is cut in its middle": lambda: png()[:40],
    "has a text that unpacks to 200 MB": lambda: crafted(
        extra=chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(200_000_000), 9))
    ),
    "has a colour profile that unpacks to 200 MB": lambda: crafted(
        extra=chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(200_000_000), 9))
    ),
    "has a chunk of 4 GB": lambda: SIGNATURE + chunk(b"IHDR", b"", length=0xFFFFFFF0),
    "has pixels that do not unpack": lambda: crafted(data=b"\xff" * 50),
    "has pixels for another size": lambda: crafted(data=zlib.compress(b"\x00" * 5)),
    "is a GIF": _as("GIF"),
    "is a TIFF": _as("TIFF"),
    "is a WebP": _as("WEBP"),
    "is a PostScript program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%id) (r) file\n",
    "is an SVG with a file in it": lambda: (
        b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    ),
    "is an HTML page": lambda: b"<html><script>alert(1)</script></html>",
    "is a JPEG of 65,535 x 65,535 pixels": lambda: _jpeg_of(65_535, 65_535),
    "is a JPEG with 60,000 markers": lambda: b"\xff\xd8" + b"\xff\xe1\x00\x02" * 60_000 + b"\xff\xd9",
    "is a JPEG cut in its middle": lambda: _as("JPEG")()[:200],
    "is animated with 10,000 frames it lacks": lambda: crafted(extra=chunk(b"acTL", struct.pack(">II", 10_000, 0))),
}


def cases() -> Iterator[Case]:
    """Each picture as the second of a zip of class folders."""
    for name, made in PICTURES.items():
        yield dataset(
            f"an image that {name}",
            "pictures.zip",
            lambda made=made: _zip_of(made()),
            harmless=_eight_by_eight if name in HARMLESS else None,
            sampled=name in ("says 50,000 x 50,000 pixels", "has a text that unpacks to 200 MB"),
        )


HARMLESS = (
    "has a text that unpacks to 200 MB",
    "has a colour profile that unpacks to 200 MB",
    "is animated with 10,000 frames it lacks",
)
"""Readable by their pixels alone; what else they carry need not be looked at."""


def _eight_by_eight(row: Mapping[str, Any]) -> bool:
    return row["count"] == 2 and row["shape"] == [1, 8, 8]


def _zip_of(picture: bytes) -> bytes:
    from tests_support.hostile.archives import zipped

    return zipped({"a/1.png": png(), "b/2.png": picture})


def _jpeg_of(width: int, height: int) -> bytes:
    content = bytearray(_as("JPEG")())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)
