"""The same job gives the same counts, however and by how many it is done, and however it is cut."""

import secrets
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests_support import processes, things
from tests_support.kinds import SLOWLY_ON_POSTGRES

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.builtin import digits
from radii.rs_core.records import Certificate
from radii.rs_core.specs.fields import Sampling
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary, SampleProgress
from radii.worker.store.models.tables import Job

pytestmark = pytest.mark.long

START, COUNT, N0, N, SEED = 1_500, 24, 100, 10_000, 9

Evidence = list[tuple[object, ...]]


def _evidence(certificates: list[Certificate]) -> Evidence:
    return [(c.index, c.label, c.prediction, c.radius, c.p_lower, c.counts0, c.counts) for c in certificates]


@pytest.fixture(scope="module")
def library() -> Evidence:
    """The job as a call of the library."""
    data = digits()
    inputs = [(i, data.image(i), int(data.labels[i])) for i in range(START, START + COUNT)]
    procedure = Procedure(sigma=0.25, n0=N0, n=N)
    records = engine.certify(Sampler(things.model(), 0.25, 10, seed=SEED), inputs, procedure)
    return _evidence([record for record in records if isinstance(record, Certificate)])


def _job(database: Database, settings: Settings, **more: object) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
        "inputs": {"start": START, "count": COUNT},
        "n0": N0,
        "n": N,
        "seed": SEED,
        **more,
    }
    return things.submit(database, tenant_id, body)


def _outcome(database: Database, job_id: str) -> Evidence:
    """The job's rows, once it is certain that it succeeded and that its summary is theirs."""
    with database.read() as session:
        job, summary = session.get_one(Job, job_id), session.get_one(JobSummary, job_id)
        rows = list(certificate_rows.read(session, job_id))
    assert (job.state, job.problem) == (jobs.SUCCEEDED, None)
    assert (summary.done, summary.work_done) == (COUNT, COUNT * (N0 + N))
    assert summary.radius_sum / COUNT == pytest.approx(sum(r.radius for r in rows if r.correct) / COUNT, rel=1e-12)
    return _evidence(rows)


def _settings(tmp_path: Path, url: str, **more: object) -> Settings:
    # One thread each: three workers share two cores, and the counts must not depend on threads anyway.
    fields = {
        "housekeeping_seconds": 0.5,
        "poll": 0.05,
        "commit": 0.1,
        "lease": 3.0,
        "threads": 1,
        "shard_seconds": 0.2,
    }
    return Settings(data=tmp_path, database_url=url, **fields | more)  # type: ignore[arg-type]


@SLOWLY_ON_POSTGRES
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_embedded_workers_give_the_counts_of_a_library_call(
    database: Database, database_url: str, tmp_path: Path, library: Evidence, workers: int
) -> None:
    settings = _settings(tmp_path, database_url)
    job_id = _job(database, settings)
    with processes.fleet(settings, "radii.worker.embedded", workers):
        processes.until(lambda: processes.ended(database, job_id), 60, "the job ends")
    assert _outcome(database, job_id) == library


@pytest.mark.slow  # proof 1 shows as much, with more workers
def test_a_kill_in_the_middle_changes_no_count(
    database: Database, database_url: str, tmp_path: Path, library: Evidence
) -> None:
    settings = _settings(tmp_path, database_url)
    job_id = _job(database, settings)
    with processes.fleet(settings, "radii.worker.embedded", 1) as fleet:
        for share in (1, COUNT // 2):
            processes.until(lambda share=share: processes.stored(database, job_id) >= share, 60, "results")  # type: ignore[misc]
            fleet.kill(fleet.processes[0])
            fleet.start()
        assert processes.stored(database, job_id) < COUNT, "killed too late to mean anything"
        processes.until(lambda: processes.ended(database, job_id), 60, "the job ends")
    assert _outcome(database, job_id) == library


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_celery_workers_on_postgres_and_redis_give_the_counts_of_a_library_call(
    postgres: object, redis_url: str, tmp_path: Path, library: Evidence, workers: int
) -> None:
    with postgres.database() as url:  # type: ignore[attr-defined]
        settings = _settings(tmp_path, url, broker_url=redis_url, queue=f"radii-test-{secrets.token_hex(4)}")
        database = things.migrated(url)
        job_id = _job(database, settings)
        broker.wake_workers(settings, 3)
        with processes.fleet(settings, "radii.worker.celery_worker", workers) as fleet:
            if workers == 1:
                processes.until(lambda: processes.stored(database, job_id) >= 1, 60, "the first result")
                fleet.kill(fleet.processes[0])
                fleet.start()
            processes.until(lambda: processes.ended(database, job_id), 300, "the job ends")
        assert _outcome(database, job_id) == library
        database.close()


@pytest.mark.slow
def test_other_procedures_too_give_the_counts_of_a_library_call_through_kills(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Batches hold several inputs, and each input gets a size of its own; two workers, one of which is killed."""
    data = digits()
    inputs = [(i, data.image(i), int(data.labels[i])) for i in range(START, START + COUNT)]
    settings = _settings(tmp_path, database_url)
    chosen: dict[Sampling, tuple[float, ...]] = {"pilot": (), "at_radii": (0.1, 0.3), "anytime": ()}
    job_ids = {
        sampling: _job(database, settings, sampling=sampling, radii=radii or None, batch_size=300)
        for sampling, radii in chosen.items()
    }
    with processes.fleet(settings, "radii.worker.embedded", 2) as fleet:
        for sampling in chosen:
            processes.until(lambda job=job_ids[sampling]: processes.stored(database, job) >= 1, 60, "results")  # type: ignore[misc]
            fleet.kill(fleet.processes[0])
            fleet.start()
        for job_id in job_ids.values():
            processes.until(lambda job=job_id: processes.ended(database, job), 120, "the job ends")  # type: ignore[misc]
    for sampling, radii in chosen.items():
        procedure = Procedure(sigma=0.25, n0=N0, n=N, sampling=sampling, radii=radii)
        sampler = Sampler(things.model(), 0.25, 10, seed=SEED, batch_size=500)
        records = [r for r in engine.certify(sampler, inputs, procedure) if isinstance(r, Certificate)]
        with database.read() as session:
            job, summary = session.get_one(Job, job_ids[sampling]), session.get_one(JobSummary, job_ids[sampling])
            rows = list(certificate_rows.read(session, job_ids[sampling]))
        assert (job.state, job.problem, summary.done) == (jobs.SUCCEEDED, None, COUNT)
        assert _evidence(rows) == _evidence(sorted(records, key=lambda record: record.index))
        assert summary.work_done == sum(row.n0 + row.n for row in rows)
        assert summary.radius_sum == pytest.approx(sum(row.radius for row in rows if row.correct), rel=1e-9)


@SLOWLY_ON_POSTGRES
def test_a_kill_inside_an_input_loses_at_most_a_commit_and_changes_no_count(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    n = 600_000
    settings = _settings(tmp_path, database_url)
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
        "inputs": {"start": START, "count": 1},
        "n": n,
        "seed": SEED,
    }
    job_id = things.submit(database, tenant_id, body)

    def drawn() -> int:
        with database.read() as session:
            return session.scalar(select(func.max(SampleProgress.drawn))) or 0

    with processes.fleet(settings, "radii.worker.embedded", 1) as fleet:
        processes.until(lambda: drawn() > 0, 60, "progress inside the input")
        fleet.kill(fleet.processes[0])
        kept = drawn()
        assert 0 < kept < n
        fleet.start()
        processes.until(lambda: processes.ended(database, job_id), 300, "the job ends")
    with database.read() as session:
        (row,) = certificate_rows.read(session, job_id)
    sampler = Sampler(things.model(), 0.25, 10, seed=SEED)
    image = digits().image(START)
    procedure = Procedure(sigma=0.25, n0=N0, n=n)
    records = engine.certify(sampler, [(START, image, int(digits().labels[START]))], procedure)
    assert _evidence([row]) == _evidence([record for record in records if isinstance(record, Certificate)])
