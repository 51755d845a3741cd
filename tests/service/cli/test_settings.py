"""`radii settings`: what can be set, and how it is set here."""

import json

import pytest
from tests_support.cli import done

from radii.worker.settings import Settings


def test_every_setting_is_listed_with_its_default_and_what_it_is() -> None:
    rows = json.loads(done("settings", "--json").stdout)
    assert [row["variable"] for row in rows] == [f"RADII_{name.upper()}" for name in Settings.model_fields]
    assert all(row["description"] for row in rows)
    text = done("settings").stdout
    assert "RADII_LEASE" in text and "a worker that is silent this long" in text


def test_values_are_those_of_the_environment_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADII_LEASE", "7")
    monkeypatch.setenv("RADII_DATABASE_URL", "postgresql://radii:secret@host/radii")
    found = {row["variable"]: (row["value"], row["default"]) for row in json.loads(done("settings", "--json").stdout)}
    assert found["RADII_LEASE"] == (7.0, 60.0)
    assert found["RADII_DATABASE_URL"] == ("postgresql://radii:***@host/radii", None)
