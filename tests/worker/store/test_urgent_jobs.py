"""Urgent jobs: ahead of all others, with workers that make way for them, and gone after a while."""

from typing import Any

import pytest
from sqlalchemy import update
from tests_support import things

from radii.worker.store import jobs, resources, shards, urgent_jobs
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.jobs import URGENT, NewJob
from radii.worker.store.models.tables import Dataset, Job, Shard
from radii.worker.store.shards import Claim

CPU: dict[str, Any] = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}
SPEC = things.spec("certify", sampling="anytime")


def submit(database: Database, *, tenant: str = "default", **changes: Any) -> str:
    tenant_id = things.tenant(database, tenant)
    fields: dict[str, Any] = {"tenant_id": tenant_id, "spec": SPEC, "total": 1, "work_total": 1}
    with database.write() as session:
        return jobs.submit(session, NewJob(**fields | {"shards": [(0, 1)]} | changes)).id


def claim(database: Database, **changes: Any) -> Claim:
    with database.write() as session:
        found = shards.claim(session, lease=60.0, **CPU | changes)
    assert found is not None
    return found


def older(database: Database, seconds: float = 60.0) -> None:
    """Everything was submitted, and has ended, so long ago."""
    with database.write() as session:
        session.execute(update(Job).values(created=Job.created - seconds, finished=Job.finished - seconds))


def waits(database: Database, held: Claim, turn: int = 0) -> bool:
    with database.read() as session:
        return urgent_jobs.waits(session, held, turn, "cpu")


def calls(database: Database, held: Claim, turn: int = 0) -> bool:
    with database.write() as session:
        return urgent_jobs.calls(session, held, turn, "cpu")


def test_an_urgent_job_is_claimed_before_every_other_one_of_anybody(database: Database) -> None:
    submit(database, tenant="patient", priority=100)
    submit(database, tenant="patient", spec=things.spec("convert"))
    busy = things.tenant(database, "busy")
    with database.write() as session:
        shards.charge(session, busy, 3_000.0)
    wanted = submit(database, tenant="busy", priority=URGENT)
    found = claim(database)
    assert (found.job_id, found.urgent) == (wanted, True)
    assert not claim(database).urgent


def test_a_worker_that_has_done_enough_of_them_takes_another_one_first(database: Database) -> None:
    hurried, other = submit(database, priority=URGENT), submit(database)
    assert claim(database, others_first=True).job_id == other
    assert claim(database, others_first=True).job_id == hurried, "there is no other one"


def test_of_urgent_jobs_the_one_of_fewest_turns_goes_first_and_then_that_of_the_tenant_with_the_least_device_time(
    database: Database,
) -> None:
    first = submit(database, tenant="busy", priority=URGENT)
    later = submit(database, tenant="busy", priority=URGENT)
    fair, often = (submit(database, tenant="patient", priority=URGENT) for _ in range(2))
    with database.write() as session:
        shards.charge(session, things.tenant_in(session, "busy"), 5.0)
        session.execute(update(Shard).where(Shard.job_id == first).values(turn=3))
        session.execute(update(Shard).where(Shard.job_id == often).values(turn=4))
    assert [claim(database).job_id for _ in range(4)] == [fair, later, first, often]


def test_what_way_was_made_for_is_claimed_next_however_much_device_time_its_tenant_has_used(
    database: Database,
) -> None:
    submit(database, tenant="patient", priority=URGENT)
    held = claim(database)
    waiting = submit(database, tenant="busy", priority=URGENT)
    older(database)
    with database.write() as session:
        shards.charge(session, things.tenant_in(session, "busy"), 3_000.0)
    assert calls(database, held, turn=5)
    with database.write() as session:
        shards.turned(session, held, 5)
        shards.release(session, held)
    assert claim(database).job_id == waiting


def test_an_urgent_job_is_run_in_a_way_that_nobody_has_to_measure(database: Database) -> None:
    submit(database, priority=URGENT)
    found = claim(database, execution={"threads": 1, "device_type": "cpu"})
    assert found.execution == {
        "threads": 1,
        "device_type": "cpu",
        "precision": "fp32",
        "batch_size": 100,
        "compiled": False,
    }


def test_way_is_made_for_an_urgent_job_that_has_found_nobody_free(database: Database) -> None:
    submit(database)
    held = claim(database)
    submit(database, priority=URGENT)
    assert not waits(database, held), "somebody who is free takes it within a moment"
    older(database)
    assert waits(database, held)


def test_one_worker_makes_way_and_not_all_of_them(database: Database) -> None:
    submit(database, shards=[(0, 1), (1, 2)], total=2)
    first, second = claim(database), claim(database)
    submit(database, priority=URGENT)
    older(database)
    assert calls(database, first)
    assert not waits(database, second) and not calls(database, second)
    with database.write() as session:
        session.execute(update(Shard).where(Shard.state == "ready").values(lease_until=clock() - 1))
    assert calls(database, second), "where the first one has not come"


def test_an_urgent_job_makes_way_only_for_one_that_has_had_fewer_turns(database: Database) -> None:
    submit(database, priority=URGENT)
    held = claim(database)
    submit(database, priority=URGENT)
    older(database)
    assert not waits(database, held, turn=0)
    assert waits(database, held, turn=1)


def test_no_way_is_made_for_what_this_worker_could_not_claim(database: Database) -> None:
    submit(database)
    held = claim(database)
    elsewhere = submit(database, priority=URGENT)
    older(database)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == elsewhere).values(device_type="cuda"))
    assert not waits(database, held)


def test_urgent_jobs_that_have_ended_are_forgotten_with_the_images_that_came_with_them(database: Database) -> None:
    tenant_id = things.tenant(database)
    with database.write() as session:
        came = [resources.attach(session, tenant_id, {"count": 1}).id for _ in range(2)]
    old = submit(database, priority=URGENT, dataset_id=came[0])
    submit(database, priority=URGENT, dataset_id=came[1])
    ordinary = submit(database)
    with database.write() as session:
        for job_id in (old, ordinary):
            jobs.cancel(session, job_id)
        assert urgent_jobs.forget(session, 3_600.0) == 0
    older(database, 4_000.0)
    with database.write() as session:
        assert urgent_jobs.forget(session, 3_600.0) == 1
    with database.read() as session:
        assert session.get(Job, old) is None and session.get(Job, ordinary) is not None
        assert [row.id for row in session.query(Dataset)] == [came[1]]


def test_images_stay_as_long_as_an_audit_names_them(database: Database) -> None:
    tenant_id = things.tenant(database)
    with database.write() as session:
        came = resources.attach(session, tenant_id, {"count": 1}).id
    asked, audit = (submit(database, priority=priority, dataset_id=came) for priority in (URGENT, 0))
    for job_id, left in ((asked, 1), (audit, 0)):
        with database.write() as session:
            jobs.cancel(session, job_id)
            assert jobs.delete(session, job_id)
        with database.read() as session:
            assert session.query(Dataset).count() == left


@pytest.mark.parametrize("state", ["ready", "pending"])
def test_a_data_set_that_came_alone_never_goes_with_a_job(database: Database, state: str) -> None:
    tenant_id = things.tenant(database)
    with database.write() as session:
        row = resources.attach(session, tenant_id, {"state": state})
    job_id = submit(database, dataset_id=row.id)
    with database.write() as session:
        jobs.cancel(session, job_id)
        assert jobs.delete(session, job_id)
    with database.read() as session:
        assert session.get(Dataset, row.id) is not None
