"""Shards: one worker at a time, by lease and fence, on SQLite and on Postgres."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update
from tests_support import things

from radii.worker.store import jobs, scheduling, shards
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import DeviceTime, Job, Shard
from radii.worker.store.shards import Claim, LeaseLost

CPU = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}


def _submit(database: Database, count: int = 3, tenant: str = "default", **changes: object) -> str:
    tenant_id = things.tenant(database, tenant)
    with database.write() as session:
        fields = {
            "tenant_id": tenant_id,
            "spec": things.spec("certify"),
            "total": count,
            "work_total": count,
        }
        new = NewJob(**fields | {"shards": [(i, i + 1) for i in range(count)]} | changes)  # type: ignore[arg-type]
        return jobs.submit(session, new).id


def _claim(database: Database, lease: float = 60.0, **changes: object) -> Claim | None:
    with database.write() as session:
        return shards.claim(session, lease=lease, **CPU | changes)  # type: ignore[arg-type]


def _taken(database: Database, lease: float = 60.0) -> Claim:
    claim = _claim(database, lease)
    assert claim is not None
    return claim


def _state(database: Database, job_id: str) -> str:
    with database.read() as session:
        return session.get_one(Job, job_id).state


def test_a_claim_takes_the_oldest_ready_shard_and_starts_the_job(database: Database) -> None:
    job_id = _submit(database)
    claim = _taken(database)
    assert (claim.job_id, claim.number, claim.fence, claim.attempt) == (job_id, 0, 1, 1)
    assert _state(database, job_id) == jobs.RUNNING
    assert _taken(database).number == 1


def test_no_shard_is_claimed_twice_by_workers_that_claim_at_once(database: Database) -> None:
    _submit(database, count=24)
    taken: list[Claim] = []

    def work() -> None:
        while (claim := _claim(database)) is not None:
            taken.append(claim)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(claim.number for claim in taken) == list(range(24))


def test_finishing_the_last_shards_at_once_ends_the_job(database: Database) -> None:
    for _ in range(5):
        job_id = _submit(database, count=4)
        claims = [_taken(database) for _ in range(4)]

        def finish(claim: Claim) -> None:
            with database.write() as session:
                shards.finish(session, claim)

        workers = [threading.Thread(target=finish, args=(claim,)) for claim in claims]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert _state(database, job_id) == jobs.SUCCEEDED


def test_a_worker_that_lost_its_lease_can_write_nothing(database: Database) -> None:
    _submit(database, count=1)
    stale = _taken(database, lease=-1.0)
    with database.write() as session:
        assert len(shards.expire_leases(session)) == 1
    fresh = _taken(database)
    assert fresh.fence == stale.fence + 1
    for act in (
        lambda session: shards.renew(session, stale, 60.0),
        lambda session: shards.extend(session, stale, 60.0),
        lambda session: shards.keep(session, stale, {"sha256": "x"}),
        lambda session: shards.finish(session, stale),
        lambda session: shards.release(session, stale),
        lambda session: shards.lose(session, stale),
        lambda session: shards.fail(session, stale, {}),
    ):
        with pytest.raises(LeaseLost), database.write() as session:
            act(session)
    with database.write() as session:
        shards.finish(session, fresh)
    assert _state(database, fresh.job_id) == jobs.SUCCEEDED


def test_a_lease_that_is_renewed_is_not_swept(database: Database) -> None:
    _submit(database, count=1)
    claim = _taken(database, lease=-1.0)
    with database.write() as session:
        assert shards.renew(session, claim, 60.0) == "go on"
        assert shards.expire_leases(session) == []


def test_a_released_shard_is_taken_up_by_the_next_worker_and_counts_no_loss(database: Database) -> None:
    _submit(database, count=1)
    with database.write() as session:
        shards.release(session, shards.claim(session, lease=60.0, **CPU))  # type: ignore[arg-type]
    assert _taken(database).attempt == 2
    with database.read() as session:
        assert session.query(Shard).one().lost == 0


def test_a_shard_that_has_had_its_turn_comes_after_those_that_have_not(database: Database) -> None:
    job_id = _submit(database, 3)
    taken = []
    for _ in range(5):
        held = _taken(database)
        taken.append((held.number, held.turn))
        with database.write() as session:
            shards.next_turn(session, held)
    assert taken == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]
    assert _state(database, job_id) == jobs.RUNNING


def test_a_shard_that_is_lost_ten_times_without_a_commit_fails_its_job(database: Database) -> None:
    job_id = _submit(database, count=2)
    for _ in range(shards.MAX_LOST):
        with database.write() as session:
            claim = shards.claim(session, lease=60.0, **CPU)  # type: ignore[arg-type]
            assert claim is not None and claim.number == 0
            shards.lose(session, claim)
    assert _state(database, job_id) == jobs.FAILED
    assert _claim(database) is None
    with database.read() as session:
        assert "begun 10 times in a row" in session.get_one(Job, job_id).problem["detail"]


def test_leases_that_ran_out_fail_no_job_however_many(database: Database) -> None:
    job_id = _submit(database, count=1)
    for _ in range(3 * shards.MAX_LOST):
        _taken(database, lease=-1.0)
        with database.write() as session:
            assert len(shards.expire_leases(session)) == 1
    assert _state(database, job_id) == jobs.RUNNING


def test_a_commit_forgets_earlier_losses(database: Database) -> None:
    _submit(database, count=1)
    for _ in range(3 * shards.MAX_LOST):
        with database.write() as session:
            claim = shards.claim(session, lease=60.0, **CPU)  # type: ignore[arg-type]
            shards.renew(session, claim, 60.0)
            shards.lose(session, claim)
    with database.read() as session:
        assert session.query(Shard).one().state == "ready"


def test_a_job_that_is_being_cancelled_says_so_at_the_next_renewal_and_ends_with_the_release(
    database: Database,
) -> None:
    job_id = _submit(database)
    claim = _taken(database)
    with database.write() as session:
        jobs.cancel(session, job_id)
    assert _claim(database) is None, "nothing of it is given out any more"
    with database.write() as session:
        assert shards.renew(session, claim, 60.0) == "stop"
        jobs.cancel(session, job_id)
    assert _state(database, job_id) == jobs.CANCELLING, "asked twice, it still waits for who holds a part of it"
    with database.write() as session:
        shards.release(session, claim)
    assert _state(database, job_id) == jobs.CANCELLED


@pytest.mark.parametrize("touch", [shards.renew, shards.extend])
def test_whoever_holds_a_part_of_a_job_that_has_ended_is_told_and_the_part_is_dropped(
    database: Database, touch: Callable[..., str]
) -> None:
    job_id = _submit(database, count=2)
    one, other = _taken(database), _taken(database)
    with database.write() as session:
        shards.fail(session, one, {"detail": "broken"})
    with database.write() as session:
        assert touch(session, other, 60.0) == "ended"
    with database.read() as session:
        assert session.get_one(Shard, (job_id, other.number)).state == "dropped"


def _pass_deadline(database: Database, job_id: str) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(deadline=clock() - 1))


def test_after_its_deadline_no_part_of_a_job_is_begun_and_the_sweep_ends_it(database: Database) -> None:
    job_id = _submit(database, seconds_to_end=1_000.0)
    assert _claim(database) is not None
    _pass_deadline(database, job_id)
    assert _claim(database) is None
    with database.write() as session:
        assert jobs.expire(session) == [job_id]
    assert _state(database, job_id) == jobs.CANCELLING, "a part of it is in work"
    with database.write() as session:
        assert jobs.expire(session) == []


def test_the_worker_that_holds_the_last_part_notices_the_deadline_and_the_job_expires_with_the_release(
    database: Database,
) -> None:
    job_id = _submit(database, count=1, seconds_to_end=1_000.0)
    claim = _taken(database)
    with database.write() as session:
        assert shards.renew(session, claim, 60.0) == "go on"
    _pass_deadline(database, job_id)
    with database.write() as session:
        assert shards.renew(session, claim, 60.0) == "stop"
        jobs.cancel(session, job_id)  # too late to be what ended it
        shards.release(session, claim)
    assert _state(database, job_id) == jobs.EXPIRED
    with database.read() as session:
        assert "with 0 of 1 done" in session.get_one(Job, job_id).problem["detail"]


def test_a_job_that_nobody_has_begun_expires_at_once(database: Database) -> None:
    job_id = _submit(database, seconds_to_end=1_000.0)
    _pass_deadline(database, job_id)
    with database.write() as session:
        assert jobs.expire(session) == [job_id]
    assert _state(database, job_id) == jobs.EXPIRED
    with database.read() as session:
        assert {shard.state for shard in session.query(Shard)} == {"dropped"}


def test_the_first_claim_fixes_how_the_job_is_run(database: Database) -> None:
    _submit(database)
    first = _taken(database)
    second = _claim(database, execution={"threads": 7}, provenance={"device": "b"})
    assert second is not None
    assert first.execution == second.execution == {"threads": 1, "batch_size": None, "precision": "fp32"}
    found = {"batch_size": 200, "compiled": True}
    with database.write() as session:
        assert shards.agree(session, second, found) == first.execution | found
    with database.write() as session:
        assert shards.agree(session, first, {"batch_size": 400, "compiled": False}) == first.execution | found
    assert _taken(database).execution == first.execution | found, "who comes later need not ask"
    with database.read() as session:
        job = session.query(Job).one()
    assert job.provenance == {"workers": [{"device": "a"}, {"device": "b"}]}


def test_a_worker_of_another_device_type_gets_nothing_of_a_job_that_has_begun(database: Database) -> None:
    _submit(database)
    _taken(database)
    assert _claim(database, device_type="cuda") is None


def test_conversions_go_first_and_the_tenant_that_used_less_goes_before_the_other(database: Database) -> None:
    busy = _submit(database, tenant="busy")
    idle = _submit(database, tenant="idle")
    with database.write() as session:
        shards.charge(session, things.tenant_in(session, "busy"), 5.0)
        shards.charge(session, things.tenant_in(session, "busy"), 5.0)
    assert _taken(database).job_id == idle
    convert = _submit(database, tenant="busy", spec=things.spec("convert"), count=1)
    assert [_taken(database).job_id for _ in range(4)] == [convert, idle, idle, busy]


def test_a_tenant_that_only_converts_does_not_have_the_device_for_itself(database: Database) -> None:
    converts = [_submit(database, tenant="busy", spec=things.spec("convert"), count=1) for _ in range(2)]
    other = _submit(database, tenant="idle", count=1)
    assert _taken(database).job_id == converts[0]
    with database.write() as session:
        shards.charge(session, things.tenant_in(session, "busy"), scheduling.CREDIT + 1.0)
    assert [_taken(database).job_id for _ in range(2)] == [other, converts[1]]


def test_bells_are_rung_once_an_interval_for_shards_that_are_ready(database: Database) -> None:
    job_id = _submit(database)
    _taken(database)
    with database.write() as session:
        assert shards.without_wakeup(session, 10.0, most=64) == 2
        assert shards.without_wakeup(session, 10.0, most=64) == 0
        session.execute(update(Shard).where(Shard.job_id == job_id).values(rung=0.0))
        assert [shards.without_wakeup(session, 10.0, most=1) for _ in range(3)] == [1, 1, 0], (
            "no more at once than can be heard"
        )


def test_a_swept_shard_of_a_cancelled_job_ends_the_job(database: Database, tmp_path: Path) -> None:
    job_id = _submit(database, count=1)
    _taken(database, lease=-1.0)
    with database.write() as session:
        jobs.cancel(session, job_id)
    with database.write() as session:
        shards.expire_leases(session)
    assert _state(database, job_id) == jobs.CANCELLED


def test_cancelling_while_workers_claim_neither_deadlocks_nor_leaves_a_shard_in_work(database: Database) -> None:
    errors: list[Exception] = []

    def guarded(act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except Exception as error:
                errors.append(error)

        return threading.Thread(target=run)

    def claim_and_release() -> None:
        while (claim := _claim(database)) is not None:
            with database.write() as session:
                shards.release(session, claim)

    def cancel(job_id: str) -> None:
        with database.write() as session:
            jobs.cancel(session, job_id)

    for _ in range(10):
        job_id = _submit(database, count=8)
        threads = [guarded(claim_and_release) for _ in range(3)] + [guarded(lambda job_id=job_id: cancel(job_id))]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert errors == []
        assert _state(database, job_id) == jobs.CANCELLED
        with database.read() as session:
            assert {shard.state for shard in session.query(Shard).filter_by(job_id=job_id)} == {"dropped"}


def test_device_time_of_workers_at_once_adds_up(database: Database) -> None:
    tenant_id = things.tenant(database)

    def charge() -> None:
        for _ in range(5):
            with database.write() as session:
                shards.charge(session, tenant_id, 1.0)

    threads = [threading.Thread(target=charge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert sum(account.seconds for account in session.query(DeviceTime)) == 20.0
