"""Migrations run up and down on SQLite and Postgres, and end where the tables of the code are."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tests_support import things

from radii.rs_core.specs.jobs import CertifySpec
from radii.worker.store import jobs, resources, schema_version, tenants
from radii.worker.store.database import Database
from radii.worker.store.models import tables
from radii.worker.store.models.column_types import Base, Json
from radii.worker.store.specifications import (
    AuditPlan,
    ConversionPlan,
    NoisePlan,
    as_kind,
    dump_spec,
    load_dataset_source,
)


def test_the_migrated_schema_is_the_one_of_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_run_down_to_nothing_and_up_again(database: Database) -> None:
    schema_version.migrate(database.engine, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    schema_version.migrate(database.engine)
    assert schema_version.current(database.engine) == schema_version.head()


def test_an_empty_database_is_refused_with_the_way_out(empty_url: str) -> None:
    database = Database(empty_url)
    with pytest.raises(schema_version.WrongSchema, match=r"expected \d+, got none. Run `radii migrate`"):
        schema_version.require(database.engine)
    database.close()


def test_a_newer_database_is_refused_by_an_older_worker_and_by_an_older_migrate(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for act in (schema_version.require, schema_version.migrate):
        with pytest.raises(schema_version.WrongSchema, match=r"got 9999\. It belongs to a newer version"):
            act(database.engine)


def test_a_schema_is_not_changed_under_workers_that_are_running(database: Database) -> None:
    with database.write() as session:
        session.add(tables.Worker(id="w1", host="gpu1", pid=7, info={}))
        session.add(tables.Worker(id="w2", host="gpu2", pid=8, info={}, seen=1.0))
    schema_version.migrate(database.engine)  # there is nothing to change
    with pytest.raises(
        schema_version.StillRunning, match="expected none, got process 7 on gpu1, seen in the last 45 s"
    ):
        schema_version.migrate(database.engine, "0003")
    assert schema_version.current(database.engine) == schema_version.head()
    schema_version.migrate(database.engine, "0003", force=True)
    with pytest.raises(schema_version.StillRunning):
        schema_version.migrate(database.engine)
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM worker"))
    schema_version.migrate(database.engine)
    assert schema_version.current(database.engine) == schema_version.head()


def test_nobody_goes_down_to_what_is_not_below(database: Database) -> None:
    for name in ("xyz", "0999", "head", ""):
        with pytest.raises(
            schema_version.DowngradeRefused,
            match=rf"expected one of 0001 \.\.\. {schema_version.head()} or base, got '{name}'",
        ):
            schema_version.check_down(database.engine, name)
    schema_version.migrate(database.engine, "0002")
    with pytest.raises(
        schema_version.DowngradeRefused, match="The schema is 0002; to go down, expected one of 0001 0002 or base"
    ):
        schema_version.check_down(database.engine, "0003")
    for name in ("0002", "0001", "base"):
        schema_version.check_down(database.engine, name)
    schema_version.migrate(database.engine, "base")
    with pytest.raises(
        schema_version.DowngradeRefused, match="The schema is empty; to go down, expected base, got '0001'"
    ):
        schema_version.check_down(database.engine, "0001")


def test_what_a_database_holds_is_counted_at_every_revision(database: Database) -> None:
    assert schema_version.holdings(database.engine) == {}
    with database.write() as session:
        tenants.create_key(session, "acme", "laptop")
    for revision in reversed(schema_version.revisions()):
        schema_version.migrate(database.engine, revision)
        assert schema_version.holdings(database.engine) == {"keys": 1}
    schema_version.migrate(database.engine, "base")
    assert schema_version.holdings(database.engine) == {}


def test_several_that_migrate_at_once_take_turns(empty_url: str) -> None:
    errors: list[Exception] = []

    def migrate() -> None:
        database = Database(empty_url)
        try:
            schema_version.migrate(database.engine)
        except Exception as error:
            errors.append(error)
        database.close()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_rows_of_the_first_schema_survive_the_way_to_the_present_one(empty_url: str) -> None:
    database = Database(empty_url)
    schema_version.migrate(database.engine, "0001")
    rows = {
        "tenant": {"id": "t", "name": "t", "created": 1.0},
        "job": {"id": "j", "tenant_id": "t", "kind": "train", "state": "running", "spec": "{}", "priority": 0}
        | {"revision": 1, "created": 1.0},
        "shard": {"job_id": "j", "number": 0, "first": 0, "stop": 1, "state": "ready", "fence": 1, "attempt": 1}
        | {"lost": 0, "lease_until": 0.0, "rung": 0.0},
        "epoch_metric": {"job_id": "j", "epoch": 0, "steps": 1, "learning_rate": 0.1, "loss": 1.0, "terms": "{}"}
        | {"accuracy": 0.5, "seconds": 1.0},
    }
    with database.engine.begin() as connection:
        for table, row in rows.items():
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    schema_version.migrate(database.engine)
    with database.engine.connect() as connection:
        for table in rows:
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1, table
        assert connection.scalar(text("SELECT auto FROM job")) in (False, 0)
    with database.engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("UPDATE shard SET job_id = 'nobody'"))
        connection.commit()
    database.close()


def test_going_down_deletes_the_jobs_that_the_older_version_cannot_read_and_what_hangs_on_them(
    database: Database,
) -> None:
    certify = _submitted(database, "certify", {"bound": "one_sided", "robust_weight": None})
    mixed = _submitted(database, "certify", {"bound": "mixed", "robust_weight": 0.5})
    evaluate = _submitted(database, "evaluate", {"evaluation": {"name": "attack"}})
    with database.write() as session:
        attached = resources.attach(session, things.tenant_in(session), {"count": 1}).id
    urgent = _submitted(database, "certify", {"bound": "one_sided"}, dataset_id=attached, priority=jobs.URGENT)
    audits = {job_id: _submitted(database, "verify", {"job": job_id}) for job_id in (certify, mixed, urgent)}
    of_the_request = _submitted(database, "verify", {"job": urgent}, dataset_id=attached)
    train = _submitted(database, "train", {}, priority=100, needs_id=mixed)
    every = {certify, mixed, evaluate, urgent, *audits.values(), of_the_request, train}
    assert _jobs_that_rows_name(database) == [every] * 5

    schema_version.migrate(database.engine, "0006")
    every -= {mixed, audits[mixed]}
    assert _jobs_that_rows_name(database) == [every] * 5
    with database.read() as session:
        assert "robust_weight" not in _stored(session, certify)
        assert session.scalar(select(tables.Job.needs_id).where(tables.Job.id == train)) is None

    schema_version.migrate(database.engine, "0005")
    every = {certify, audits[certify], train}
    assert _jobs_that_rows_name(database) == [every] * 5
    with database.read() as session:
        assert session.scalar(select(tables.Dataset.id).where(tables.Dataset.id == attached)) is None
        assert session.scalar(text("SELECT count(*) FROM dataset")) == 1
    schema_version.migrate(database.engine)


def test_class_names_and_files_of_conversions_move_to_their_places_and_back(database: Database) -> None:
    names, file = ["a", "b"], {"name": "f", "sha256": "a" * 64}
    with database.write() as session:
        tenant_id = things.tenant_in(session)
        source = {"files": [file], "class_names": names}
        dataset, job = resources.create(session, tables.Dataset, tenant_id, "d", source)
        checkpoint, _ = resources.create(session, tables.Checkpoint, tenant_id, "c", {"files": []})
        resources.make_ready(session, checkpoint, {"info": {"class_names": names, "sigma": 1.0}})
    before = dataset.stored, job.stored, checkpoint.stored
    schema_version.migrate(database.engine, "0009")
    with database.read() as session:
        assert _stored(session, job.id)["source"] == dump_spec(load_dataset_source(source))
        assert session.scalar(select(tables.Checkpoint.info)) == {"class_names": names, "sigma": 1.0}
    schema_version.migrate(database.engine)
    with database.read() as session:
        found = session.get_one(tables.Job, job.id), session.get_one(tables.Dataset, dataset.id)
        assert (found[0].spec.source, found[1].class_names) == (load_dataset_source({"files": [file]}), names)
        assert session.scalars(select(tables.ConversionFile.sha256)).all() == ["a" * 64]
        ready = session.get_one(tables.Checkpoint, checkpoint.id)
        assert (ready.class_names, ready.info) == (names, {"sigma": 1.0})
        assert (found[1].stored, found[0].stored, ready.stored) == before


def test_what_planning_chose_moves_to_a_column_of_its_own_and_back(database: Database) -> None:
    certify = as_kind(things.spec("certify", sigma=0.5), CertifySpec)
    audited = AuditPlan(chosen=(3, 5), certify=certify, execution={"threads": 2})
    audit = _submitted(database, "verify", {}, plan=audited)
    convert = _submitted(database, "convert", {}, plan=ConversionPlan(output_bytes=7))
    chosen = _submitted(database, "certify", {"sigma": None}, plan=NoisePlan(sigma=0.25))
    train = _submitted(database, "train", {})
    with database.read() as session:
        before = {job_id: vars(session.get_one(tables.Job, job_id)).copy() for job_id in (audit, convert, train)}
    schema_version.migrate(database.engine, "0010")
    with database.read() as session:
        assert _stored(session, audit) == dump_spec(things.spec("verify")) | {
            "chosen": [3, 5],
            "certify": dump_spec(certify),
            "execution": {"threads": 2},
        }
        assert _stored(session, convert)["output_bytes"] == 7
        assert _stored(session, chosen)["sigma"] == 0.25
        assert "robust_weight" in _stored(session, chosen)
    schema_version.migrate(database.engine)
    with database.read() as session:
        for job_id, row in before.items():
            found = session.get_one(tables.Job, job_id)
            assert (found.spec, found.plan) == (row["spec"], row["plan"])
        found = session.get_one(tables.Job, chosen)
        assert found.plan is None and found.resolved == things.spec("certify", sigma=0.25)


def _stored(session: Session, job_id: str) -> dict[str, Any]:
    """The specification as its row holds it."""
    wanted = text("SELECT spec FROM job WHERE id = :id").bindparams(id=job_id).columns(spec=Json)
    return dict(session.scalar(wanted))  # type: ignore[arg-type]


def _submitted(database: Database, kind: str, spec: dict[str, Any], **more: Any) -> str:
    """A job of one shard with its event, its summary and the key of its request; its data set is one of its own kind."""
    with database.write() as session:
        tenant_id = things.tenant_in(session)
        if session.get(tables.Dataset, "ds_ready") is None:
            session.add(tables.Dataset(id="ds_ready", tenant_id=tenant_id, name="digits", state="ready", source={}))
            session.flush()
        asked = {"dataset_id": "ds_ready"} | more
        new = jobs.NewJob(
            tenant_id=tenant_id, spec=things.spec(kind, **spec), shards=[(0, 1)], total=1, work_total=1, **asked
        )
        job_id = jobs.submit(session, new).id
        session.add(tables.Idempotency(tenant_id=tenant_id, key=job_id, body_hash="", resource_id=job_id))
        return job_id


def _jobs_that_rows_name(database: Database) -> list[set[str]]:
    """Of each table that the jobs have rows in."""
    columns = {"job": "id", "shard": "job_id", "event": "job_id", "job_summary": "job_id", "idempotency": "resource_id"}
    with database.engine.connect() as connection:
        return [set(connection.scalars(text(f"SELECT {column} FROM {name}"))) for name, column in columns.items()]


def test_migrations_are_found_in_a_folder_whose_name_has_a_percent_sign(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "100%(here)s" / "migrations"
    shutil.copytree(schema_version.MIGRATIONS, installed)
    monkeypatch.setattr(schema_version, "MIGRATIONS", installed)
    database = Database(empty_url)
    schema_version.migrate(database.engine)
    assert schema_version.current(database.engine) == schema_version.head()
    database.close()
