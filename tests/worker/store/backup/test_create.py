"""A backup holds everything of one moment; what is restored from it is sound, and its jobs go on."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text
from tests_support import processes, things
from tests_support.kinds import SLOWLY_ON_SQLITE

from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs, resources, schema_version
from radii.worker.store.backup import create, restore, restore_marker
from radii.worker.store.backup.create import CannotCopy
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Worker

pytestmark = pytest.mark.long


@pytest.fixture
def settings(tmp_path: Path, database: Database, database_url: str) -> Settings:
    if database_url.startswith("postgres") and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not on this machine's path")
    (tmp_path / "here").mkdir()
    return Settings(
        data=tmp_path / "here", database_url=database_url, poll=0.05, commit=0.1, housekeeping_seconds=0.5, threads=1
    )


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """An empty place of the same kind."""
    data = tmp_path / "there"
    if settings.url.startswith("sqlite"):
        data.mkdir()
        yield Settings(**settings.model_dump() | {"data": data, "database_url": f"sqlite:///{data / 'radii.db'}"})
        return
    with request.getfixturevalue("postgres").database() as url:
        yield Settings(**settings.model_dump() | {"data": data, "database_url": url})


def _submit(database: Database, settings: Settings, count: int) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
        "inputs": {"start": 1_500, "count": count},
        "n": 20_000,
        "seed": 4,
    }
    return things.submit(database, tenant_id, body)


@SLOWLY_ON_SQLITE
def test_a_job_goes_on_from_a_backup_that_was_made_in_its_middle_and_ends_with_the_same_counts(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    job_id = _submit(database, settings, 24)
    with processes.fleet(settings, "radii.worker.embedded", 1):
        processes.until(lambda: processes.stored(database, job_id) >= 2, 60, "results")
        copied = create.back_up(settings, tmp_path / "copy")
        processes.until(lambda: processes.ended(database, job_id), 120, "the job ends")
    assert (copied.blobs, copied.damaged, copied.missing) == (2, (), ())
    assert restore.restore(elsewhere, tmp_path / "copy").blobs == 2
    restored = Database(elsewhere.url)
    try:
        assert 2 <= processes.stored(restored, job_id) < 24
        with restored.write() as session:  # as if the lease of the worker of that time had run out
            session.execute(text("UPDATE shard SET lease_until = 0"))
        with processes.fleet(elsewhere, "radii.worker.embedded", 1):
            processes.until(lambda: processes.ended(restored, job_id), 120, "the restored job ends")
        for one in (database, restored):
            with one.read() as session:
                assert session.get_one(Job, job_id).state == jobs.SUCCEEDED
        with database.read() as here, restored.read() as there:
            first, second = (list(certificate_rows.read(session, job_id)) for session in (here, there))
        assert [(row.index, row.counts0, row.counts, row.radius) for row in first] == [
            (row.index, row.counts0, row.counts, row.radius) for row in second
        ]
    finally:
        restored.close()


def test_files_that_have_rotted_or_are_gone_are_told(database: Database, settings: Settings, tmp_path: Path) -> None:
    _submit(database, settings, 1)
    rotten, gone = sorted(settings.blobs.glob("??/*"))
    whole = rotten.read_bytes()
    rotten.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    gone.unlink()
    copied = create.back_up(settings, tmp_path / "copy")
    assert (copied.blobs, copied.damaged, copied.missing) == (0, (rotten.name,), (gone.name,))
    with database.read() as session:
        data, model = (session.scalars(select(table)).one() for table in (Dataset, Checkpoint))
    belongs = {data.sha256: f"data set {data.name}, {data.id}", model.sha256: f"checkpoint {model.name}, {model.id}"}
    assert copied.owners == belongs
    assert not list((tmp_path / "copy").rglob("*.part"))


def test_what_loses_its_last_reference_during_a_backup_is_in_it(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = things.dataset(database, settings.blobs, things.tenant(database))
    copy = create.copy_blobs

    def after_a_deletion(*args: Any) -> Any:
        with database.write() as session:
            resources.remove(session, session.get_one(Dataset, dataset_id))
            resources.collect(session, settings.blobs, grace=-60.0)
        return copy(*args)

    monkeypatch.setattr(create, "copy_blobs", after_a_deletion)
    copied = create.back_up(settings, tmp_path / "copy")
    assert (copied.blobs, copied.missing) == (1, ())
    assert restore.restore(elsewhere, tmp_path / "copy").missing == ()
    with database.write() as session:
        assert resources.collect(session, settings.blobs, grace=-60.0) == 1, "afterwards it goes"


def test_a_database_that_was_damaged_in_the_backup_is_refused_before_anything_is_written(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    _submit(database, settings, 1)
    create.back_up(settings, tmp_path / "copy")
    dump = next(path for path in (tmp_path / "copy").glob("radii.*"))
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    with pytest.raises(CannotCopy, match=r"as backup\.json says, got [0-9a-f]{64}: it has been damaged since"):
        restore.restore(elsewhere, tmp_path / "copy")
    assert not elsewhere.blobs.exists()
    _is_empty(elsewhere)


def _is_empty(settings: Settings) -> None:
    database = Database(settings.url)
    assert inspect(database.engine).get_table_names() == []
    database.close()


def test_a_restore_that_was_cut_off_is_run_again(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once among the files, once at the database: each time the message says what to do, and nothing is lost by it."""
    _submit(database, settings, 1)
    create.back_up(settings, tmp_path / "copy")
    first, second = sorted((tmp_path / "copy" / "blobs").glob("??/*"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def full_of_files(folder: Path) -> None:
        if folder != elsewhere.data:
            full()

    for module, name in ((blob_files, "sync_folder"), (restore, "_put_database")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full_of_files if name == "sync_folder" else full)
            with pytest.raises(CannotCopy, match=r"No space left on device\. Run it again when that is mended"):
                restore.restore(elsewhere, tmp_path / "copy")
        assert restore_marker.source_of(elsewhere) == str(tmp_path / "copy")
        _is_empty(elsewhere)
    assert (elsewhere.blobs / first.name[:2] / first.name).exists()
    copied = restore.restore(elsewhere, tmp_path / "copy")
    assert (copied.blobs, copied.size, copied.damaged, copied.missing) == (2, 0, (), ())
    assert restore_marker.source_of(elsewhere) is None
    assert (elsewhere.blobs / second.name[:2] / second.name).read_bytes() == second.read_bytes()


class Cut(BaseException):
    """As if the process were killed."""


def test_a_restore_that_was_cut_off_after_the_database_is_run_again_unless_somebody_has_worked_on_it(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = things.tenant(database)
    create.back_up(settings, tmp_path / "copy")

    def cut(database: Database) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(restore, "_forget_workers", cut)
        for _ in range(2):
            with pytest.raises(Cut):
                restore.restore(elsewhere, tmp_path / "copy")
    with pytest.raises(restore_marker.Unfinished, match=f"run `radii restore {tmp_path / 'copy'}` again"):
        create.back_up(elsewhere, tmp_path / "another")
    restore.restore(elsewhere, tmp_path / "copy")
    restored = Database(elsewhere.url)
    assert things.tenant(restored) == tenant_id
    restore_marker.begin(elsewhere, restored.engine, tmp_path / "copy")
    things.tenant(restored, "later")
    with pytest.raises(CannotCopy, match="got one that has some"):
        restore.restore(elsewhere, tmp_path / "copy")
    restored.close()


def test_workers_and_services_of_the_backup_are_not_seen_where_it_is_restored(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    with database.write() as session:
        session.add(Worker(id="w", host="here", pid=1, info={}))
        session.add(Worker(id="s", host="here", pid=2, info={"role": "service"}))
    create.back_up(settings, tmp_path / "copy")
    restore.restore(elsewhere, tmp_path / "copy")
    restored = Database(elsewhere.url)
    with restored.read() as session:
        assert session.scalars(select(Worker)).all() == []
    restored.close()


def test_a_database_that_has_gone_down_to_nothing_is_as_good_as_an_empty_one(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    tenant_id = things.tenant(database)
    create.back_up(settings, tmp_path / "copy")
    schema_version.migrate(database.engine, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    restore.restore(settings, tmp_path / "copy")
    assert things.tenant(database) == tenant_id


@pytest.mark.parametrize(
    ("file", "url", "wanted"),
    [
        (create.POSTGRES, None, "this is a backup of Postgres: set RADII_DATABASE_URL"),
        (create.SQLITE, "postgresql://me@nowhere/none", "this is a backup of SQLite: leave RADII_DATABASE_URL unset"),
        ("else", None, r"expected radii\.db in .*copy, as `radii backup` writes it, got a backup without that file"),
    ],
)
def test_a_backup_of_another_kind_of_database_is_told_with_the_setting(
    tmp_path: Path, file: str, url: str | None, wanted: str
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / file).touch()
    (tmp_path / "copy" / create.MANIFEST).write_text('{"schema": "0001"}')
    with pytest.raises(CannotCopy, match=wanted):
        restore.restore(Settings(data=tmp_path / "there", database_url=url), tmp_path / "copy")
    assert not (tmp_path / "there").exists()


def test_files_that_are_there_already_are_compared_and_not_trusted(
    database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    _submit(database, settings, 1)
    create.back_up(settings, tmp_path / "copy")
    sound, damaged = sorted((tmp_path / "copy" / "blobs").glob("??/*"))
    for path, content in ((sound, sound.read_bytes()), (damaged, b"cut")):
        target = elsewhere.blobs / path.name[:2] / path.name
        target.parent.mkdir(parents=True)
        target.write_bytes(content)
    copied = restore.restore(elsewhere, tmp_path / "copy")
    assert (copied.blobs, copied.size) == (2, damaged.stat().st_size)
    assert (elsewhere.blobs / damaged.name[:2] / damaged.name).read_bytes() == damaged.read_bytes()


def test_the_password_of_postgres_stands_in_no_list_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "$PGPASSWORD" > {tmp_path}/password\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for url in ("postgresql://me:s3cret@host:5433/radii", "postgresql+psycopg://me@host:5433/radii?password=s3cret"):
        create.run_client(["pg_dump", "--format=custom"], url)
        arguments = (tmp_path / "arguments").read_text()
        assert arguments == "--dbname postgresql://me@host:5433/radii --format=custom\n"
        assert (tmp_path / "password").read_text() == "s3cret\n"


def test_nothing_is_written_over(database: Database, settings: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "something").touch()
    with pytest.raises(CannotCopy, match="which holds something"):
        create.back_up(settings, tmp_path / "held")
    elsewhere.data.mkdir(exist_ok=True)
    empty = Database(elsewhere.url)
    assert schema_version.current(empty.engine) is None
    empty.close()
    with pytest.raises(CannotCopy, match="expected a database with tables, got an empty one"):
        create.back_up(elsewhere, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    create.back_up(settings, tmp_path / "copy")
    with pytest.raises(CannotCopy, match="got one that has some"):
        restore.restore(settings, tmp_path / "copy")
    with pytest.raises(CannotCopy, match="that `radii backup` has made to its end"):
        restore.restore(elsewhere, tmp_path)


def test_a_mistyped_folder_is_refused_before_anything_is_made(settings: Settings, tmp_path: Path) -> None:
    mistyped = settings.model_copy(update={"data": tmp_path / "mistyped"})
    with pytest.raises(CannotCopy, match=r"mistyped, which is none: is it the one of RADII_DATA"):
        create.back_up(mistyped, tmp_path / "copy")
    (tmp_path / "other").mkdir()
    with pytest.raises(
        CannotCopy, match=r"expected a database in .*other/radii\.db, got none: is it the one of RADII_DATA"
    ):
        create.back_up(Settings(data=tmp_path / "other"), tmp_path / "copy")
    for target in (settings.data, settings.blobs, settings.blobs / "copy", settings.blobs / ".." / "blobs" / "copy"):
        with pytest.raises(CannotCopy, match="expected a folder apart from the data folder and its files"):
            create.back_up(settings, target)
    made = [path.name for path in (tmp_path / "mistyped", tmp_path / "copy", settings.blobs) if path.exists()]
    assert made == [] and not list((tmp_path / "other").iterdir())


def test_a_backup_of_a_newer_version_is_refused(settings: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    create.back_up(settings, tmp_path / "copy")
    manifest = tmp_path / "copy" / create.MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"{schema_version.head()}"', '"9999"'))
    with pytest.raises(CannotCopy, match="got one of 9999: use its version"):
        restore.restore(elsewhere, tmp_path / "copy")


def test_a_backup_of_sqlite_is_one_file_without_a_log(database: Database, settings: Settings, tmp_path: Path) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("of SQLite")
    things.tenant(database, "lately")
    create.back_up(settings, tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / create.SQLITE) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert ("lately",) in copy.execute("SELECT name FROM tenant").fetchall()
