"""The file of soft labels that a training is given: made once out of the rows, kept, and refused where votes are missing."""

import numpy as np
import pytest
from tests_support import things

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import Prediction
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.worker import soft_label_files
from radii.worker.settings import Settings
from radii.worker.store import jobs, prediction_rows, resources, shards
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Job

CPU = {"device_type": "cpu", "execution": {"threads": 1}, "provenance": {"device": "a"}}
COUNT, N = 30, 50


def _row(index: int) -> Prediction:
    counts = np.random.default_rng(index).multinomial(N, [0.8] + [0.2 / 9] * 9)
    shared = {"label": index % 10, "prediction": 0, "p_value": 0.0, "n": N, "sigma": 0.25, "alpha": 0.001, "seed": 0}
    return Prediction(index=index, counts=tuple(int(count) for count in counts), seconds=0.1, **shared)  # type: ignore[arg-type]


@pytest.fixture
def pair(database: Database, settings: Settings) -> tuple[Job, Job]:
    """A training over 20 inputs, and the job with votes on 30, which has succeeded."""
    tenant_id = things.tenant(database)
    body = {
        "kind": "soft_labels",
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
        "inputs": {"count": COUNT},
        "n": N,
    }
    voted = things.submit(database, tenant_id, body)
    while True:
        with database.write() as session:
            claim = shards.claim(session, lease=60.0, **CPU)  # type: ignore[arg-type]
            if claim is None:
                break
            prediction_rows.store(session, voted, [_row(index) for index in range(claim.first, claim.stop)])
            shards.finish(session, claim)
    with database.write() as session:
        spec = things.spec("train", inputs={"count": 20})
        shared = {"shards": [(0, 20)], "total": 1, "work_total": 1, "dataset_id": body["dataset"]}
        new = NewJob(tenant_id=tenant_id, spec=spec, needs_id=voted, **shared)  # type: ignore[arg-type]
        return jobs.submit(session, new), session.get_one(Job, voted)


def _file(database: Database, settings: Settings, pair: tuple[Job, Job], beats: list[int] | None = None) -> str:
    training, _ = pair
    with database.read() as session:
        needed = soft_label_files.needed_by(session, session.get_one(Job, training.id))
        assert needed is not None
    beats = [] if beats is None else beats
    return soft_label_files.file_for(database, settings, training, needed, lambda: beats.append(1))


def test_the_file_holds_the_votes_of_every_row(
    database: Database, settings: Settings, pair: tuple[Job, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_label_files, "BATCH", 7)
    beats: list[int] = []
    labels = SoftLabels.load(blob_files.local_path(settings.blobs, _file(database, settings, pair, beats)))
    assert np.array_equal(labels.indices, np.arange(COUNT))
    frequencies = np.array([_row(index).counts for index in range(COUNT)]) / N
    assert np.allclose(labels.batch(range(COUNT)).numpy(), frequencies)
    assert len(beats) > COUNT // 7, "the lease is kept meanwhile"


def test_the_file_is_made_once_and_kept_as_long_as_its_job(
    database: Database, settings: Settings, pair: tuple[Job, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = _file(database, settings, pair)
    with database.read() as session:
        output = session.get_one(Job, pair[1].id).output
    assert output == {"sha256": sha256, "soft_labels": {"inputs": COUNT, "num_classes": 10, "n": N}}
    with database.write() as session:
        resources.collect(session, settings.blobs, grace=-60.0)
    assert blob_files.path_of(settings.blobs, sha256).exists()
    monkeypatch.setattr(soft_label_files, "from_counts", None)
    assert _file(database, settings, pair) == sha256


def test_a_file_that_is_gone_is_made_again_to_the_same_bytes(
    database: Database, settings: Settings, pair: tuple[Job, Job]
) -> None:
    sha256 = _file(database, settings, pair)
    blob_files.delete(settings.blobs, sha256)
    assert _file(database, settings, pair) == sha256
    assert blob_files.path_of(settings.blobs, sha256).exists()


def _lose(database: Database, job_id: str, index: int) -> None:
    from radii.worker.store.models.result_tables import PredictionRow

    with database.write() as session:
        row = session.get_one(PredictionRow, (job_id, index))
        row.error, row.counts = "The process died.", []


def test_a_training_input_without_votes_is_a_problem_that_names_it(
    database: Database, settings: Settings, pair: tuple[Job, Job]
) -> None:
    _lose(database, pair[1].id, 12)
    with pytest.raises(InvalidResults, match=rf"votes of job {pair[1].id} .* none for index 12: The process died"):
        _file(database, settings, pair)


def test_an_input_without_votes_that_the_training_does_not_use_is_left_out(
    database: Database, settings: Settings, pair: tuple[Job, Job]
) -> None:
    _lose(database, pair[1].id, 25)
    labels = SoftLabels.load(blob_files.local_path(settings.blobs, _file(database, settings, pair)))
    assert len(labels) == COUNT - 1 and 25 not in labels.indices


def test_other_jobs_that_need_a_job_get_no_votes(database: Database, pair: tuple[Job, Job]) -> None:
    with database.write() as session:
        shared = {
            "tenant_id": pair[0].tenant_id,
            "spec": things.spec("train"),
            "shards": [(0, 1)],
            "total": 1,
            "work_total": 1,
        }
        alone = jobs.submit(session, NewJob(**shared))  # type: ignore[arg-type]
        after = jobs.submit(session, NewJob(needs_id=alone.id, **shared))  # type: ignore[arg-type]
        assert soft_label_files.needed_by(session, alone) is None
        assert soft_label_files.needed_by(session, after) is None
