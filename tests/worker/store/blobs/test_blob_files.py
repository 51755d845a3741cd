"""Blobs: named by content, there at once or not at all, gone with nothing left behind."""

import hashlib
import os
from pathlib import Path

import pytest

from radii.worker.store.blobs import blob_files


def _put(root: Path, content: bytes) -> blob_files.SealedBlob:
    with blob_files.writing(root) as writer:
        for start in range(0, len(content), 7):
            writer.write(content[start : start + 7])
        sealed = writer.seal()
    blob_files.place(root, sealed)
    return sealed


def test_a_blob_is_found_by_the_hash_of_its_content(tmp_path: Path) -> None:
    sealed = _put(tmp_path, b"twenty-one characters")
    assert sealed.sha256 == hashlib.sha256(b"twenty-one characters").hexdigest()
    assert sealed.size == 21
    with blob_files.open_blob(tmp_path, sealed.sha256) as file:
        assert file.read() == b"twenty-one characters"


def test_putting_the_same_content_twice_keeps_one_file(tmp_path: Path) -> None:
    _put(tmp_path, b"same")
    _put(tmp_path, b"same")
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


def test_placing_again_after_a_transaction_that_failed_is_no_error(tmp_path: Path) -> None:
    sealed = _put(tmp_path, b"once")
    blob_files.place(tmp_path, sealed)
    assert blob_files.path_of(tmp_path, sealed.sha256).read_bytes() == b"once"


def test_a_writer_whose_block_raises_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), blob_files.writing(tmp_path) as writer:
        writer.write(b"half")
        raise OSError("full")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_blob_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        blob_files.open_blob(tmp_path, "0" * 64)
    blob_files.delete(tmp_path, "0" * 64)


def test_unfinished_files_are_cleaned_when_they_are_old(tmp_path: Path) -> None:
    old, young = blob_files.new_path(tmp_path), blob_files.new_path(tmp_path)
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (1_000, 1_000))
    os.utime(young, (2_000, 2_000))
    assert blob_files.clean_new(tmp_path, older_than=500, now=2_100) == 1
    assert young.exists() and not old.exists()
