"""Real workers and urgent jobs: way is made for them, they survive what other jobs survive, and no vote is lost or doubled."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests_support import processes, system, things
from tests_support.kinds import SLOWLY_ON_SQLITE
from tests_support.threads import single

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.builtin import digits
from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import CertifySpec, parse_spec
from radii.service.kinds.registry import plan
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, counters, jobs
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary, SampleProgress
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Shard

pytestmark = pytest.mark.long
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

START, SEED = 1_500, 9
ENOUGH = 90.0
"""Seconds for anything on a machine that has other things to do."""


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(data=tmp_path, database_url=database_url, housekeeping_seconds=0.5, commit=0.3, poll=5.0, threads=1)


@pytest.fixture
def pair(database: Database, settings: Settings) -> dict[str, Any]:
    """A model and data."""
    tenant_id = things.tenant(database)
    return {
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
    }


def submit(database: Database, settings: Settings, pair: dict[str, Any], *, urgent: bool, **fields: Any) -> str:
    """A certification in one shard; its identifier."""
    given = {"kind": "certify", "seed": SEED, "batch_size": 100, **pair, **fields}
    if urgent:
        given["sampling"] = "anytime"
    spec = parse_spec(given)
    assert isinstance(spec, CertifySpec)
    with database.write() as session:
        dataset, model = session.get_one(Dataset, spec.dataset), session.get_one(Checkpoint, spec.checkpoint)
        new, _ = plan(spec, tenant_id=dataset.tenant_id, dataset=dataset, checkpoint=model)
        new = replace(new, shards=[(0, new.total)], priority=jobs.URGENT if urgent else 0)
        job_id = jobs.submit(session, new).id
    broker.wake_workers(settings)
    return job_id


def undisturbed(count: int, n: int, sampling: Any = "fixed") -> list[tuple[Any, ...]]:
    """What the library finds."""
    data = digits()
    inputs = [(index, data.image(index), int(data.labels[index])) for index in range(START, START + count)]
    with single():
        procedure = Procedure(sigma=0.25, n=n, sampling=sampling)
        records = list(engine.certify(Sampler(things.model(), 0.25, 10, seed=SEED), inputs, procedure))
    return [_evidence(record) for record in records if isinstance(record, Certificate)]


def outcome(database: Database, job_id: str) -> list[tuple[Any, ...]]:
    """The job's rows, once it is certain that it succeeded and that its summary is theirs."""
    with database.read() as session:
        assert session.get_one(Job, job_id).state == jobs.SUCCEEDED
        rows, summary = list(certificate_rows.read(session, job_id)), session.get_one(JobSummary, job_id)
        assert session.query(SampleProgress).filter(SampleProgress.job_id == job_id).count() == 0
    assert summary.work_done == sum(row.n0 + row.n for row in rows) and summary.done == len(rows)
    return [_evidence(row) for row in rows]


def _evidence(row: Certificate) -> tuple[Any, ...]:
    return row.index, row.label, row.prediction, row.radius, row.counts0, row.counts


def _drawn(database: Database, job_id: str) -> int:
    with database.read() as session:
        query = select(func.sum(SampleProgress.drawn)).where(SampleProgress.job_id == job_id)
        return session.scalar(query) or 0


def _state(database: Database, job_id: str) -> str:
    with database.read() as session:
        return session.get_one(Job, job_id).state


@SLOWLY_ON_SQLITE
def test_the_only_worker_makes_way_again_and_again_and_every_count_is_that_of_an_undisturbed_run(
    database: Database, settings: Settings, pair: dict[str, Any]
) -> None:
    wanted = undisturbed(3, 80_000)
    with processes.fleet(settings, "radii.worker.embedded", 1):
        inputs = {"start": START, "count": 3}
        long = submit(database, settings, pair, urgent=False, inputs=inputs, n=80_000)
        drawn = [0]
        for _ in range(2):
            processes.until(lambda: _drawn(database, long) > drawn[-1], ENOUGH, "the long job gets on")
            drawn.append(_drawn(database, long))
            asked = submit(database, settings, pair, urgent=True, inputs={"start": START, "count": 2}, n=1_000)
            processes.until(lambda asked=asked: processes.ended(database, asked), ENOUGH, "the urgent one ends")  # type: ignore[misc]
            assert _state(database, long) == jobs.RUNNING, "it was not waited for"
            assert outcome(database, asked) == undisturbed(2, 1_000, "anytime")
        processes.until(lambda: processes.ended(database, long), ENOUGH, "the long job ends")
    assert outcome(database, long) == wanted
    with database.read() as session:
        assert counters.values(session)[counters.MADE_WAY] == 2
        shard = session.get_one(Shard, (long, 0))
        assert (shard.attempt, shard.lost) == (3, 0)


@on_sqlite
def test_an_urgent_job_goes_before_a_queue_of_others(
    database: Database, settings: Settings, pair: dict[str, Any]
) -> None:
    waiting = [
        submit(database, settings, pair, urgent=False, inputs={"start": START, "count": 1}, n=100_000) for _ in range(5)
    ]
    asked = submit(database, settings, pair, urgent=True, inputs={"start": START, "count": 1}, n=1_000)
    with processes.fleet(settings, "radii.worker.embedded", 1):
        processes.until(lambda: processes.ended(database, asked), ENOUGH, "the urgent one ends")
        assert [_state(database, job_id) for job_id in waiting].count(jobs.SUCCEEDED) == 0


@on_sqlite
def test_a_job_of_an_urgent_request_goes_on_where_a_killed_child_had_come_to(
    database: Database, settings: Settings, pair: dict[str, Any]
) -> None:
    wanted = undisturbed(2, 60_000, "anytime")
    with processes.fleet(settings, "radii.worker.embedded", 1) as fleet:
        asked = submit(database, settings, pair, urgent=True, inputs={"start": START, "count": 2}, n=60_000)

        def turns() -> int:
            with database.read() as session:
                return session.get_one(Shard, (asked, 0)).turn

        processes.until(lambda: turns() >= 4, ENOUGH, "some turns")
        for child in system.children(fleet.processes[0].pid):
            os.kill(child, signal.SIGKILL)
        processes.until(lambda: processes.ended(database, asked), ENOUGH, "it ends")
        assert turns() >= 9
    assert outcome(database, asked) == wanted


@on_sqlite
def test_an_urgent_job_that_has_had_many_turns_lets_one_pass_that_has_had_none(
    database: Database, settings: Settings, pair: dict[str, Any]
) -> None:
    wanted = undisturbed(1, 150_000, "anytime")
    with processes.fleet(settings, "radii.worker.embedded", 1):
        large = submit(database, settings, pair, urgent=True, inputs={"start": START, "count": 1}, n=150_000)
        processes.until(lambda: processes.stored(database, large) == 1, ENOUGH, "its first turn ends")
        small = submit(database, settings, pair, urgent=True, inputs={"start": START, "count": 1}, n=100)
        processes.until(lambda: processes.ended(database, small), ENOUGH, "the small one ends")
        assert _state(database, large) == jobs.RUNNING
        processes.until(lambda: processes.ended(database, large), ENOUGH, "the large one ends")
    assert outcome(database, large) == wanted


@on_sqlite
def test_an_urgent_job_is_cancelled_while_it_runs(database: Database, settings: Settings, pair: dict[str, Any]) -> None:
    with processes.fleet(settings, "radii.worker.embedded", 1):
        asked = submit(database, settings, pair, urgent=True, inputs={"start": START, "count": 1}, n=50_000_000)
        processes.until(lambda: processes.stored(database, asked) == 1, ENOUGH, "its first turn ends")
        with database.write() as session:
            jobs.cancel(session, asked)
        processes.until(lambda: _state(database, asked) == jobs.CANCELLED, ENOUGH, "it is cancelled")
    with database.read() as session:
        (row,) = certificate_rows.read(session, asked)
    assert row.n >= 100 and sum(row.counts) == row.n, "what it has found stays"
