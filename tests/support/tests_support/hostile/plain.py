"""The idx files of MNIST, CIFAR's records and archives, and files of CIFAR-10-C."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests_support.hostile.arrays import described, npy
from tests_support.hostile.case import Canary, Case, dataset
from tests_support.hostile.pickles import call

IDX_IMAGES, IDX_LABELS = b"\x00\x00\x08\x03", b"\x00\x00\x08\x01"
RECORD = 3073


def idx(*sides: int, data: bytes = bytes(256), magic: bytes = IDX_IMAGES) -> bytes:
    """An idx file of whatever sizes."""
    return magic + b"".join(struct.pack(">I", side & 0xFFFFFFFF) for side in sides) + data


def _pair(
    images: Callable[[], bytes], labels: Callable[[], bytes] | None = None
) -> Callable[[Canary], Mapping[str, bytes]]:
    sound = lambda: idx(4, data=bytes([0, 1, 0, 1]), magic=IDX_LABELS)  # noqa: E731
    return lambda canary: {"images-idx3": images(), "labels-idx1": (labels or sound)()}


IDX: dict[str, Callable[[Canary], Mapping[str, bytes]]] = {
    "say four billion images": _pair(lambda: idx(0xFFFFFFFF, 8, 8)),
    "say sides of four billion": _pair(lambda: idx(4, 0xFFFFFFFF, 0xFFFFFFFF)),
    "say no images": _pair(lambda: idx(0, 8, 8), lambda: idx(0, data=b"", magic=IDX_LABELS)),
    "say fewer bytes than they have": _pair(lambda: idx(4, 8, 8, data=bytes(100_000))),
    "say more bytes than they have": _pair(lambda: idx(4, 8, 8, data=bytes(10))),
    "have no header": _pair(lambda: IDX_IMAGES),
    "unpack from 1 MB to 1 GB": _pair(lambda: _squeezed(idx(2**20, 32, 32, data=b""), 2**30)),
    "are gzipped and cut short": _pair(lambda: gzip.compress(idx(4, 8, 8))[:-12]),
    "are gzipped and wrong in their checksum": _pair(lambda: gzip.compress(idx(4, 8, 8))[:-8] + bytes(8)),
    "are gzipped a hundred times": _pair(lambda: _many_times(100)),
    "have other numbers of images and labels": _pair(
        lambda: idx(4, 8, 8), lambda: idx(5, data=bytes([0, 1, 0, 1, 0]), magic=IDX_LABELS)
    ),
}


def tar(*members: tuple[tarfile.TarInfo, bytes], compress: bool = True) -> bytes:
    """An archive of such members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if compress else "w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _member(name: str, size: int = 0, **about: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in about.items():
        setattr(info, key, value)
    return info


BATCH = "cifar-10-batches-bin/data_batch_1.bin"
TARS: dict[str, Callable[[], bytes]] = {
    "is a symbolic link": lambda: tar((_member(BATCH, type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "is a hard link": lambda: tar((_member(BATCH, type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")),
    "is a device": lambda: tar((_member(BATCH, type=tarfile.CHRTYPE), b"")),
    "is a folder": lambda: tar((_member(BATCH, type=tarfile.DIRTYPE), b"")),
    "is no whole number of records": lambda: tar((_member(BATCH, 100), bytes(100))),
    "says 8 exabytes": lambda: _large(),
    "is only in the python version": lambda: tar((_member("cifar-10-batches-py/data_batch_1", 4), b"\x80\x02}.")),
    "has a name of 100 MB": lambda: _long_name(100_000_000),
    "is behind a million empty members": lambda: _empty_members(200_000),
    "is cut short": lambda: tar((_member(BATCH, RECORD * 20), bytes(RECORD * 20)))[:60],
}


def cases() -> Iterator[Case]:
    """idx pairs, CIFAR archives, records and .npy files."""
    for name, files in IDX.items():
        yield Case(
            name=f"idx files that {name}", door="dataset", files=files, sampled=name == "unpack from 1 MB to 1 GB"
        )
    for name, made in TARS.items():
        yield dataset(f"a CIFAR archive whose batch {name}", "cifar.tar.gz", made, sampled=name == "is a symbolic link")
    yield dataset("a CIFAR archive that unpacks to 2 GB", "bomb.tar.gz", lambda: _squeezed(b"", 2**31))
    yield dataset("CIFAR records with labels of 255", "data.bin", lambda: (b"\xff" + bytes(3072)) * 3)
    yield Case(
        name="the pickles of CIFAR's python version",
        door="dataset",
        files=lambda canary: {"data_batch_1": call("os", "system", (canary.shell,))},
    )
    yield dataset(
        "CIFAR-10-C without labels", "fog.npy", lambda: npy(described("'|u1'", "(4, 32, 32, 3)"), bytes(4 * 3072))
    )
    yield Case(
        name="CIFAR-10-C with labels that are objects",
        door="dataset",
        files=lambda canary: {
            "fog.npy": npy(described("'|u1'", "(50000, 32, 32, 3)"), bytes(3072)),
            "labels.npy": npy(described("'|O'", "(50000,)"), call("os", "system", (canary.shell,))),
        },
    )
    yield dataset("a file of 30 MB of zeros", "zeros.bin", lambda: bytes(30_000_000))
    yield dataset("a program", "program", lambda: b"\x7fELF\x02\x01\x01" + bytes(500))
    yield dataset("an XML file with entities in entities", "x.xml", _laughing)


def _squeezed(start: bytes, size: int) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=9) as packed:
        packed.write(start)
        for _ in range(size // 2**20):
            packed.write(bytes(2**20))
    return file.getvalue()


def _many_times(times: int) -> bytes:
    content = idx(4, 8, 8)
    for _ in range(times):
        content = gzip.compress(content)
    return content


def _large() -> bytes:
    header = bytearray(_member(BATCH).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\x80" + (2**62).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
    return gzip.compress(bytes(header) + bytes(1024))


def _long_name(size: int) -> bytes:
    info = _member("././@LongLink", size, type=tarfile.GNUTYPE_LONGNAME)
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb") as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        packed.write(b"n" * size)
    return file.getvalue()


def _empty_members(count: int) -> bytes:
    header = _member("x").tobuf(tarfile.GNU_FORMAT)
    return gzip.compress(header * count + bytes(1024))


def _laughing() -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 20))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><x>&e19;</x>'.encode()
