"""Settings: where things are, whatever the names of folders look like."""

import sqlite3
from pathlib import Path

import pytest

from radii.worker.doctor import diagnosis
from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.backup import create, restore
from radii.worker.store.database import Database

NAMES = ("plain", "50%", "50%25 off", "what?x=1", "a#b", "ü@host:1/x", "two words")


@pytest.mark.parametrize("name", NAMES)
def test_the_database_lies_in_the_data_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    settings = Settings(data=tmp_path / name)
    settings.data.mkdir(parents=True)
    database = Database(settings.url)
    schema_version.migrate(database.engine)
    database.close()
    assert (settings.data / "radii.db").is_file()
    with sqlite3.connect(settings.data / "radii.db") as connection:
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (0,)
    found = {each.what: each for each in diagnosis.look(settings)}
    assert found["database"].state == "good"


def test_a_backup_of_such_a_folder_is_made_and_restored(tmp_path: Path) -> None:
    settings, other = Settings(data=tmp_path / "50%?#"), Settings(data=tmp_path / "again 100%")
    settings.data.mkdir()
    database = Database(settings.url)
    schema_version.migrate(database.engine)
    database.close()
    create.back_up(settings, tmp_path / "kept %41?")
    restore.restore(other, tmp_path / "kept %41?")
    assert (other.data / "radii.db").is_file()
