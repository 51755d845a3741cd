"""Settings: where things are, whatever the names of folders look like."""

import sqlite3
from pathlib import Path

import pytest

from radii.worker.doctor import diagnosis
from radii.worker.settings import Settings, _warn_once
from radii.worker.settings_environment import variables
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


@pytest.mark.parametrize(("former", "present"), [("SWEEP", "HOUSEKEEPING_SECONDS"), ("LOOK", "BROKER_POLL_SECONDS")])
def test_a_former_name_is_read_with_a_warning_that_names_the_present_one(
    former: str, present: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"RADII_{former}", "7.5")
    _warn_once.cache_clear()
    assert getattr(Settings(), present.lower()) == 7.5
    Settings()
    assert caplog.text.count(f"RADII_{former} is called RADII_{present} now") == 1, "once in a process"
    found = [each for each in diagnosis.look(Settings()) if each.what == "settings"]
    assert [(each.state, each.found) for each in found][:1] == [("worth knowing", f"RADII_{former} is set")]
    caplog.clear()
    monkeypatch.setenv(f"RADII_{present}", "3")
    assert getattr(Settings(), present.lower()) == 3.0, "the present name goes before"
    assert not caplog.text


def test_settings_reach_other_processes_under_their_present_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADII_SWEEP", "7.5")
    given = variables(Settings())
    assert given["RADII_HOUSEKEEPING_SECONDS"] == "7.5"
    assert "RADII_SWEEP" not in given
