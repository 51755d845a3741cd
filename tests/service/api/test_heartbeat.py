"""A running service is seen, keeps its schema from being changed, and stops serving where it was changed all the same."""

import fcntl
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from tests_support import processes
from tests_support.cli import done, refused
from tests_support.live import running
from tests_support.over_http import serving

from radii.service.api import heartbeat
from radii.worker.settings import Settings
from radii.worker.store import queue_stats, schema_version
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Worker


def _seen(database: Database) -> list[str]:
    with database.read() as session:
        return [row.info["role"] for row in session.query(Worker)]


def test_a_service_is_seen_while_it_runs_and_the_schema_is_not_changed_under_it(
    database: Database, settings: Settings
) -> None:
    with serving(database, settings) as service:
        processes.until(lambda: _seen(database) == [queue_stats.SERVICE], 20, "the service is seen")
        assert service.client.get("/readyz").json()["workers"] == [], "it is no worker"
        with pytest.raises(schema_version.StillRunning, match="workers and services that are running"):
            schema_version.migrate(database.engine, "0003")
    assert _seen(database) == []
    schema_version.migrate(database.engine, "0003")


def test_a_schema_that_was_changed_is_answered_with_503_until_it_is_right_again(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "POLL_SECONDS", 0.05)

    def change(revision: str) -> None:
        with fresh.engine.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))

    with serving(fresh, Settings(data=tmp_path, min_free=0)) as service:
        right = schema_version.head()
        change("9999")
        processes.until(lambda: service.client.get("/v1/jobs").status_code == 503, 20, "the change is noticed")
        for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("PUT", "/v1/uploads/a"), ("GET", "/")):
            answer = service.client.request(method, path)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:radii:problem:other-schema"), path
            assert answer.json()["detail"].endswith("got one of 9999: start the version that it belongs to.")
            assert answer.headers["Retry-After"]
        assert service.client.get("/healthz").status_code == service.client.get("/metrics").status_code == 200
        assert service.client.get("/readyz").json()["checks"]["schema"]["ok"] is False
        change(right)
        processes.until(lambda: service.client.get("/v1/jobs").status_code == 200, 20, "the way back is noticed")


def test_whatever_goes_wrong_at_one_look_the_next_one_is_made(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "POLL_SECONDS", 0.05)
    current, looks = schema_version.current, []

    def no_descriptors(engine: Engine) -> str | None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError(24, "Too many open files")
        return current(engine)

    monkeypatch.setattr(schema_version, "current", no_descriptors)
    with serving(fresh, Settings(data=tmp_path, min_free=0)):
        processes.until(lambda: len(looks) > 2, 20, "more looks")


def test_a_folder_that_is_served_is_not_migrated(tmp_path: Path) -> None:
    """Also where an older version serves it, which is not seen: it holds the folder."""
    done("migrate", "--data", tmp_path)
    with (tmp_path / "radii.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        assert "served by another radii (process 4711)" in refused("migrate", "--down", "0003", "--data", tmp_path)
        done("migrate", "--down", "0003", "--force", "--data", tmp_path)


def test_a_service_that_has_ended_in_order_is_in_the_way_of_no_migration(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--workers", "0"):
        pass
    done("migrate", "--down", "0003", "--data", tmp_path / "data")
