"""While somebody holds the blob folder, nothing in it is deleted; what a crash has left of a hold does not last."""

import os
import threading
import time
from pathlib import Path

import pytest
from tests_support import processes

from radii.worker.store import resources
from radii.worker.store.blobs import blob_files, gc_locks
from radii.worker.store.database import Database


def _let_go(database: Database, root: Path, content: bytes) -> Path:
    """A blob that nothing refers to."""
    with blob_files.writing(root) as writer:
        writer.write(content)
        sealed = writer.seal()
    with database.write() as session:
        resources.put_blob(session, root, sealed)
    return blob_files.path_of(root, sealed.sha256)


def _collected(database: Database, root: Path) -> tuple[int, int]:
    with database.write() as session:
        collected = resources.collect(session, root, grace=-60.0)
    return collected, resources.collect_orphans(database, root, older_than=-60.0)


def test_nothing_is_deleted_while_the_folder_is_held(database: Database, tmp_path: Path) -> None:
    blob, orphan = _let_go(database, tmp_path, b"a"), tmp_path / "ab" / ("ab" * 32)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"of nobody")
    with gc_locks.hold(tmp_path, database), gc_locks.hold(tmp_path, database):
        assert _collected(database, tmp_path) == (0, 0)
    assert blob.exists() and orphan.exists()
    assert _collected(database, tmp_path) == (1, 1)
    assert not blob.exists() and not list((tmp_path / "holds").iterdir())


def test_a_hold_that_a_crash_has_left_counts_for_ten_minutes(database: Database, tmp_path: Path) -> None:
    _let_go(database, tmp_path, b"a")
    left = tmp_path / "holds" / "left"
    left.parent.mkdir()
    left.touch()
    for age, collected in ((500.0, 0), (700.0, 1)):
        os.utime(left, (time.time() - age,) * 2)
        assert _collected(database, tmp_path) == (collected, 0)
    assert not left.exists()


def test_a_hold_is_renewed_for_as_long_as_it_lasts(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc_locks, "RENEWED", 0.01)
    with gc_locks.hold(tmp_path, database):
        (path,) = (tmp_path / "holds").iterdir()
        os.utime(path, (1.0, 1.0))
        processes.until(lambda: time.time() - path.stat().st_mtime < 60, 10, "the hold is touched")


def test_a_hold_begins_when_those_who_were_deleting_have_ended(database: Database, tmp_path: Path) -> None:
    """Else what they delete would still be named by a copy of the database that is made now."""
    _let_go(database, tmp_path, b"a")
    held = threading.Event()

    def hold() -> None:
        with gc_locks.hold(tmp_path, database):
            held.set()

    thread = threading.Thread(target=hold)
    with database.write() as session:
        assert resources.collect(session, tmp_path, grace=-60.0) == 1
        thread.start()
        assert not held.wait(0.5)
    thread.join(timeout=30)
    assert held.is_set()
