"""The identity that a data folder and its database share: who gets it, and who is refused."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from tests_support import things

from radii.worker.settings import Settings
from radii.worker.store import resources
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.folder_identity import FILE, DataFolderMissing, WrongFolder
from radii.worker.store.models.tables import DataFolder


@pytest.fixture
def apart(tmp_path: Path, database: Database, database_url: str) -> Settings:
    """A new folder, apart from the database's file."""
    return Settings(data=tmp_path / "data", database_url=database_url)


def _elsewhere(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"data": settings.data.parent / name})


def _put(database: Database, settings: Settings, content: bytes) -> Path:
    """Stores a file, and returns where it lies."""
    with blob_files.writing(settings.blobs) as writer:
        writer.write(content)
        sealed = writer.seal()
    with database.write() as session:
        resources.put_blob(session, settings.blobs, sealed)
    return blob_files.path_of(settings.blobs, sealed.sha256)


def _forget(database: Database) -> None:
    """What a database of the version before has."""
    with database.write() as session:
        session.query(DataFolder).delete()


def test_the_first_start_gives_both_one_identity_and_later_ones_find_it(apart: Settings, database: Database) -> None:
    first = folder_identity.bind(apart, database)
    assert json.loads((apart.data / FILE).read_text())["folder"] == first.id
    assert folder_identity.bind(apart, database) == folder_identity.check(apart, database) == first


def test_another_folder_is_refused_with_both_identities_both_places_and_what_to_do(
    apart: Settings, database: Database, tmp_path: Path
) -> None:
    ours = folder_identity.bind(apart, database)
    other = _elsewhere(apart, "other")
    for act in (folder_identity.bind, folder_identity.check):
        with pytest.raises(
            DataFolderMissing, match=f"expected {ours.id} .*{apart.data}.* got {other.data} without the file"
        ):
            act(other, database)
    assert not other.data.exists(), "nothing is made in a folder that is refused"
    foreign = things.migrated(f"sqlite:///{tmp_path / 'foreign.db'}")
    theirs = folder_identity.bind(other, foreign)
    foreign.close()
    for act in (folder_identity.bind, folder_identity.check):
        with pytest.raises(WrongFolder) as refused:
            act(other, database)
        for part in (ours.id, str(apart.data), theirs.id, str(other.data), "RADII_DATA", "--adopt-folder"):
            assert part in str(refused.value)


def test_of_many_processes_that_start_at_once_with_one_folder_all_find_the_same(
    apart: Settings, database: Database, database_url: str
) -> None:
    found: list[str] = []

    def start() -> None:
        mine = Database(database_url)
        found.append(folder_identity.bind(apart, mine).id)
        mine.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(found)) == 1


def test_of_two_folders_that_start_at_once_on_one_database_one_is_refused(
    apart: Settings, database: Database, database_url: str
) -> None:
    came: list[object] = []

    def start(settings: Settings) -> None:
        mine = Database(database_url)
        try:
            came.append(folder_identity.bind(settings, mine))
        except DataFolderMissing as error:
            came.append(error)
        mine.close()

    threads = [threading.Thread(target=start, args=(_elsewhere(apart, name),)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(each).__name__ for each in came) == ["DataFolderMissing", "Folder"]


def test_a_database_of_an_older_version_takes_the_folder_that_has_its_files(
    apart: Settings, database: Database
) -> None:
    for number in range(4):
        _put(database, apart, bytes([number]))
    with pytest.raises(WrongFolder, match="expected the 4 files that the database names, got 0 of them"):
        folder_identity.bind(_elsewhere(apart, "other"), database)
    next(iter(apart.blobs.glob("??/*"))).unlink()  # one that was lost is no reason to refuse the others
    assert folder_identity.bind(apart, database)


def test_a_folder_of_another_database_is_refused_to_a_new_one(
    apart: Settings, database: Database, tmp_path: Path
) -> None:
    folder_identity.bind(apart, database)
    _put(database, apart, b"1")
    new = things.migrated(f"sqlite:///{tmp_path / 'new.db'}")
    for _ in range(2):
        with pytest.raises(WrongFolder, match="belongs to another database"):
            folder_identity.bind(apart.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'new.db'}"}), new)
        (apart.data / FILE).unlink(missing_ok=True)  # nor is one of an older version, which has files
    new.close()


def test_a_database_inside_its_folder_keeps_it_whatever_becomes_of_the_identity(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    database = things.migrated(settings.url)
    first = folder_identity.bind(settings, database)
    (settings.data / FILE).unlink()
    assert folder_identity.bind(settings, database) == folder_identity.check(settings, database) == first
    _forget(database)
    assert folder_identity.bind(settings, database).id == first.id
    database.close()


def test_an_identity_that_was_deleted_is_written_again_where_the_files_are_there(
    apart: Settings, database: Database
) -> None:
    first = folder_identity.bind(apart, database)
    _put(database, apart, b"1")
    (apart.data / FILE).unlink()
    with pytest.raises(DataFolderMissing, match="without the file"):
        folder_identity.check(apart, database)
    assert folder_identity.bind(apart, database) == folder_identity.check(apart, database) == first


@pytest.mark.parametrize("step", ["_write", "_confirmed"])
def test_a_first_start_that_is_cut_off_is_gone_on_with(
    step: str, apart: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(folder_identity, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        folder_identity.bind(apart, database)
    assert folder_identity.check(apart, database) is None, "nothing is known before it is confirmed"
    bound = folder_identity.bind(apart, database)
    assert folder_identity.check(apart, database) == bound


def test_a_copy_of_a_folder_with_its_database_works_beside_the_original(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    database = things.migrated(settings.url)
    first = folder_identity.bind(settings, database)
    database.close()
    shutil.copytree(settings.data, tmp_path / "copy")
    copy = Settings(data=tmp_path / "copy")
    copied = Database(copy.url)
    assert folder_identity.bind(copy, copied).id == first.id
    copied.close()


def test_who_adopts_a_folder_takes_it_from_whoever_had_it(apart: Settings, database: Database) -> None:
    folder_identity.bind(apart, database)
    other = _elsewhere(apart, "other")
    adopted = folder_identity.bind(other, database, adopt=True)
    assert folder_identity.check(other, database) == adopted
    with pytest.raises(WrongFolder):
        folder_identity.check(apart, database)


def test_an_identity_that_cannot_be_read_is_no_other_folder(apart: Settings, database: Database) -> None:
    folder_identity.bind(apart, database)
    for content in ("", "[]", '{"folder'):
        (apart.data / FILE).write_text(content)
        with pytest.raises(DataFolderMissing, match="cannot be identified"):
            folder_identity.check(apart, database)
