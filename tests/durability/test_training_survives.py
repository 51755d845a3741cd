"""A training job that is killed in the middle of an epoch ends with the weights of an unbroken run."""

from pathlib import Path

import pytest
from tests_support import processes, things, unbroken
from tests_support.kinds import SLOWLY_ON_SQLITE
from tests_support.unbroken import REQUEST

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.specs.jobs import TrainSpec
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, results
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Job, Shard

pytestmark = pytest.mark.long


def _place(database: Database, job_id: str) -> tuple[int, int]:
    """Epoch and step of the last snapshot."""
    with database.read() as session:
        resume = session.get_one(Shard, (job_id, 0)).resume or {"epoch": 0, "step": 0}
    return resume["epoch"], resume["step"]


def _inside(database: Database, job_id: str, epoch: int) -> bool:
    """Whether the last snapshot was taken inside an epoch, this one or a later one."""
    reached, step = _place(database, job_id)
    return reached >= epoch and step > 0


def _blobs(settings: Settings) -> list[Path]:
    return list(settings.blobs.glob("??/*"))


@SLOWLY_ON_SQLITE
def test_a_training_killed_twice_ends_with_the_weights_of_an_unbroken_run(
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
    )
    tenant_id = things.tenant(database)
    dataset_id = things.dataset(database, settings.blobs, tenant_id)
    job_id = things.submit(database, tenant_id, REQUEST | {"dataset": dataset_id})
    seen: list[tuple[int, int]] = []
    with processes.fleet(settings, "radii.worker.embedded", 1) as fleet:
        for epoch in (2, 6):
            processes.until(lambda epoch=epoch: _inside(database, job_id, epoch), 60, "a snapshot")  # type: ignore[misc]
            fleet.kill(fleet.processes[0])
            seen.append(_place(database, job_id))
            fleet.start()
        assert not processes.ended(database, job_id), "killed too late to mean anything"
        processes.until(lambda: processes.ended(database, job_id), 300, "the job ends")

    with database.read() as session:
        job = session.get_one(Job, job_id)
        row = session.get_one(Checkpoint, job.checkpoint_id)
        metrics = [(epoch.loss, epoch.accuracy) for epoch in results.epochs(session, job_id)]
    assert (job.state, job.problem, row.state) == (jobs.SUCCEEDED, None, "ready")
    assert any(step > 0 for _, step in seen), "at least one kill fell into an epoch"
    model, info = checkpoint.load(blob_files.path_of(settings.blobs, row.sha256 or ""))
    weights, epochs = unbroken.training(TrainSpec(dataset="digits", **REQUEST))  # type: ignore[arg-type]
    assert unbroken.same(model.state_dict(), weights)
    assert metrics == [(epoch.loss, epoch.accuracy) for epoch in epochs]
    assert (info.epoch, info.sigma, info.method) == (12, 0.25, "gaussian")
    assert len(_blobs(settings)) <= 4, "superseded snapshots go at once, but for those of the moment of a kill"
    with database.write() as session:
        resources.collect(session, settings.blobs, grace=-60.0)
    kept = _blobs(settings)
    assert len(kept) == 2, "data set and checkpoint stay, every snapshot goes"
