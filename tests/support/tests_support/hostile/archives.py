"""Zips of class folders that lead out, lie about sizes, or grow without bound."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests_support.hostile.case import Case, dataset
from tests_support.hostile.pictures import png

SOUND = {"a/1.png": png(), "b/2.png": png()}
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An honest zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def member(
    name: bytes,
    content: bytes,
    *,
    method: int = 0,
    flags: int = 0,
    size: int | None = None,
    crc: int | None = None,
    mode: int = 0,
) -> tuple[bytes, bytes]:
    """The local part and the directory's part of a member that may lie; the latter lacks its offset (``%OFF``)."""
    packed = content if method == 0 else _deflated(content) if method == 8 else content
    size = len(content) if size is None else size
    crc = zlib.crc32(content) if crc is None else crc
    common = struct.pack(
        "<HHHHIIIHH", flags, method, 0, 0x21, crc & 0xFFFFFFFF, len(packed), size & 0xFFFFFFFF, len(name), 0
    )
    local = LOCAL + struct.pack("<H", 20) + common + name + packed
    central = CENTRAL + struct.pack("<HH", 0x0314, 20) + common + struct.pack("<HHHI", 0, 0, 0, mode << 16)
    return local, central + b"%OFF" + name


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def raw(*parts: tuple[bytes, bytes], count: int | None = None, offset: int | None = None) -> bytes:
    """A zip of such members."""
    body, directory = b"", b""
    for local, central in parts:
        head, name = central.split(b"%OFF", 1)
        directory += head + struct.pack("<I", len(body)) + name
        body += local
    count = len(parts) if count is None else count
    start = len(body) if offset is None else offset
    return (
        body + directory + END + struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), start, 0)
    )


def _lies(name: str = "b/2.png", **about: Any) -> Callable[[], bytes]:
    return lambda: raw(member(b"a/1.png", png()), member(name.encode(), about.pop("content", png()), **about))


def _named(name: bytes, flags: int = 0) -> Callable[[], bytes]:
    return lambda: raw(member(b"a/1.png", png()), member(b"b/2.png", png()), member(name, png(), flags=flags))


LYING: dict[str, Callable[[], bytes]] = {
    "leads out of its folder": lambda: zipped(SOUND | {"../evil.png": png()}),
    "leads far out of its folder": lambda: zipped(SOUND | {"a/../../../../etc/cron.d/evil.png": png()}),
    "has an absolute path": lambda: zipped(SOUND | {"/etc/evil.png": png()}),
    "has a path with a drive letter": _named(b"C:\\windows\\evil.png"),
    "has a path in backslashes that leads out": _named(b"..\\..\\evil.png"),
    "has a path of a network share": _named(b"\\\\host\\share\\evil.png"),
    "has a symbolic link": _lies("b/2.png", content=b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
    "has a link called a class": _lies("b", content=b"/etc", mode=stat.S_IFLNK | 0o777),
    "has a device": _lies(mode=stat.S_IFCHR | 0o666, content=b""),
    "has a pipe": _lies(mode=stat.S_IFIFO | 0o666, content=b""),
    "has an encrypted member": _lies(flags=1),
    "has a member packed in an unknown way": _lies(method=99),
    "has a member whose size is 4 GB": _lies(size=0xFFFFFFFE),
    "has a member whose size is 1 byte": _lies(size=1),
    "has a member that unpacks to 1 GB and says 100 bytes": lambda: raw(
        member(b"a/1.png", png()), member(b"b/2.png", bytes(2**30), method=8, size=100)
    ),
    "has a member with a wrong checksum": _lies(crc=1),
    "has a broken deflate stream": lambda: raw(member(b"a/1.png", png()), _broken()),
    "has one name twice": lambda: raw(member(b"a/1.png", png()), member(b"b/2.png", png()), member(b"b/2.png", png())),
    "has members that share their bytes": lambda: _overlapping(2_000),
    "has more members in its directory than it counts": lambda: raw(member(b"a/1.png", png()), count=60_000),
    "has a directory behind its end": lambda: raw(member(b"a/1.png", png()), offset=2**31),
    "has a name of 60,000 letters": _named(b"b/" + b"n" * 60_000 + b".png"),
    "has a name of 10,000 folders": _named(b"a/" * 10_000 + b"1.png"),
    "has a name that is no UTF-8": _named(b"b/\xff\xfe.png", flags=0x800),
    "has a name with a line break": _named(b'b/x\n{"level": "error"}.png'),
    "has a name with an escape sequence": _named(b"b/\x1b]0;owned\x07.png/x.png"),
    "has an empty name": _named(b""),
    "has a zip of zips": lambda: zipped({"a/1.zip": zipped({"b.zip": zipped(SOUND)}), "b/2.png": png()}),
    "has 200,000 empty files": lambda: zipped({f"a/{n}.png": b"" for n in range(200_000)}),
    "unpacks to 250 times its size": lambda: zipped(
        {"a/1.png": bytes(60_000_000), "b/2.png": bytes(60_000_000)}, zipfile.ZIP_DEFLATED
    ),
    "has no member": lambda: zipped({}),
    "is cut short": lambda: zipped(SOUND)[:-30],
    "is all comment": lambda: END + struct.pack("<HHHHIIH", 0, 0, 0, 0, 0, 0, 65_535) + b"x" * 65_535,
    "has programs in place of images": lambda: zipped(
        {"a/1.png": b"#!/bin/sh\nid\n", "b/2.png": b"\x7fELF" + bytes(100)}
    ),
}
CLUTTER: dict[str, bytes] = {
    ".ipynb_checkpoints/1.png": png(),
    "__MACOSX/a/._1.png": b"x",
    "a/.DS_Store": b"x",
    "a/Thumbs.db": b"x",
}


def cases() -> Iterator[Case]:
    """The lying ones, and folders of clutter, which must not become a class."""
    for name, made in LYING.items():
        yield dataset(
            f"a zip that {name}",
            "z.zip",
            made,
            harmless=_two_classes if name in ("has a name with a line break",) else None,
            sampled=name
            in (
                "leads out of its folder",
                "has a symbolic link",
                "has a member that unpacks to 1 GB and says 100 bytes",
            ),
        )
    yield dataset(
        "a zip with what systems leave behind", "clutter.zip", lambda: zipped(SOUND | CLUTTER), harmless=_two_classes
    )


def _two_classes(row: Mapping[str, Any]) -> bool:
    return row["num_classes"] == 2


def _broken() -> tuple[bytes, bytes]:
    local, central = member(b"b/2.png", png() * 20, method=8)
    return local[:-30] + b"\xff" * 30, central


def _overlapping(count: int) -> bytes:
    """Directory entries that all point at one member of a megabyte of zeros, as Fifield's zip bomb does."""
    local, central = member(b"a/1.png", bytes(2**20), method=8)
    head, _ = central.split(b"%OFF", 1)
    directory = b""
    for number in range(count):
        name = f"a/{number:04}".encode()[:7].ljust(7, b"x")
        directory += head + struct.pack("<I", 0) + name
    return local + directory + END + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(local), 0)
