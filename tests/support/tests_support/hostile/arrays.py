"""NumPy archives: objects, headers that lie, arrays that grow."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests_support.hostile.case import Canary, Case, dataset
from tests_support.hostile.pickles import call

LABELS = np.arange(4) % 2


def saved(**arrays: Any) -> bytes:
    """What numpy.savez writes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """A .npy file with any header."""
    text = header.encode("latin1") + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    size = len(text) if length is None else length
    packed = struct.pack("<H", size & 0xFFFF) if version == (1, 0) else struct.pack("<I", size & 0xFFFFFFFF)
    return b"\x93NUMPY" + bytes(version) + packed + text + data


def described(descr: str, shape: str, *, fortran: str = "False") -> str:
    """The header that numpy writes."""
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def pair(images: bytes, labels: bytes | None = None, compression: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    """An archive of images.npy and labels.npy."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("images.npy", images)
        archive.writestr(
            "labels.npy", npy(described("'<i8'", "(4,)"), LABELS.astype("<i8").tobytes()) if labels is None else labels
        )
        for name, content in more.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def _image(header: str, data: bytes = bytes(256), **about: Any) -> Callable[[], bytes]:
    return lambda: pair(npy(header, data, **about))


IMAGES = np.zeros((4, 8, 8), np.uint8)
ARRAYS: dict[str, Callable[[], bytes]] = {
    "has a header that is an expression": _image("__import__('os').system('id')"),
    "has a header that calls in its shape": _image(described("'|u1'", "(4, 8, __import__('os').getpid())")),
    "has a header nested 5,000 deep": _image("(" * 5_000 + ")" * 5_000),
    "has a header of version 9": _image(described("'|u1'", "(4, 8, 8)"), version=(9, 9)),
    "announces a header of 4 GB": _image(described("'|u1'", "(4, 8, 8)"), version=(2, 0), length=0xFFFFFFFF),
    "has a header of 1 MB": _image(described("'|u1'", "(4, 8, 8)") + " " * 1_000_000, version=(2, 0)),
    "has a header without its end": _image("{'descr': '|u1', 'shape': (4, 8"),
    "has a shape of 2^60 images": _image(described("'|u1'", "(1152921504606846976, 8, 8)")),
    "has a shape that overflows": _image(described("'|u1'", "(4294967296, 4294967296, 4294967296)")),
    "has a negative shape": _image(described("'|u1'", "(-4, 8, 8)")),
    "has a shape of fractions": _image(described("'|u1'", "(4.5, 8, 8)")),
    "has a shape of true": _image(described("'|u1'", "(True, 8, 8)")),
    "has items of a gigabyte": _image(described("'|V1000000000'", "(4, 8, 8)")),
    "has items that are records": _image(described("[('a', '<f4'), ('b', '|O')]", "(4, 8, 8)")),
    "has items that are texts": _image(described("'<U16'", "(4, 8, 8)")),
    "has items that are dates": _image(described("'<M8[ns]'", "(4, 8, 8)"), bytes(2048)),
    "has complex pixels": lambda: saved(images=IMAGES.astype(np.complex64), labels=LABELS),
    "has pixels of 128 bits": lambda: saved(images=IMAGES.astype(np.longdouble) + 2, labels=LABELS),
    "has infinite pixels": lambda: saved(images=np.full((4, 8, 8), np.inf, np.float32), labels=LABELS),
    "has pixels that are not numbers": lambda: saved(images=np.full((4, 8, 8), np.nan, np.float32), labels=LABELS),
    "has pixels up to 255 as floats": lambda: saved(images=np.full((4, 8, 8), 255.0, np.float32), labels=LABELS),
    "has pixels from -1 to 1": lambda: saved(
        images=np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 8, 8), labels=LABELS
    ),
    "has labels that are not numbers": lambda: saved(images=IMAGES, labels=np.array([0, 1, np.nan, 1])),
    "has labels of 2^62": lambda: saved(images=IMAGES, labels=np.array([0, 1, 2**62, 1])),
    "has unsigned labels of 2^64 - 1": lambda: saved(images=IMAGES, labels=np.array([0, 1, 2**64 - 1, 1], np.uint64)),
    "has labels below zero": lambda: saved(images=IMAGES, labels=np.array([0, 1, -1, 1])),
    "has 80,000 class names of 200 letters": lambda: saved(
        images=IMAGES, labels=LABELS, class_names=np.array([f"{n:0200}" for n in range(80_000)])
    ),
    "has class names with control characters": lambda: saved(
        images=IMAGES, labels=LABELS, class_names=np.array(["\x1b[2J", "b\n"])
    ),
    "has class names of half surrogate pairs": lambda: pair(
        npy(described("'|u1'", "(4, 8, 8)"), bytes(256)),
        class_names=npy(described("'<U1'", "(2,)"), b"\x00\xd8\x00\x00b\x00\x00\x00"),
    ),
    "has class names beyond Unicode": lambda: pair(
        npy(described("'|u1'", "(4, 8, 8)"), bytes(256)),
        class_names=npy(described("'<U1'", "(2,)"), b"\xff\xff\xff\x7fb\x00\x00\x00"),
    ),
    "has one class name twice": lambda: saved(images=IMAGES, labels=LABELS, class_names=np.array(["a", "a"])),
    "has 10,000 arrays": lambda: saved(images=IMAGES, labels=LABELS, **{f"a{n}": np.zeros(1) for n in range(10_000)}),
    "has its images twice": lambda: _twice(),
    "is packed a thousandfold": lambda: pair(
        npy(described("'|u1'", "(4194304, 16, 16)"), bytes(2**30)), _many_labels(4_194_304), zipfile.ZIP_DEFLATED
    ),
    "is cut in its images": lambda: pair(npy(described("'|u1'", "(4, 8, 8)"), bytes(100))),
    "has bytes behind its images": lambda: pair(npy(described("'|u1'", "(4, 8, 8)"), bytes(100_000))),
    "has no images": lambda: saved(images=np.zeros((0, 8, 8), np.uint8), labels=np.zeros(0, np.int64)),
    "has images without sides": lambda: saved(images=np.zeros((4, 0, 8), np.uint8), labels=LABELS),
}
HARMLESS = ("has one class name twice", "has class names with control characters", "has bytes behind its images")


def cases() -> Iterator[Case]:
    """Objects, which are pickles, then the others."""
    for name, where in {
        "images": "images",
        "labels": "labels",
        "a third array": "notes",
        "class names": "class_names",
    }.items():
        yield Case(
            name=f"an npz that hides a call in {name}",
            door="dataset",
            files=lambda canary, where=where: {"objects.npz": hidden_call(canary, where)},
            sampled=where == "notes",
        )
    for name, made in ARRAYS.items():
        yield dataset(
            f"an npz that {name}",
            "a.npz",
            made,
            harmless=(lambda row: row["count"] == 4) if name in HARMLESS else None,
            sampled=name in ("is packed a thousandfold", "has 80,000 class names of 200 letters"),
        )
    yield dataset("a bare .npy of objects", "o.npy", lambda: npy(described("'|O'", "(4,)"), b"\x80\x02."))


def hidden_call(canary: Canary, where: str) -> bytes:
    """An archive whose array ``where`` is a pickle that calls."""
    hidden = npy(described("'|O'", "(1,)"), call("os", "system", (canary.shell,)))
    arrays = {"images": npy(described("'|u1'", "(4, 8, 8)"), bytes(256)), "labels": None} | {where: hidden}
    images, labels = arrays.pop("images"), arrays.pop("labels")
    assert images is not None
    return pair(images, labels, **arrays)


def _many_labels(count: int) -> bytes:
    return npy(described("'|u1'", f"({count},)"), bytes([0, 1]) * (count // 2))


def _twice() -> bytes:
    file = io.BytesIO(pair(npy(described("'|u1'", "(4, 8, 8)"), bytes(256))))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("images.npy", npy(described("'|u1'", "(4, 8, 8)"), b"\xff" * 256))
    return file.getvalue()
