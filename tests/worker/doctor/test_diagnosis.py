"""`radii doctor` names what is wrong on a machine, and what helps."""

import re
import socket
from pathlib import Path

import pytest
from sqlalchemy import text
from tests_support import servers, things

from radii.worker.doctor import diagnosis
from radii.worker.isolation import availability
from radii.worker.isolation.confine import MissingRestriction
from radii.worker.processes import memory_limit
from radii.worker.settings import GIB, Settings
from radii.worker.store import jobs, resources
from radii.worker.store.blobs import blob_files
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Job, Shard, Worker


@pytest.fixture
def settings(tmp_path: Path, database: Database, database_url: str) -> Settings:
    return Settings(data=tmp_path, database_url=database_url, device="cpu", min_free=0)


def _wrong(settings: Settings) -> dict[str, str]:
    return {each.what: f"{each.found}; {each.help}" for each in diagnosis.look(settings) if each.state == "wrong"}


def _submit(database: Database, **job: object) -> str:
    tenant_id = things.tenant(database)
    with database.write() as session:
        new = NewJob(tenant_id=tenant_id, spec=things.spec("certify"), shards=[(0, 1)], total=1, work_total=1)
        made = jobs.submit(session, new)
        for name, value in job.items():
            setattr(made, name, value)
        return made.id


def test_nothing_is_wrong_where_nothing_is(settings: Settings, database: Database) -> None:
    things.dataset(database, settings.blobs, things.tenant(database))
    found = {each.what: each for each in diagnosis.look(settings)}
    assert _wrong(settings) == {}
    assert found["files"].found == "1 are there, each of its size"
    assert {"python", "torch", "device", "data folder", "database", "schema", "workers"} <= found.keys()


def test_a_variable_that_means_nothing_is_told_with_the_one_that_is_near(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADII_LEASSE", "5")
    monkeypatch.setenv("RADII_TEST_ANYTHING", "1")
    assert _wrong(settings) == {"settings": "RADII_LEASSE is set and means nothing; perhaps RADII_LEASE is meant"}


def test_jobs_that_nobody_works_on_are_told(settings: Settings, database: Database) -> None:
    _submit(database)
    assert "1 parts of jobs wait; start `radii up`" in _wrong(settings)["workers"]
    with database.write() as session:
        session.add(Worker(id="w", host="here", pid=1, info={"device_type": "cpu"}))
        session.add(Worker(id="s", host="here", pid=1, info={"role": "service"}))
    assert _wrong(settings) == {}
    with database.write() as session:
        session.add(Worker(id="x", host="here", pid=2, info={"device_type": "cpu", "schema": "0003"}))
    assert "1 work with another schema" in _wrong(settings).pop("versions")
    _submit(database, device_type="cuda")
    assert "1 parts wait for a device nobody has" in _wrong(settings)["device types"]


def test_a_service_that_is_not_there_is_wrong_where_jobs_wait(settings: Settings, database: Database) -> None:
    def told() -> tuple[str, str]:
        (found,) = (each for each in diagnosis.look(settings) if each.what == "service")
        return found.state, found.found

    assert told() == ("worth knowing", "none was seen in the last 45 s")
    with database.write() as session:
        session.add(Worker(id="s", host="here", pid=1, info={"role": "service"}, seen=clock() - 300))
    state, found = told()
    assert state == "worth knowing" and re.fullmatch(r"none was seen in the last 45 s; the last one 30\d s ago", found)
    _submit(database)
    assert told()[0] == "wrong"
    with database.write() as session:
        session.add(Worker(id="t", host="here", pid=2, info={"role": "service"}, seen=clock() - 3))
    state, found = told()
    assert state == "good" and re.fullmatch(r"1 seen lately, the last \d s ago", found)


def test_leases_that_nobody_takes_back_are_told(settings: Settings, database: Database) -> None:
    job_id = _submit(database)
    with database.write() as session:
        shard = session.get_one(Shard, (job_id, 0))
        shard.state, shard.lease_until = "leased", 1.0
        session.get_one(Job, job_id).state = jobs.RUNNING
    assert "1 ran out and were not taken back" in _wrong(settings)["leases"]


def test_files_that_are_gone_or_cut_are_told(settings: Settings, database: Database) -> None:
    things.dataset(database, settings.blobs, things.tenant(database))
    (path,) = (path for path in settings.blobs.glob("??/*"))
    path.write_bytes(path.read_bytes()[:-1])
    assert path.name in _wrong(settings)["files"]
    blob_files.delete(settings.blobs, path.name)
    assert path.name in _wrong(settings)["files"]


def test_another_schema_and_a_database_or_broker_that_is_away_are_told(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    nobody = servers.free_port()
    away = settings.model_copy(update={"broker_url": f"redis://127.0.0.1:{nobody}/0"})
    assert "does not answer" in _wrong(away)["broker"]
    gone = Settings(data=tmp_path, database_url=f"postgresql://x@127.0.0.1:{nobody}/x", device="cpu", min_free=0)
    assert "is it running at RADII_DATABASE_URL?" in _wrong(gone)["database"]


def test_each_schema_that_is_not_this_ones_has_its_own_way_out(settings: Settings, database: Database) -> None:
    for act, wanted in (
        (
            "UPDATE alembic_version SET version_num = '0001'",
            "make a backup (`radii backup FOLDER`), then run `radii migrate`",
        ),
        ("UPDATE alembic_version SET version_num = '9999'", "it belongs to a newer version of radii: use that one"),
        ("DELETE FROM alembic_version", "run `radii migrate`"),
    ):
        with database.engine.begin() as connection:
            connection.execute(text(act))
        assert _wrong(settings)["schema"].partition("; ")[2].startswith(wanted)


def test_a_data_folder_that_is_a_file_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        settings = Settings(data=data, device="cpu", min_free=0)
        assert "database" not in {each.what for each in diagnosis.look(settings)}
        wrong = _wrong(settings)
        assert "file, which is a file; set RADII_DATA" in wrong["data folder"]


def test_a_database_of_another_kind_and_one_that_is_not_made_are_told(
    tmp_path: Path, postgres: servers.Postgres
) -> None:
    other = Settings(data=tmp_path, database_url="mysql://me:s3cret@here/radii", device="cpu", min_free=0)
    assert _wrong(other)["database"].startswith("expected a postgresql:// or sqlite:// URL, got mysql://; set RADII_")
    with postgres.database() as url:
        absent = Settings(data=tmp_path, database_url=f"{url}_not", device="cpu", min_free=0)
    assert f"`createdb {absent.url.rsplit('/', 1)[-1]}` makes it" in _wrong(absent)["database"]


def test_a_device_that_is_not_there_a_full_disk_and_a_network_disk_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "_file_system", lambda path: "nfs4")
    wrong = _wrong(Settings(data=tmp_path, device="cuda:99", min_free=2**60))
    assert "one of 0 CUDA devices" in wrong["device"]
    assert "make room" in wrong["data folder"]
    assert "on nfs4; SQLite loses data where locks do not work" in wrong["file system"]


def test_a_broken_database_file_is_told_and_no_check_stops_the_others(tmp_path: Path) -> None:
    (tmp_path / "radii.db").write_bytes(b"not a database, but something else" * 100)
    wrong = _wrong(Settings(data=tmp_path, device="cpu", min_free=0))
    assert "file is not a database" in wrong["database"]


def test_a_restriction_that_this_system_lacks_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = MissingRestriction(
        restriction="Landlock", reason="Function not implemented", consequence="files are open"
    )
    monkeypatch.setattr(availability, "missing", lambda uid: (lacking,))
    (found,) = (each for each in diagnosis.look(settings) if each.what == "isolation")
    assert (found.state, found.found) == ("worth knowing", "missing: Landlock (Function not implemented)")
    assert found.help.startswith("files are open; ")
    monkeypatch.setattr(availability, "missing", lambda uid: ())
    assert [each.state for each in diagnosis.look(settings) if each.what == "isolation"] == ["good"]


def test_memory_limits_that_exceed_the_machine_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(total: int, **changes: int) -> tuple[str, str]:
        monkeypatch.setattr(memory_limit, "total", lambda: total * GIB)
        memory = {"convert_memory": 16 * GIB, "decode_memory": 4 * GIB, "results_memory": GIB} | changes
        (found,) = (each for each in diagnosis.look(settings.model_copy(update=memory)) if each.what == "memory limits")
        return found.state, found.found

    assert told(20)[0] == "worth knowing", "results files count, too"
    assert told(21)[0] == "good"
    state, found = told(37, local_workers=2)
    assert state == "good" and found.startswith("2 x 16.0 GiB for conversions (RADII_CONVERT_MEMORY), 4.0 GiB")
    assert told(36, local_workers=2)[0] == "worth knowing"


def test_a_data_folder_that_others_can_read_is_told(settings: Settings) -> None:
    (settings.data / "tuning.json").touch(mode=0o600)
    (settings.data / "tuning.json").chmod(0o644)
    assert "permissions" not in _wrong(settings), "the folder itself is closed"
    settings.data.chmod(0o755)
    assert "tuning.json" in _wrong(settings)["permissions"]


def test_a_storage_quota_that_is_nearly_used_up_is_told(settings: Settings, database: Database) -> None:
    with database.write() as session:
        sealed = _blob(settings, b"x" * 950)
        resources.put_blob(session, settings.blobs, sealed)
        resources.put_upload(session, things.tenant_in(session), "file", sealed.sha256)
    small = settings.model_copy(update={"tenant_bytes": 1_000})
    found = {each.what: each for each in diagnosis.look(small)}["storage quotas"]
    assert (found.state, found.found) == ("worth knowing", "nearly used up: default (95%)")
    assert "storage quotas" not in {each.what for each in diagnosis.look(settings)}


def _blob(settings: Settings, content: bytes) -> blob_files.SealedBlob:
    with blob_files.writing(settings.blobs) as writer:
        writer.write(content)
        return writer.seal()


def test_a_worker_of_this_machine_is_told_from_those_of_others_and_from_one_that_is_gone(
    settings: Settings, database: Database
) -> None:
    def seen(host: str, seconds_ago: float = 0.0) -> str:
        with database.write() as session:
            session.execute(text("DELETE FROM worker"))
            session.add(Worker(id="w", host=host, pid=1, info={}, seen=clock() - seconds_ago))
        return diagnosis.worker_here(settings).state

    assert diagnosis.worker_here(settings).state == "wrong"
    assert seen(socket.gethostname()) == "good"
    assert seen("another") == "wrong"
    assert seen(socket.gethostname(), seconds_ago=2 * settings.seen) == "wrong"
