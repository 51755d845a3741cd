"""CAT-RS over the service's store: votes and training that are killed in the middle end as an undisturbed chain does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sqlalchemy import func, select
from tests_support import processes, things, unbroken

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.specs.jobs import TrainSpec, parse_spec
from radii.service.jobs import submission
from radii.worker.kinds import registry
from radii.worker.settings import Settings
from radii.worker.store import jobs, prediction_rows, resources, shards
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import PredictionRow, SampleProgress
from radii.worker.store.models.tables import Checkpoint, Job, Shard

pytestmark = pytest.mark.long

COUNT = 800
"""Votes and training take seconds and are written ten times a second: there is time to see them half done."""

SECONDS = 240.0
BODY = {
    "kind": "train",
    "architecture": "digits_cnn",
    "sigma": 0.5,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.02,
    "inputs": {"count": COUNT},
    "augmentation": "crop_flip",
    "method": {"name": "cat_rs", "m": 4, "steps": 2, "soft_label_n": 20},
    "seed": 5,
}


@pytest.fixture
def database_url(tmp_path: Path, migrated_file: Path) -> str:
    """SQLite, as the embedded mode has it."""
    (tmp_path / "radii.db").write_bytes(migrated_file.read_bytes())
    return f"sqlite:///{tmp_path / 'radii.db'}"


def _submit(database: Database, settings: Settings) -> tuple[str, str]:
    """The training and its soft labels, as a request makes them."""
    tenant_id = things.tenant(database)
    dataset = things.dataset(database, settings.blobs, tenant_id)
    spec = parse_spec(BODY | {"dataset": dataset})
    assert isinstance(spec, TrainSpec)
    with database.write() as session:
        job = submission.submit(
            session, submission.plan(session, tenant_id, spec, settings), things.request(spec), settings
        )
        assert job.needs_id is not None
        return job.id, job.needs_id


def _voted(database: Database, votes: str) -> int:
    with database.read() as session:
        query = select(func.count()).select_from(PredictionRow).where(PredictionRow.job_id == votes)
        return session.scalar(query) or 0


def _until(database: Database, training: str, condition: Callable[[], bool], what: str) -> None:
    """Waits for it; fails at once where the training has ended without."""

    def met() -> bool:
        if condition():
            return True
        with database.read() as session:
            job = session.get_one(Job, training)
        assert job.state not in jobs.TERMINAL, f"{job.state} before this was seen: {what}; {job.problem}"
        return False

    processes.until(met, SECONDS, what)


def _inside(database: Database, training: str) -> bool:
    with database.read() as session:
        resume = session.get_one(Shard, (training, 0)).resume
    return resume is not None and resume["step"] > 0


@pytest.mark.slow
def test_kills_during_the_votes_and_during_the_training_change_no_weight(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        data=tmp_path,
        database_url=database_url,
        lease=3.0,
        housekeeping_seconds=0.3,
        commit=0.1,
        poll=0.05,
        snapshot=0.1,
        threads=1,
        shard_seconds=0.05,
    )
    training, votes = _submit(database, settings)
    with processes.fleet(settings, "radii.worker.embedded", 1) as fleet:
        _until(database, training, lambda: _voted(database, votes) > 0, "the first votes")
        with database.write():  # while the database is held, the worker finishes nothing
            voted_then = _voted(database, votes)
            fleet.kill(fleet.processes[0])
        assert voted_then < COUNT, "killed too late to mean anything"
        fleet.start()
        _until(database, training, lambda: _inside(database, training), "a snapshot inside an epoch")
        with database.write():
            had_ended = processes.ended(database, training)
            fleet.kill(fleet.processes[0])
        assert not had_ended, "killed too late to mean anything"
        fleet.start()
        processes.until(lambda: processes.ended(database, training), SECONDS, "the training ends")

    with database.read() as session:
        job, voted = session.get_one(Job, training), session.get_one(Job, votes)
        row = session.get_one(Checkpoint, job.checkpoint_id)
        counts = [row.counts for row in prediction_rows.read(session, votes)]
        assert session.query(SampleProgress).count() == 0
    assert (job.state, job.problem, voted.state) == (jobs.SUCCEEDED, None, jobs.SUCCEEDED)
    spec = parse_spec(BODY | {"dataset": "digits"})
    assert isinstance(spec, TrainSpec)
    labels = unbroken.soft_labels(spec)
    assert torch.equal(labels.batch(range(COUNT)), torch.tensor(counts) / torch.tensor(20.0))
    found, _ = checkpoint.load(blob_files.path_of(settings.blobs, row.sha256 or ""))
    weights, _ = unbroken.training(spec, labels)
    assert unbroken.same(found.state_dict(), weights)


def test_without_its_soft_labels_a_training_fails_and_says_for_which_input(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        data=tmp_path, database_url=database_url, housekeeping_seconds=0.3, commit=0.1, poll=0.05, threads=1
    )
    training, votes = _submit(database, settings)
    machine = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}
    while True:
        with database.write() as session:
            claim = shards.claim(session, lease=60.0, **machine)  # type: ignore[arg-type]
            assert claim is not None
            if claim.job_id == training:
                shards.release(session, claim)
                break
            if claim.kind == "train":
                columns = {"architecture": "digits_cnn", "num_classes": 10, "input_shape": [1, 8, 8], "sigma": 0.25}
                made = session.get_one(Checkpoint, session.get_one(Job, claim.job_id).checkpoint_id)
                resources.make_ready(session, made, columns)
            for index in range(claim.first, claim.stop) if claim.kind == "soft_labels" else ():
                registry.store_failure(session, votes, index, 0, "It died.")
            shards.finish(session, claim)
    with processes.fleet(settings, "radii.worker.embedded", 1):
        processes.until(lambda: processes.ended(database, training), SECONDS, "the training ends")
    with database.read() as session:
        job = session.get_one(Job, training)
    assert job.state == jobs.FAILED
    assert "none for index 0: It died." in (job.problem or {})["detail"]
