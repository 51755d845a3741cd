"""Transactions that stand still hold up nobody for ever."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from tests_support import servers, things

from radii.worker.store import database as session_module
from radii.worker.store import jobs, shards
from radii.worker.store.database import Database, make_engine
from radii.worker.store.models.tables import Shard

PATIENCE = 1.0
CPU = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}


@pytest.fixture
def postgres_url(postgres: servers.Postgres) -> Iterator[str]:
    with postgres.database() as url:
        things.migrated(url).close()
        yield url


def _one_row(database: Database) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE held (n integer)"))
        session.execute(text("INSERT INTO held VALUES (1)"))


def test_a_writer_that_stands_still_is_ended_by_postgres_and_its_locks_with_it(postgres_url: str) -> None:
    frozen, other = Database(postgres_url, patience=PATIENCE), Database(postgres_url, patience=10.0)
    _one_row(other)
    with pytest.raises(SQLAlchemyError), frozen.write() as session:
        session.execute(text("UPDATE held SET n = 2"))
        began = time.monotonic()
        with other.write() as second:
            second.execute(text("UPDATE held SET n = n + 10"))
        assert time.monotonic() - began < PATIENCE + 5.0
    with other.read() as session:
        assert session.scalar(text("SELECT n FROM held")) == 11, "nothing of the frozen one was written"
    for database in (frozen, other):
        database.close()


def test_who_waits_for_a_lock_is_told_after_a_while(postgres_url: str) -> None:
    holder, waiter = Database(postgres_url, patience=30.0), Database(postgres_url, patience=PATIENCE)
    _one_row(holder)
    with holder.write() as session:
        session.execute(text("UPDATE held SET n = 2"))
        with pytest.raises(OperationalError), waiter.write() as second:
            second.execute(text("UPDATE held SET n = 3"))
    for database in (holder, waiter):
        database.close()


def test_a_reader_may_take_its_time(postgres_url: str) -> None:
    database = Database(postgres_url, patience=0.2)
    with database.read() as session:
        session.execute(text("SELECT 1"))
        time.sleep(0.6)
        assert session.scalar(text("SELECT 2")) == 2
    database.close()


def test_writers_of_one_process_take_turns_and_none_sleeps_until_sqlite_looks_again(tmp_path: Path) -> None:
    database, said = Database(f"sqlite:///{tmp_path / 'turns.db'}"), []
    _one_row(database)

    def write() -> None:
        with database.write() as session:
            session.execute(text("UPDATE held SET n = n + 1"))

    second = threading.Thread(target=write)
    event.listen(database.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    with database.write() as session:
        session.execute(text("UPDATE held SET n = n + 1"))
        second.start()
        time.sleep(0.3)
        asked = said.count("BEGIN IMMEDIATE")
    second.join()
    assert asked == 1, "the second one asked for the lock of SQLite while the first one had it"
    with database.read() as session:
        assert session.scalar(text("SELECT n FROM held")) == 3
    database.close()


def test_a_writer_whose_turn_does_not_come_is_told_so_as_sqlite_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'turns.db'}")
    _one_row(database)
    monkeypatch.setattr(session_module, "BUSY_TIMEOUT_MS", 100)
    with database.write() as session:
        session.execute(text("UPDATE held SET n = 2"))
        told: list[str] = []

        def write() -> None:
            with pytest.raises(OperationalError) as caught, database.write():
                pass
            told.append(session_module.reason(caught.value))

        second = threading.Thread(target=write)
        second.start()
        second.join(10)
    assert told == ["database is locked"]
    database.close()


def test_writers_of_two_databases_over_one_file_take_turns_too(tmp_path: Path) -> None:
    first, second = (Database(f"sqlite:///{tmp_path / 'turns.db'}") for _ in range(2))
    _one_row(first)
    said: list[str] = []
    event.listen(second.engine, "before_cursor_execute", lambda *given: said.append(given[2]))

    def write() -> None:
        with second.write() as session:
            session.execute(text("UPDATE held SET n = n + 1"))

    thread = threading.Thread(target=write)
    with first.write() as session:
        session.execute(text("UPDATE held SET n = n + 1"))
        thread.start()
        time.sleep(0.3)
        assert "BEGIN IMMEDIATE" not in said
    thread.join(10)
    assert "BEGIN IMMEDIATE" in said
    first.close()
    second.close()


def test_a_write_inside_a_write_of_the_same_thread_is_refused_at_once(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'turns.db'}")
    with database.write(), pytest.raises(RuntimeError, match="one inside another"), database.write():
        pass
    with database.write() as session:
        session.execute(text("CREATE TABLE made (n INTEGER)"))
    database.close()


def test_the_wait_for_the_turn_and_for_sqlite_together_end_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds SQLite's lock permanently, and a thread of this one waits for it, with the turn."""
    monkeypatch.setattr(session_module, "BUSY_TIMEOUT_MS", 1_500)
    path = tmp_path / "turns.db"
    database, foreign = Database(f"sqlite:///{path}"), sqlite3.connect(path, isolation_level=None)
    _one_row(database)
    foreign.execute("BEGIN IMMEDIATE")
    took: list[float] = []

    def write() -> None:
        began = time.monotonic()
        with pytest.raises(OperationalError, match="database is locked"), database.write() as session:
            session.execute(text("UPDATE held SET n = 2"))
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join(20)
    foreign.close()
    database.close()
    assert len(took) == 2
    assert max(took) < 2 * 1.5, took


def test_the_url_says_more_of_the_line_than_we_do() -> None:
    engine = make_engine("postgresql://u@h/d?connect_timeout=99")
    assert engine.url.query["connect_timeout"] == "99"
    assert engine.url.query["tcp_user_timeout"] == "25000"


def test_a_sweep_does_not_wait_for_a_worker_that_is_frozen_inside_a_transaction(
    postgres_url: str, tmp_path: Path
) -> None:
    database = Database(postgres_url)
    tenant_id = things.tenant(database)
    for _ in range(2):
        with database.write() as session:
            new = jobs.NewJob(tenant_id=tenant_id, spec=things.spec("certify"), shards=[(0, 1)], total=1, work_total=1)
            jobs.submit(session, new)
    for _ in range(2):
        with database.write() as session:
            assert shards.claim(session, lease=-1.0, **CPU) is not None  # type: ignore[arg-type]
    with database.write() as frozen:
        held = frozen.query(Shard).with_for_update().first()
        assert held is not None
        with database.write() as session:
            assert [job_id for job_id, _ in shards.expire_leases(session)] != [held.job_id]
            assert session.query(Shard).filter_by(state="ready").count() == 1
    with database.write() as session:
        assert shards.expire_leases(session) == [(held.job_id, held.number)]
    database.close()
