"""A worker's rounds: leases, wake-up messages, its heartbeat, old files, and a schema that has changed under a running worker."""

from pathlib import Path

import pytest
from sqlalchemy import text
from tests_support import processes, things

from radii.worker import housekeeping
from radii.worker.loop import WorkerSlot
from radii.worker.settings import Settings
from radii.worker.store import shards
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Shard, Worker

CPU = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}


@pytest.fixture
def slot(database: Database, database_url: str, tmp_path: Path) -> WorkerSlot:
    return WorkerSlot(Settings(data=tmp_path, database_url=database_url, housekeeping_seconds=0.001), database)


def test_a_round_shows_the_worker(slot: WorkerSlot, database: Database) -> None:
    housekeeping.WorkerHeartbeat(slot).go_if_due()
    with database.read() as session:
        assert session.get(Worker, slot.id) is not None


def test_expired_leases_are_taken_back_whatever_the_process_is_at(
    slot: WorkerSlot, database: Database, tmp_path: Path
) -> None:
    tenant_id = things.tenant(database)
    things.submit(
        database,
        tenant_id,
        {
            "kind": "train",
            "dataset": things.dataset(database, tmp_path / "blobs", tenant_id),
            "architecture": "digits_cnn",
            "sigma": 0.25,
            "epochs": 1,
        },
    )
    with database.write() as session:
        assert shards.claim(session, lease=-1.0, **CPU) is not None  # type: ignore[arg-type]

    def states() -> set[str]:
        with database.read() as session:
            return {shard.state for shard in session.query(Shard).filter(Shard.attempt > 0)}

    with housekeeping.HousekeepingThreads(slot.settings):
        processes.until(lambda: states() == {"ready"}, 30, "housekeeping")


def test_rounds_are_made_once_an_interval(slot: WorkerSlot, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(slot, "register", lambda: made.append(1))
    slot.settings = slot.settings.model_copy(update={"housekeeping_seconds": 600.0})
    rounds = housekeeping.WorkerHeartbeat(slot)
    for _ in range(3):
        rounds.go_if_due()
    assert made == [1]


def test_an_error_in_a_round_does_not_end_the_worker(
    slot: WorkerSlot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise FileNotFoundError("moved meanwhile")

    monkeypatch.setattr(slot, "register", fail)
    housekeeping.WorkerHeartbeat(slot).go_if_due()
    assert "a round was cut short" in caplog.text
    assert not slot.stop.is_set()


def test_an_error_in_a_sweep_does_not_end_the_sweeping(slot: WorkerSlot, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def fail(*_: object) -> None:
        made.append(1)
        raise FileNotFoundError("moved meanwhile")

    monkeypatch.setattr(housekeeping, "recover_once", fail)
    with housekeeping.HousekeepingThreads(slot.settings):
        processes.until(lambda: len(made) > 2, 30, "more rounds of housekeeping")


def test_a_worker_stops_when_its_database_has_got_another_schema(slot: WorkerSlot, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    housekeeping.WorkerHeartbeat(slot).go_if_due()
    assert slot.stop.is_set()


def test_a_cleaning_leaves_what_is_young_and_what_is_used(slot: WorkerSlot, database: Database, tmp_path: Path) -> None:
    dataset_id = things.dataset(database, slot.settings.blobs, things.tenant(database))
    young = blob_files.new_path(slot.settings.blobs)
    young.write_bytes(b"in work")
    assert dataset_id
    assert housekeeping.delete_expired_once(database, slot.settings) == 0
    assert young.exists()
