"""Jobs that need jobs: claimed once the needed one has succeeded, failed where it has not, and cancelled with it."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, update
from tests_support import things

from radii.worker.store import jobs, resources, shards
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Event, Job, Shard
from radii.worker.store.shards import Claim

CPU = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}


def _submit(database: Database, needs_id: str | None = None, *, auto: bool = False, kind: str = "certify") -> str:
    tenant_id = things.tenant(database)
    with database.write() as session:
        fields = {"tenant_id": tenant_id, "spec": things.spec(kind), "total": 2, "work_total": 2}
        new = NewJob(**fields, shards=[(0, 1), (1, 2)], needs_id=needs_id, auto=auto)  # type: ignore[arg-type]
        return jobs.submit(session, new).id


def _chain(database: Database) -> tuple[str, str, str]:
    """A job, the one that it needs, and the one that that one needs; the last two were made for others."""
    voter = _submit(database, auto=True, kind="train")
    votes = _submit(database, voter, auto=True, kind="soft_labels")
    return _submit(database, votes, kind="train"), votes, voter


def _claim(database: Database) -> Claim | None:
    with database.write() as session:
        return shards.claim(session, lease=60.0, **CPU)  # type: ignore[arg-type]


def _finish(database: Database, job_id: str) -> None:
    for _ in range(2):
        claim = _claim(database)
        assert claim is not None and claim.job_id == job_id
        with database.write() as session:
            shards.finish(session, claim)


def _job(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def _states(database: Database, *ids: str) -> list[str]:
    return [_job(database, job_id).state for job_id in ids]


def _waiting(database: Database) -> bool:
    with database.read() as session:
        return shards.waiting(session, "cpu")


def test_a_job_is_claimed_only_when_the_one_it_needs_has_succeeded(database: Database) -> None:
    training, votes, voter = _chain(database)
    for job_id in (voter, votes, training):
        assert _waiting(database)
        _finish(database, job_id)
    assert not _waiting(database)
    assert _states(database, training, votes, voter) == [jobs.SUCCEEDED] * 3


def test_nothing_is_claimed_while_the_needed_job_is_in_work(database: Database) -> None:
    voter = _submit(database)
    _submit(database, voter)
    held = [_claim(database), _claim(database)]
    assert [claim.job_id for claim in held if claim] == [voter, voter]
    assert _claim(database) is None
    assert not _waiting(database)


def test_bells_ring_only_for_shards_that_can_be_claimed_and_at_once_when_they_can(database: Database) -> None:
    training, votes, _ = _chain(database)
    with database.write() as session:
        assert shards.without_wakeup(session, 10.0, most=64) == 2, "those of the first job of the chain"
    with database.write() as session:
        assert shards.awakened(session, votes) == 0
    for job_id in _job(database, votes).needs_id or "", votes:
        _finish(database, job_id)
    with database.write() as session:
        assert shards.awakened(session, votes) == 2
        assert shards.without_wakeup(session, 10.0, most=64) == 2
        session.execute(update(Job).where(Job.id == training).values(state="running"))
        assert shards.awakened(session, votes) == 0


def test_a_failure_fails_every_job_down_the_chain_with_its_reason(database: Database) -> None:
    training, votes, voter = _chain(database)
    with database.write() as session:
        jobs.fail(session, voter, {"detail": "Training diverged."})
    assert _states(database, training, votes, voter) == [jobs.FAILED] * 3
    problem = _job(database, training).problem or {}
    assert problem["job"] == votes
    assert problem["detail"] == (
        f"It needs job {votes} (soft_labels), which has failed: "
        f"It needs job {voter} (train), which has failed: Training diverged."
    )
    with database.read() as session:
        events = list(session.scalars(select(Event.type).where(Event.job_id == training).order_by(Event.seq)))
        assert events == ["queued", "failed"]
        assert {shard.state for shard in session.query(Shard).filter_by(job_id=training)} == {"dropped"}


def test_a_needed_job_that_is_cancelled_fails_those_that_wait_for_it(database: Database) -> None:
    needed = _submit(database)
    waiting = [_submit(database, needed) for _ in range(3)]
    with database.write() as session:
        jobs.cancel(session, needed)
    assert _states(database, *waiting) == [jobs.FAILED] * 3
    assert (_job(database, waiting[0]).problem or {})["detail"].endswith("which was cancelled.")


def test_a_needed_job_that_is_cancelled_while_it_runs_fails_those_that_wait_when_it_ends(database: Database) -> None:
    needed = _submit(database)
    waiting = _submit(database, needed)
    claim = _claim(database)
    assert claim is not None
    with database.write() as session:
        jobs.cancel(session, needed)
    assert _states(database, needed, waiting) == [jobs.CANCELLING, jobs.QUEUED]
    with database.write() as session:
        shards.release(session, claim)
    assert _states(database, needed, waiting) == [jobs.CANCELLED, jobs.FAILED]


@pytest.mark.parametrize("ended", [jobs.FAILED, jobs.CANCELLED])
def test_a_job_that_needs_one_that_has_ended_otherwise_has_failed_at_once(database: Database, ended: str) -> None:
    needed = _submit(database)
    with database.write() as session:
        assert jobs.change(session, needed, ended)
    job_id = _submit(database, needed, kind="train")
    assert _states(database, job_id) == [jobs.FAILED]
    with database.write() as session:
        row = resources.create_trained(session, things.tenant_in(session), "mine", job_id)
    assert row.state == "rejected"


def test_a_job_that_needs_one_that_is_being_cancelled_has_failed_at_once_and_says_so(database: Database) -> None:
    needed = _submit(database)
    before = _submit(database, needed)
    assert _claim(database) is not None
    with database.write() as session:
        jobs.cancel(session, needed)
    after = _submit(database, needed)
    assert _states(database, needed, before, after) == [jobs.CANCELLING, jobs.QUEUED, jobs.FAILED]
    assert (_job(database, after).problem or {})["detail"].endswith("which is being cancelled.")


def test_a_job_is_hopeless_where_one_down_the_chain_is(database: Database) -> None:
    training, votes, voter = _chain(database)
    claim = _claim(database)
    assert claim is not None and claim.job_id == voter
    with database.write() as session:
        assert jobs.hopeless(session, training) is None
        jobs.cancel(session, voter)
        assert jobs.hopeless(session, training) == (voter, jobs.CANCELLING)
    assert _states(database, votes) == [jobs.QUEUED]


def test_a_job_that_needs_one_that_has_succeeded_can_be_claimed_at_once(database: Database) -> None:
    needed = _submit(database)
    _finish(database, needed)
    _finish(database, _submit(database, needed))


def test_cancelling_cancels_what_was_made_for_the_job_down_the_chain(database: Database) -> None:
    training, votes, voter = _chain(database)
    with database.write() as session:
        jobs.cancel(session, training)
    assert _states(database, training, votes, voter) == [jobs.CANCELLED] * 3


def test_cancelling_leaves_what_somebody_asked_for(database: Database) -> None:
    voter = _submit(database)
    votes = _submit(database, voter, auto=True)
    training = _submit(database, votes)
    with database.write() as session:
        jobs.cancel(session, training)
    assert _states(database, training, votes, voter) == [jobs.CANCELLED, jobs.CANCELLED, jobs.QUEUED]


def test_cancelling_leaves_what_another_job_needs_until_that_one_is_cancelled_too(database: Database) -> None:
    first, votes, voter = _chain(database)
    second = _submit(database, votes)
    with database.write() as session:
        jobs.cancel(session, first)
    assert _states(database, first, votes, voter) == [jobs.CANCELLED, jobs.QUEUED, jobs.QUEUED]
    with database.write() as session:
        jobs.cancel(session, second)
    assert _states(database, second, votes, voter) == [jobs.CANCELLED] * 3


def test_cancelling_a_job_whose_voter_is_in_work_stops_it_within_a_commit(database: Database) -> None:
    training, votes, voter = _chain(database)
    claim = _claim(database)
    assert claim is not None and claim.job_id == voter
    with database.write() as session:
        jobs.cancel(session, training)
    assert _states(database, training, votes, voter) == [jobs.CANCELLED, jobs.CANCELLED, jobs.CANCELLING]


def test_a_job_is_deleted_only_when_no_active_job_needs_it(database: Database) -> None:
    needed = _submit(database)
    _finish(database, needed)
    dependent = _submit(database, needed)
    with database.write() as session:
        assert not jobs.delete(session, needed)
        jobs.cancel(session, dependent)
        assert jobs.delete(session, needed)
    assert _job(database, dependent).needs_id is None
    with database.read() as session:
        assert session.get(Job, needed) is None


def test_a_blob_that_a_job_names_as_its_output_is_kept_while_the_job_is_there(
    database: Database, settings: object, tmp_path: object
) -> None:
    from radii.worker.store.blobs import blob_files
    from radii.worker.store.models.tables import Blob

    root = settings.blobs  # type: ignore[attr-defined]
    needed = _submit(database, kind="soft_labels")
    _finish(database, needed)
    with blob_files.writing(root) as writer:
        writer.write(b"votes")
        sealed = writer.seal()
    with database.write() as session:
        resources.put_blob(session, root, sealed)
        jobs.note_output(session, needed, {"sha256": sealed.sha256})
    with database.write() as session:
        assert resources.collect(session, root, grace=-60.0) == 0
        assert session.get(Blob, sealed.sha256) is not None
    with database.write() as session:
        assert jobs.delete(session, needed)
        assert resources.collect(session, root, grace=-60.0) == 1
    assert not blob_files.path_of(root, sealed.sha256).exists()


def test_ends_cancels_and_submissions_at_once_neither_deadlock_nor_leave_a_job_waiting_for_ever(
    database: Database,
) -> None:
    errors: list[Exception] = []

    def guarded(act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except Exception as error:
                errors.append(error)

        return threading.Thread(target=run, daemon=True)

    def in_transaction(act: Callable[..., object], *arguments: object) -> Callable[[], None]:
        def run() -> None:
            with database.write() as session:
                act(session, *arguments)

        return run

    for _ in range(10):
        training, votes, voter = _chain(database)
        late: list[str] = []
        acts = [
            in_transaction(jobs.cancel, training),
            in_transaction(jobs.fail, voter, {"detail": "No."}),
            in_transaction(jobs.cancel, votes),
            lambda votes=votes, late=late: late.append(_submit(database, votes)),  # type: ignore[misc]
            lambda voter=voter, late=late: late.append(_submit(database, voter)),  # type: ignore[misc]
        ]
        threads = [guarded(act) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive(), "they wait for each other"
        assert errors == []
        assert set(_states(database, training, votes, voter, *late)) <= {jobs.FAILED, jobs.CANCELLED}
    with database.read() as session:
        assert session.query(Checkpoint).count() == 0
