"""An idle Celery worker begins at once when a wake-up message comes, and does not need one to find work."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests_support import processes, servers, things

from radii.worker.loop import REFUSED
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.settings_environment import variables
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Job, Worker

pytestmark = pytest.mark.long


@pytest.fixture
def database_url(postgres: servers.Postgres, migrated_name: str) -> Iterator[str]:
    with postgres.database(migrated_name) as url:
        yield url


def _settings(tmp_path: Path, url: str, redis_url: str, **changes: float) -> Settings:
    queue = f"radii-test-{secrets.token_hex(4)}"
    fields = {"data": tmp_path, "database_url": url, "broker_url": redis_url, "queue": queue, "threads": 1}
    return Settings(**fields | {"commit": 0.1} | changes)  # type: ignore[arg-type]


def _submit(database: Database, settings: Settings) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
        "inputs": {"count": 2},
        "n": 100,
    }
    return things.submit(database, tenant_id, body)


def _begun(database: Database, job_id: str) -> bool:
    with database.read() as session:
        return session.get_one(Job, job_id).started is not None


def _seen(database: Database) -> bool:
    with database.read() as session:
        return session.query(Worker).count() > 0


def test_an_idle_worker_begins_when_the_bell_rings(
    database: Database, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = _settings(tmp_path, database_url, redis_url, housekeeping_seconds=600.0, broker_poll_seconds=600.0)
    with processes.fleet(settings, "radii.worker.celery_worker", 1):
        processes.until(lambda: _seen(database), 60, "the worker is there")
        time.sleep(2.0)  # it has connected to the broker by then
        job_id = _submit(database, settings)
        time.sleep(1.0)
        assert not _begun(database, job_id), "without a message, and with its timer far off, it does not know"
        broker.wake_workers(settings)
        processes.until(lambda: processes.ended(database, job_id), 30, "the job ends")


def test_a_bell_that_was_lost_costs_one_look(
    database: Database, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = _settings(tmp_path, database_url, redis_url, housekeeping_seconds=0.5, broker_poll_seconds=0.5)
    with processes.fleet(settings, "radii.worker.celery_worker", 1):
        processes.until(lambda: _seen(database), 60, "the worker is there")
        job_id = _submit(database, settings)
        processes.until(lambda: processes.ended(database, job_id), 30, "the job ends")


def test_a_worker_whose_schema_is_changed_ends_and_is_not_to_be_started_again(
    database: Database, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Else it would go on taking messages that others need, and keep its device."""
    settings = _settings(tmp_path, database_url, redis_url, housekeeping_seconds=0.5, broker_poll_seconds=0.5)
    with processes.fleet(settings, "radii.worker.celery_worker", 1) as fleet:
        processes.until(lambda: _seen(database), 60, "the worker is there")
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        processes.until(lambda: fleet.processes[0].poll() is not None, 60, "the worker ends")
        assert fleet.processes[0].returncode == REFUSED


def test_a_worker_whose_schema_is_changed_while_celery_starts_ends_in_the_same_way(
    database: Database, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Celery handles signals only once it has started; here it never does."""
    settings = _settings(tmp_path, database_url, redis_url, housekeeping_seconds=0.5, broker_poll_seconds=0.5)
    code = (
        "import time; from celery import Celery; Celery.worker_main = lambda *_: time.sleep(300)\n"
        "from radii.worker import celery_worker; celery_worker.main()"
    )
    worker = subprocess.Popen([sys.executable, "-P", "-c", code], env=os.environ | variables(settings))
    try:
        processes.until(lambda: _seen(database), 60, "the worker is there")
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        processes.until(lambda: worker.poll() is not None, 60, "the worker ends")
        assert worker.returncode == REFUSED
    finally:
        worker.kill()
        worker.wait()


def test_a_broker_that_is_away_is_no_error_for_whoever_rings(tmp_path: Path) -> None:
    begun = time.monotonic()
    broker.wake_workers(_settings(tmp_path, "sqlite://", f"redis://127.0.0.1:{servers.free_port()}/0"))
    assert time.monotonic() - begun < 2, "somebody waits for the answer to a submission"
