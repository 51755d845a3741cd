"""Trainings that share a job while others of them are cancelled: on Postgres, where requests run side by side."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from tests_support import processes, things
from tests_support.over_http import MODEL, Service, serving
from tests_support.servers import Postgres

from radii.rs_core.specs.jobs import CatRs, Selection, TrainSpec
from radii.service.jobs.submission import plan, submit
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, shards
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Job

SECONDS = 60.0


@pytest.fixture
def service(postgres: Postgres, migrated_name: str, tmp_path: Path) -> Iterator[Service]:
    with postgres.database(migrated_name) as url:
        database = Database(url)
        try:
            with serving(database, Settings(data=tmp_path, database_url=url)) as found:
                yield found
        finally:
            database.close()


def _spec(dataset: str, n: int = 50, seed: int = 0) -> TrainSpec:
    """A training by the votes of a classifier that depends on the seed."""
    common = {"dataset": dataset, "architecture": "digits_cnn", "sigma": 0.5, "epochs": 2, "seed": seed}
    return TrainSpec(**common, inputs=Selection(count=40), method=CatRs(soft_label_n=n))  # type: ignore[arg-type]


def _submitted(service: Service, dataset: str, n: int = 50, seed: int = 0) -> str:
    """It, planned and submitted as a request does it."""
    tenant_id = service.tenant()
    with service.database.write() as session:
        spec = _spec(dataset, n, seed)
        planned = plan(session, tenant_id, spec, service.settings)
        return submit(session, planned, things.request(spec), service.settings).id


def _cancel(service: Service, job_id: str) -> None:
    with service.database.write() as session:
        jobs.cancel(session, job_id)


def _chain(service: Service, job_id: str) -> list[Job]:
    """The job and those it needs."""
    with service.database.read() as session:
        return [session.get_one(Job, link) for link in [job_id, *jobs.needed_by(session, job_id)]]


def _succeed(service: Service) -> None:
    """The next job in the queue, done."""
    claim = service.claim()
    while claim is not None:
        with service.database.write() as session:
            if claim.kind == "train":
                row = session.get_one(Checkpoint, session.get_one(Job, claim.job_id).checkpoint_id)
                resources.make_ready(session, row, MODEL)
            shards.finish(session, claim)
        if service.job(claim.job_id).state == jobs.SUCCEEDED:
            return
        claim = service.claim()


def _waits(service: Service) -> bool:
    """Whether somebody waits for a lock in this database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with service.database.read() as session:
        return bool(session.scalar(text(query)))


@contextmanager
def _meanwhile(*acts: Callable[[], object]) -> Iterator[None]:
    """Does all of them at once beside the block; every one must end, and well."""
    errors: list[Exception] = []

    def guarded(act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(timeout=SECONDS)
        assert not thread.is_alive(), "they wait for each other"
    assert errors == []


@pytest.mark.parametrize("in_work", [0, 1, 2], ids=["nothing", "the classifier", "the votes"])
@pytest.mark.parametrize("n", [50, 60], ids=["the same votes", "other votes of the same classifier"])
def test_a_training_submitted_while_another_one_is_cancelled_makes_its_own(
    service: Service, in_work: int, n: int
) -> None:
    """The cancel has changed its jobs and not committed yet: what the submission reads is as good as gone."""
    dataset = service.dataset()
    first = _submitted(service, dataset)
    for _ in range(in_work - 1):
        _succeed(service)
    if in_work:
        assert service.claim() is not None
    made: list[str] = []
    with ExitStack() as stack, service.database.write() as session:
        jobs.cancel(session, first)
        stack.enter_context(_meanwhile(lambda: made.append(_submitted(service, dataset, n))))
        processes.until(lambda: _waits(service), SECONDS, "the submission waits for the cancel")
    chain = _chain(service, made[0])
    assert {job.state for job in chain} <= jobs.HOPEFUL, [(job.kind, job.state, job.problem) for job in chain]
    assert chain[1].id != _chain(service, first)[1].id


def test_a_training_that_is_cancelled_waits_for_one_that_is_submitted_and_leaves_it_what_it_needs(
    service: Service,
) -> None:
    dataset = service.dataset()
    first = _submitted(service, dataset)
    tenant_id = service.tenant()
    with ExitStack() as stack, service.database.write() as session:
        planned = plan(session, tenant_id, _spec(dataset), service.settings)
        stack.enter_context(_meanwhile(lambda: _cancel(service, first)))
        processes.until(lambda: _waits(service), SECONDS, "the cancel waits for the submission")
        second = submit(session, planned, things.request(planned.spec), service.settings).id
    assert service.job(first).state == jobs.CANCELLED
    assert [job.state for job in _chain(service, second)] == [jobs.QUEUED] * 3
    assert _chain(service, second)[1].id == _chain(service, first)[1].id


def test_nobodys_training_fails_because_others_are_cancelled_and_nobody_waits_for_ever(service: Service) -> None:
    """Rounds of cancels and submissions at once, over shared votes, over a shared classifier, and in work or not."""
    dataset = service.dataset()
    for seed in range(12):
        cancelled = [_submitted(service, dataset, n, seed) for n in (50, 60)]
        if seed % 3:
            assert service.claim() is not None
        late: list[str] = []
        cancels = [partial(_cancel, service, job_id) for job_id in cancelled]
        submissions = [partial(_submitted, service, dataset, n, seed) for n in (50, 60, 50, 70)]
        with _meanwhile(*cancels, *[lambda act=act, late=late: late.append(act()) for act in submissions]):  # type: ignore[misc]
            pass
        assert len(late) == 4
        for job_id in late:
            chain = _chain(service, job_id)
            assert {job.state for job in chain} <= jobs.HOPEFUL, [(job.kind, job.state, job.problem) for job in chain]
        for job_id in late:
            _cancel(service, job_id)
