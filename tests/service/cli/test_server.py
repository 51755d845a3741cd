"""The commands that serve: keys, migrations, `radii up` and `radii worker`, as far as they refuse or end at once."""

import fcntl
import re
from pathlib import Path

import pytest
from tests_support import processes, things
from tests_support.cli import done, refused
from tests_support.live import running

from radii.worker.store import jobs, schema_version
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Job


class TestServer:
    def test_keys_are_made_listed_and_revoked(self, tmp_path: Path) -> None:
        made = done("key", "create", "--tenant", "acme", "--name", "laptop", "--data", tmp_path)
        assert re.fullmatch(r"radii_\S{40,}\n", made.stdout)
        identifier = re.search(r"key_\w+", made.stderr)
        assert identifier is not None
        listed = done("key", "list", "--data", tmp_path).stdout
        assert identifier[0] in listed and "acme" in listed and "works" in listed and made.stdout.strip() not in listed
        done("key", "revoke", identifier[0], "--data", tmp_path)
        assert "revoked" in done("key", "list", "--data", tmp_path).stdout
        assert "no key" in refused("key", "revoke", identifier[0], "--data", tmp_path)

    def test_migrate_goes_up_and_down(self, tmp_path: Path) -> None:
        assert re.search(r"was empty and is \w+ now", done("migrate", "--data", tmp_path).stdout)
        assert re.search(r"was \w+ and is empty now", done("migrate", "--down", "base", "--data", tmp_path).stdout)

    def test_migrate_goes_down_to_what_is_below_alone(self, tmp_path: Path) -> None:
        done("migrate", "--data", tmp_path)
        for name in ("xyz", "head"):
            text = refused("migrate", "--down", name, "--data", tmp_path)
            assert re.search(rf"expected one of 0001 \.\.\. \w+ or base, got '{name}'\.$", text)

    def test_what_is_lost_on_the_way_to_base_is_asked_for(self, tmp_path: Path) -> None:
        done("key", "create", "--tenant", "acme", "--data", tmp_path)
        assert "for ever: 1 keys." in refused("migrate", "--down", "base", "--data", tmp_path)
        assert "acme" in done("key", "list", "--data", tmp_path).stdout
        done("migrate", "--down", "base", "--yes", "--data", tmp_path)
        assert "There are no keys" in done("key", "list", "--data", tmp_path).stdout

    def test_another_address_needs_a_key(self, tmp_path: Path) -> None:
        text = refused("up", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path)
        assert "radii key create" in text and text.count("\n") == 1

    def test_one_service_per_folder(self, tmp_path: Path) -> None:
        with (tmp_path / "radii.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("4711\n")
            file.flush()
            text = refused("up", "--port", "0", "--data", tmp_path)
        assert "already served by another radii (process 4711)" in text

    def test_a_wrong_setting_is_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RADII_LEASE", "-3")
        assert "The setting RADII_LEASE is not valid" in refused("up", "--data", tmp_path)

    def test_a_worker_refuses_a_database_without_tables(self, tmp_path: Path) -> None:
        assert "radii migrate" in refused("worker", "--data", tmp_path)

    def test_a_database_that_is_away_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RADII_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        assert refused("migrate").startswith("radii: The database cannot be used: ")

    def test_a_database_of_another_kind_is_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RADII_DATABASE_URL", "mysql://me:s3cret@here/radii")
        for command in (("up", "--port", "0"), ("migrate",), ("backup", tmp_path / "copy")):
            text = refused(*command, "--data", tmp_path)
            assert "expected a postgresql:// or sqlite:// URL, got mysql://" in text and "s3cret" not in text

    def test_a_data_folder_that_is_a_file_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for command in (("up", "--port", "0"), ("migrate",), ("key", "list")):
            assert "got a file there: set RADII_DATA" in refused(*command, "--data", tmp_path / "file")


def test_a_service_says_that_it_brings_an_older_database_to_its_own_schema(tmp_path: Path) -> None:
    log = tmp_path / "data.log"
    with running(tmp_path / "data", "--workers", "0"):
        assert "schema" not in log.read_text()
    done("migrate", "--down", "0003", "--data", tmp_path / "data")
    with running(tmp_path / "data", "--workers", "0"):
        assert f"radii.service: schema 0003 -> {schema_version.head()}\n" in log.read_text()


def test_no_service_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.service.client.http.time.sleep", lambda seconds: None)
    text = refused("status", "job_1", "--server", "127.0.0.1:1")
    assert text.startswith("radii: No answer from http://127.0.0.1:1: ") and text.count("\n") == 1


def test_a_service_without_workers_ends_jobs_at_their_deadline(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--workers", "0", RADII_HOUSEKEEPING_SECONDS="0.2"):
        database = Database(f"sqlite:///{tmp_path / 'data' / 'radii.db'}")
        tenant_id = things.tenant(database)
        with database.write() as session:
            new = NewJob(
                tenant_id=tenant_id,
                spec=things.spec("certify"),
                shards=[(0, 1)],
                total=1,
                work_total=1,
                seconds_to_end=0.5,
            )
            job_id = jobs.submit(session, new).id
        processes.until(lambda: processes.ended(database, job_id), 20, "the deadline passes")
        with database.read() as session:
            assert session.get_one(Job, job_id).state == jobs.EXPIRED
        database.close()
