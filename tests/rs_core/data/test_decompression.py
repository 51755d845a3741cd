"""A small file cannot ask for much memory, disk and time, whichever archive it is and whatever its directory says."""

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests_support.hostile import archives

from radii.rs_core.data import decompression, image_uploads
from radii.rs_core.data.decompression import (
    FREE,
    MAX_RATIO,
    DecompressionCounter,
    check_expansion,
    most_unpacked,
    read_member,
)
from radii.rs_core.data.formats import npz
from radii.rs_core.data.load import read
from radii.rs_core.errors import InvalidDataset, InvalidImages

RULE = "expected a file that unpacks to at most 200 times its size"
SIDE = 64
PIXELS = bytes(2_000 * SIDE * SIDE)


def _npz(path: Path) -> None:
    np.savez_compressed(path, images=np.zeros((2_000, SIDE, SIDE), np.uint8), labels=np.arange(2_000) % 2)


def _idx(path: Path) -> None:
    header = bytes.fromhex("00000803") + b"".join(n.to_bytes(4, "big") for n in (2_000, SIDE, SIDE))
    path.write_bytes(gzip.compress(header + PIXELS))
    labels = bytes.fromhex("00000801") + (2_000).to_bytes(4, "big") + bytes([0, 1]) * 1_000
    path.with_suffix(".labels").write_bytes(labels)


def _tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        info.size = 3073 * 2_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))


def _images(path: Path) -> None:
    file = io.BytesIO()
    Image.new("L", (2_000, 2_000)).save(file, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a/1.png", "b/2.png"):
            archive.writestr(name, file.getvalue())


def _packed_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", PIXELS)
        archive.writestr("b/2.png", PIXELS)


WRITERS: dict[str, Callable[[Path], None]] = {
    "npz": _npz,
    "idx": _idx,
    "tar.gz": _tar,
    "zip of blank images": _images,
    "zip of packed files": _packed_zip,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_one_rule_holds_for_every_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "data"
    WRITERS[kind](path)
    if kind == "npz":
        path = path.with_suffix(".npz") if not path.exists() else path
    paths = [path, path.with_suffix(".labels")] if kind == "idx" else [path]
    monkeypatch.setattr(decompression, "FREE", 1_000_000)
    with pytest.raises(InvalidDataset, match=RULE):
        read(paths)


def test_a_small_blank_dataset_is_no_reason_to_refuse(tmp_path: Path) -> None:
    _npz(tmp_path / "blank.npz")
    assert len(read([tmp_path / "blank.npz"])) == 2_000


def test_the_rule_has_a_floor_and_a_ratio(tmp_path: Path) -> None:
    assert most_unpacked(1) == FREE
    assert most_unpacked(FREE) == MAX_RATIO * FREE
    (tmp_path / "file").write_bytes(bytes(1_000_000))
    check_expansion(200_000_000, tmp_path / "file")
    with pytest.raises(InvalidDataset, match="got 1,000,000 bytes that unpack to 200,000,001 or more"):
        check_expansion(200_000_001, tmp_path / "file")


def test_a_member_that_is_longer_than_it_says_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "lies.zip"
    path.write_bytes(archives.LYING["has a member that unpacks to 1 GB and says 100 bytes"]())
    code = (
        "import resource, sys, zipfile; from pathlib import Path\n"
        "from radii.rs_core.data.decompression import DecompressionCounter, read_member\n"
        "def used(): return int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "archive = zipfile.ZipFile(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used() + 60 * 2**20,) * 2)\n"
        "try: read_member(archive, 'b/2.png', DecompressionCounter(Path(sys.argv[1])))\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "expected 'b/2.png' as the directory of the zip describes it, got a broken file (Bad CRC-32" in done.stdout


@pytest.mark.parametrize(
    "case", ["has a member whose size is 1 byte", "has a member with a wrong checksum", "has a broken deflate stream"]
)
def test_a_damaged_member_is_told_in_a_sentence_by_every_reader_of_zips(tmp_path: Path, case: str) -> None:
    path = tmp_path / "damaged.zip"
    path.write_bytes(archives.LYING[case]())
    with pytest.raises(InvalidDataset, match=r"b/2\.png"):
        read([path])
    with pytest.raises(InvalidImages, match=r"b/2\.png"):
        image_uploads.read(path, shape=(1, 8, 8), most=10)


def test_a_member_is_read_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"content" * 100_000)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert read_member(archive, "x", DecompressionCounter(tmp_path / "a.zip")) == b"content" * 100_000


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


IMAGES, LABELS = _npy(np.zeros((4, 100, 100), np.uint8)), _npy(np.array([0, 1, 1, 0]))


def _lying_npz(path: Path, content: bytes, **lies: int) -> Path:
    """An archive whose images are ``content``, with a directory that says something else of them."""
    path.write_bytes(
        archives.raw(
            archives.member(b"images.npy", content, method=8, **lies), archives.member(b"labels.npy", LABELS, method=8)
        )
    )
    return path


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[DecompressionCounter]:
    """The count of each archive that is opened."""
    made: list[DecompressionCounter] = []
    real = DecompressionCounter.__init__

    def init(self: DecompressionCounter, *arguments: object, **named: object) -> None:
        real(self, *arguments, **named)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(DecompressionCounter, "__init__", init)
    return made


def test_the_bytes_of_every_archive_are_counted_while_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _counted(monkeypatch)
    wanted = {"npz": len(PIXELS), "idx": len(PIXELS), "tar.gz": 3073 * 2_000}
    for kind, size in wanted.items():
        path = tmp_path / (f"{kind}.npz" if kind == "npz" else kind)
        WRITERS[kind](path)
        made.clear()
        read([path, path.with_suffix(".labels")] if kind == "idx" else [path])
        assert max(each.count for each in made) >= size, kind


@pytest.mark.parametrize("size", [len(IMAGES), len(IMAGES) + 50])
def test_an_array_that_unpacks_to_more_than_it_says_is_stopped_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    made = _counted(monkeypatch)
    path = _lying_npz(tmp_path / "lies.npz", IMAGES + bytes(50_000_000), size=size)
    with pytest.raises(
        InvalidDataset, match=r"'images.npy' as the directory of the zip describes it, got .*Bad CRC-32"
    ):
        read([path])
    assert 0 < max(each.count for each in made) <= size


def test_an_array_that_unpacks_to_less_than_it_says_is_refused(tmp_path: Path) -> None:
    path = _lying_npz(tmp_path / "lies.npz", IMAGES, size=len(IMAGES) + 50)
    with pytest.raises(InvalidDataset, match=r"expected .* in 'images.npy', as the directory of the zip says"):
        read([path])


def test_an_array_with_a_wrong_checksum_is_refused_though_its_bytes_suffice(tmp_path: Path) -> None:
    path = _lying_npz(tmp_path / "lies.npz", IMAGES + b"behind the array", crc=1)
    with pytest.raises(InvalidDataset, match="Bad CRC-32"):
        read([path])


def test_members_that_say_little_are_stopped_at_the_rule_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule does not rest on the sizes that a directory announces."""
    path = tmp_path / "a.npz"
    _npz(path)
    monkeypatch.setattr(npz, "check_expansion", lambda *_: None)
    monkeypatch.setattr(decompression, "FREE", 1_000_000)
    with pytest.raises(InvalidDataset, match=RULE):
        read([path])
