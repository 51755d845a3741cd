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

from rs_core.data import expansion, pictures
from rs_core.data.expansion import FREE, MAX_RATIO, check_expansion, most_unpacked, read_member
from rs_core.data.readers import read
from rs_core.errors import InvalidDataset, InvalidImages

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
    monkeypatch.setattr(expansion, "FREE", 1_000_000)
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
        "import resource, sys, zipfile; from rs_core.data.expansion import read_member\n"
        "def used(): return int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "archive = zipfile.ZipFile(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used() + 60 * 2**20,) * 2)\n"
        "try: read_member(archive, 'b/2.png', 'lies.zip')\n"
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
        pictures.read(path, shape=(1, 8, 8), most=10)


def test_a_member_is_read_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"content" * 100_000)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert read_member(archive, "x", "a.zip") == b"content" * 100_000
