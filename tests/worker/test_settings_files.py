"""Secrets come from files where RADII_..._FILE names them."""

from pathlib import Path

import pytest
from tests_support.cli import done, refused

from radii.worker.settings import Settings
from radii.worker.settings_environment import environment


@pytest.mark.parametrize("name", ["database_url", "broker_url"])
def test_a_secret_is_read_from_its_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("redis://:password@host/0\n")
    monkeypatch.setenv(f"RADII_{name.upper()}_FILE", str(tmp_path / "secret"))
    assert getattr(Settings(), name) == "redis://:password@host/0"
    assert f"RADII_{name.upper()}_FILE" not in environment(Settings())
    assert "password" not in done("settings").stdout.replace("a password", "").replace("passwords", "")


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").touch()
    for path, wanted in ((tmp_path / "absent", "cannot be read"), (tmp_path / "empty", "got an empty file")):
        monkeypatch.setenv("RADII_DATABASE_URL_FILE", str(path))
        text = refused("migrate", "--data", tmp_path)
        assert "RADII_DATABASE_URL_FILE" in text and wanted in text
    (tmp_path / "empty").write_text("postgresql://a")
    monkeypatch.setenv("RADII_DATABASE_URL", "postgresql://b")
    assert "got both; unset one" in refused("migrate", "--data", tmp_path)
