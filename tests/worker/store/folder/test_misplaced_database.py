"""A database that an earlier version put outside the data folder is named: nobody starts with an empty one in its place."""

import shlex
import subprocess
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from tests_support.cli import refused

from radii.worker import embedded
from radii.worker.doctor import diagnosis
from radii.worker.settings import Settings, sqlite_url
from radii.worker.store import schema_version
from radii.worker.store.backup import create
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity, misplaced_database
from radii.worker.store.folder.misplaced_database import MisplacedDatabase

NAMES = {"a?b": "a", "100%41": "100A/radii.db", "a%20b?c": "a b", "a?b=1": None, "a#b": None, "50%": None}
"""Names of data folders, and where the earlier version put their database; None where that was right, or failed."""


def _made_by_the_earlier_version(data: Path) -> Path:
    """The file that the URL of the earlier version led to."""
    engine = create_engine(f"sqlite:///{data.absolute() / 'radii.db'}")
    old = Path(str(engine.url.database))
    old.parent.mkdir(parents=True, exist_ok=True)
    schema_version.migrate(engine)
    engine.dispose()
    return old


@pytest.mark.parametrize("name", [name for name, old in NAMES.items() if old])
def test_the_database_is_found_where_the_earlier_version_put_it(tmp_path: Path, name: str) -> None:
    settings = Settings(data=tmp_path / name)
    assert _made_by_the_earlier_version(settings.data) == tmp_path / str(NAMES[name])
    with pytest.raises(MisplacedDatabase) as refusal:
        misplaced_database.check(settings)
    said = str(refusal.value)
    assert f"expected {settings.data / 'radii.db'}, got {tmp_path / str(NAMES[name])}" in said
    assert "because of % or ? in RADII_DATA" in said


def test_the_command_of_the_message_moves_the_database(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "a?b")
    settings.data.mkdir()
    old = _made_by_the_earlier_version(settings.data)
    Path(f"{old}-wal").write_bytes(b"the rest")
    with pytest.raises(MisplacedDatabase) as refusal:
        misplaced_database.check(settings)
    subprocess.run(str(refusal.value).split("`")[1], shell=True, check=True)
    assert not old.exists() and (settings.data / "radii.db-wal").read_bytes() == b"the rest"
    (settings.data / "radii.db-wal").unlink()
    misplaced_database.check(settings)
    database = Database(settings.url)
    schema_version.require(database.engine)
    database.close()


def test_whoever_wants_an_empty_database_says_so(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "a?b")
    _made_by_the_earlier_version(settings.data)
    misplaced_database.check(settings.model_copy(update={"database_url": sqlite_url(settings.data / "radii.db")}))


@pytest.mark.parametrize("name", NAMES)
def test_a_new_folder_is_no_reason_to_refuse(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_text("no database")
    misplaced_database.check(Settings(data=tmp_path / name))


def test_a_database_in_its_own_data_folder_is_not_mistaken_for_another_ones(tmp_path: Path) -> None:
    own = Settings(data=tmp_path / "100A")
    _made_by_the_earlier_version(own.data)
    other = Settings(data=tmp_path / "100%41")
    with pytest.raises(MisplacedDatabase):
        misplaced_database.check(other)
    database = Database(own.url)
    folder_identity.bind(own, database)
    database.close()
    misplaced_database.check(other)


def test_every_way_to_open_the_database_refuses_and_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=tmp_path / "a?b", min_free=0)
    settings.data.mkdir()
    _made_by_the_earlier_version(settings.data)
    with pytest.raises(MisplacedDatabase):
        embedded.run_worker(settings, threading.Event())
    with pytest.raises(MisplacedDatabase):
        create.back_up(settings, tmp_path / "backup")
    for command in ("migrate", "backup FOLDER", "worker", "up"):  # `worker` and `up` run on if they are not refused
        said = refused(*shlex.split(command), "--data", str(settings.data))
        assert "The database of an earlier version lies outside the data folder" in said and "`mv " in said, command
    found = next(each for each in diagnosis.look(settings) if each.what == "database")
    assert found.state == "wrong" and str(tmp_path / "a") in found.found and "`mv " in found.help
    assert not (settings.data / "radii.db").exists()
