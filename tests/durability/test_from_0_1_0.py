"""A database of radii 0.1.0, whose schema is 0007, with jobs in every state, continues after the migration without a difference in its results.

The database is filled with jobs, brought down to 0007, and compared with a database that never had more than 0007.
"""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text
from tests_support import processes, things

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.builtin import digits
from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import parse_spec
from radii.service.kinds.registry import plan
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs, schema_version, shards
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Shard

pytestmark = pytest.mark.long

RELEASED = "0007"
START, COUNT, N0, N, SEED = 1_500, 12, 100, 1_000, 9
LATER = {"data_folder", "conversion_file"}
"""Tables that 0.1.0 does not have."""
CHARGED, PLANNED = "stored", "plan"
"""Columns of jobs that 0.1.0 does not have: the bytes that a job is charged for, and what planning chose."""
RESULTS = ("job", "job_summary", "certificate", "shard", "event")


@pytest.fixture(scope="module")
def unbroken() -> list[Certificate]:
    """The certificates of a run that nothing disturbs."""
    data = digits()
    inputs = [(i, data.image(i), int(data.labels[i])) for i in range(START, START + COUNT)]
    records = engine.certify(Sampler(things.model(), 0.25, 10, seed=SEED), inputs, Procedure(sigma=0.25, n0=N0, n=N))
    return [record for record in records if isinstance(record, Certificate)]


def evidence(certificates: list[Certificate]) -> list[Any]:
    return [(c.index, c.label, c.prediction, c.radius, c.p_lower, c.counts0, c.counts) for c in certificates]


def made_of(found: Engine) -> dict[str, Any]:
    """Tables, columns and indexes of a database, without their order."""
    look = inspect(found)
    return {
        table: {
            "columns": {
                (column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(table)
            },
            "indexes": {(one["name"], *one["column_names"], one["unique"]) for one in look.get_indexes(table)},
            "foreign": {(*one["constrained_columns"], one["referred_table"]) for one in look.get_foreign_keys(table)},
        }
        for table in look.get_table_names()
    }


def submitted(database: Database, blobs: Path) -> str:
    """A certify job of four shards; its identifier."""
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, blobs, tenant_id),
        "inputs": {"start": START, "count": COUNT},
        "n0": N0,
        "n": N,
        "seed": SEED,
        "sigma": 0.25,
    }
    spec = parse_spec(body)
    with database.write() as session:
        data, model = session.get_one(Dataset, body["dataset"]), session.get_one(Checkpoint, body["checkpoint"])
        new, _ = plan(spec, tenant_id=tenant_id, dataset=data, checkpoint=model)  # type: ignore[arg-type]
        cut = [(first, first + COUNT // 4) for first in range(0, COUNT, COUNT // 4)]
        return jobs.submit(session, jobs.NewJob(**vars(new) | {"shards": cut})).id


def part_done(database: Database, job_id: str, unbroken: list[Certificate], *, lease: float) -> None:
    """As a worker leaves it that was killed: one shard is finished, and of the next one, still leased, one input is stored."""
    for inputs in (COUNT // 4, 1):
        with database.write() as session:
            execution = {"threads": 1, "precision": "fp32", "device_type": "cpu", "batch_size": 100}
            claim = shards.claim(session, lease=lease, device_type="cpu", execution=execution, provenance={})
            assert claim is not None and claim.job_id == job_id
            first = claim.first
            certificate_rows.store(session, job_id, unbroken[first : first + inputs])
            if inputs > 1:
                shards.finish(session, claim)


def rows_of(database: Database, job_id: str) -> dict[str, list[dict[str, Any]]]:
    """All that the database has of a job, as it is in the tables."""
    found = {}
    with database.engine.connect() as connection:
        for table in RESULTS:
            key = "id" if table == "job" else "job_id"
            rows = connection.execute(text(f"SELECT * FROM {table} WHERE {key} = :job"), {"job": job_id}).mappings()
            found[table] = sorted((dict(row) for row in rows), key=str)
    return found


def outcome(database: Database, job_id: str) -> list[Any]:
    with database.read() as session:
        job, summary = session.get_one(Job, job_id), session.get_one(JobSummary, job_id)
        assert (job.state, job.problem) == (jobs.SUCCEEDED, None)
        assert (summary.done, summary.work_done) == (COUNT, COUNT * (N0 + N))
        return evidence(list(certificate_rows.read(session, job_id)))


def test_queued_running_and_finished_jobs_of_0_1_0_survive_the_migration(
    empty_url: str, tmp_path: Path, unbroken: list[Certificate]
) -> None:
    database = Database(empty_url)
    schema_version.migrate(database.engine, RELEASED)
    released = made_of(database.engine)
    schema_version.migrate(database.engine)
    fields = {
        "housekeeping_seconds": 0.5,
        "poll": 0.05,
        "commit": 0.1,
        "lease": 3.0,
        "threads": 1,
        "shard_seconds": 0.2,
    }
    settings = Settings(data=tmp_path, database_url=empty_url, **fields)  # type: ignore[arg-type]
    finished = submitted(database, settings.blobs)
    for _ in range(4):
        with database.write() as session:
            claim = shards.claim(session, lease=60, device_type="cpu", execution={"threads": 1}, provenance={})
            assert claim is not None
            certificate_rows.store(session, finished, unbroken[claim.first : claim.stop])
            shards.finish(session, claim)
    running = submitted(database, settings.blobs)
    part_done(database, running, unbroken, lease=1.0)
    queued = submitted(database, settings.blobs)

    schema_version.migrate(database.engine, RELEASED)
    assert schema_version.current(database.engine) == RELEASED
    assert made_of(database.engine) == released, "nothing of a later version is left"
    assert not LATER & set(inspect(database.engine).get_table_names())
    before = {job_id: rows_of(database, job_id) for job_id in (finished, running, queued)}
    assert [before[job_id]["job"][0]["state"] for job_id in before] == ["succeeded", "running", "queued"]
    assert [row["state"] for row in sorted(before[running]["shard"], key=lambda row: row["number"])] == [
        "done",
        "leased",
        "ready",
        "ready",
    ]
    assert len(before[running]["certificate"]) == COUNT // 4 + 1

    assert schema_version.migrate(database.engine) == RELEASED
    assert schema_version.current(database.engine) == schema_version.head()
    for job_id, rows in before.items():
        after = rows_of(database, job_id)
        assert after["job"][0].pop(CHARGED) > 0
        assert after["job"][0].pop(PLANNED) is None, "what planning chose is in the specification"
        assert after == rows, "the migration changes nothing that was there"
    with database.read() as session:
        assert folder_identity.known(session) is None, (
            "the folder has no identity until a service or worker gives it one"
        )

    folder_identity.bind(settings, database)
    with processes.fleet(settings, "radii.worker.embedded", 1):
        for job_id in (running, queued):
            processes.until(lambda job_id=job_id: processes.ended(database, job_id), 60, "it ends")  # type: ignore[misc]
    assert outcome(database, running) == outcome(database, queued) == evidence(unbroken)
    after = rows_of(database, finished)
    del after["job"][0][CHARGED], after["job"][0][PLANNED]
    assert after == before[finished], "finished results are as they were"
    with database.read() as session:
        lost = session.query(Shard).filter(Shard.job_id == running, Shard.attempt > 1).count()
        assert lost == 1, "the shard whose worker was gone was done again, and no other one"
        assert folder_identity.known(session) is not None
    database.close()
