"""What the queue knows of a training: its precision and its device are fixed once it has begun, and its start is held."""

import pytest
from tests_support import mixes, things

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, dump_info
from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.specs.jobs import AdaptiveSmoothing, Consistency, PeriodicCertification, Selection, TrainSpec
from radii.service.kinds import registry
from radii.worker import task_message
from radii.worker.settings import Settings
from radii.worker.store import resources, shards
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset, Job

BODY = {"kind": "train", "architecture": "digits_cnn", "sigma": 0.25, "epochs": 4, "precision": "bf16"}
MACHINE = {"execution": {"precision": "fp32", "threads": 1}, "provenance": {"device": "a"}}
DATA = Dataset(id="ds_1", count=1_000, shape=[1, 8, 8], num_classes=10)


def _spec(**fields: object) -> TrainSpec:
    return TrainSpec(**{"dataset": "ds_1", "architecture": "digits_cnn", "sigma": 0.25} | fields)  # type: ignore[arg-type]


def test_a_training_is_recorded_in_its_own_precision_and_stays_on_its_type_of_device(
    database: Database, settings: Settings
) -> None:
    tenant_id = things.tenant(database)
    things.submit(database, tenant_id, BODY | {"dataset": things.dataset(database, settings.blobs, tenant_id)})
    with database.write() as session:
        claim = shards.claim(session, lease=60, device_type="cuda", **MACHINE)
        assert claim is not None
        assert claim.execution == {"precision": "bf16", "threads": 1}
        shards.release(session, claim)
    with database.write() as session:
        assert shards.claim(session, lease=60, device_type="cpu", **MACHINE) is None
        assert shards.claim(session, lease=60, device_type="cuda", **MACHINE) is not None


def test_a_checkpoint_that_a_training_starts_from_is_in_use_and_among_its_files(
    database: Database, settings: Settings
) -> None:
    tenant_id = things.tenant(database)
    start = things.checkpoint_of(database, settings.blobs, tenant_id)
    dataset = things.dataset(database, settings.blobs, tenant_id)
    job_id = things.submit(database, tenant_id, BODY | {"dataset": dataset, "start_from": start})
    with database.read() as session:
        row, job = session.get_one(Checkpoint, start), session.get_one(Job, job_id)
        assert resources.users_of(session, row) == [job_id]
        assert task_message.files_of(session, job)["start_from"] == row.sha256
        assert "start_from" not in task_message.files_of(session, Job(kind="train", spec=things.spec("train")))


def test_the_certifications_are_part_of_the_estimate() -> None:
    test = Dataset(id="ds_2", count=100, shape=[1, 8, 8], num_classes=10)
    plan = PeriodicCertification(every=3, inputs=Selection(count=50), n0=100, n=900)
    plain, certifying = (
        registry.plan(
            _spec(epochs=7, test_dataset="ds_2", certification=c), tenant_id="t", dataset=DATA, test_dataset=test
        )[1]
        for c in (None, plan)
    )
    # After epochs 3, 6 and 7, fifty inputs of a thousand samples each, at 100,000 a second.
    assert certifying - plain == pytest.approx(3 * 50 * 1_000 / 100_000)


MIX = TrainSpec(
    dataset="ds_1",
    start_from="ckpt_1",
    method=AdaptiveSmoothing(extra_clean=1, attacked=2, steps=5),
    architecture=None,
    sigma=None,
    epochs=4,
    batch_size=100,
)


def _row(info: CheckpointInfo) -> Checkpoint:
    return Checkpoint(id="ckpt_1", architecture=info.architecture, info=dump_info(info))


def test_a_mixing_network_takes_passes_through_both_parts_for_every_copy() -> None:
    _, info = mixes.constant()
    job, seconds = registry.plan(MIX, tenant_id="t", dataset=DATA, start=_row(info))
    assert (job.work_total, job.total, job.spec.architecture) == (4 * 10, 4, None)
    # Four copies forward and backward, ten passes to the input; twice digits_cnn, at 100,000 a second.
    assert seconds == pytest.approx(4 * 1_000 * (3 * 4 + 2 * 10) * 2 / 100_000)


def test_a_mix_that_cannot_be_trained_on_is_refused_when_the_job_is_planned() -> None:
    with pytest.raises(Mismatch, match=r"\(start_from\): expected a mix of a standard .*, got digits_cnn"):
        registry.plan(MIX, tenant_id="t", dataset=DATA, start=_row(things.INFO))
    other = Dataset(id="ds_2", count=100, shape=[1, 28, 28], num_classes=10)
    with pytest.raises(Mismatch, match=r"\(dataset\): expected images of shape 1x8x8 in 10 classes, as start_from"):
        registry.plan(MIX, tenant_id="t", dataset=other, start=_row(mixes.constant()[1]))


def test_a_batch_that_gives_the_method_no_step_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"\(batch_size\): expected at least 8, .*consistency.* got 6"):
        registry.plan(_spec(method=Consistency(m=8), batch_size=6), tenant_id="t", dataset=DATA)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"architecture": "lenet"}, r"\(start_from\): expected a checkpoint of the architecture digits_cnn, got lenet"),
        (
            {"info": {"normalization": {"mean": [0.5], "std": [0.25]}}},
            r"this job \(none\), got one with mean 0.5 and std",
        ),
    ],
    ids=["architecture", "normalisation"],
)
def test_weights_that_the_training_cannot_start_from_are_refused(columns: dict[str, object], message: str) -> None:
    start = Checkpoint(**{"id": "ckpt_1", "architecture": "digits_cnn", "num_classes": 5, "info": {}} | columns)
    with pytest.raises(Mismatch, match=message):
        registry.plan(_spec(start_from="ckpt_1"), tenant_id="t", dataset=DATA, start=start)


def test_weights_for_another_number_of_classes_can_be_started_from() -> None:
    start = Checkpoint(id="ckpt_1", architecture="digits_cnn", num_classes=5, info={"normalization": None})
    assert registry.plan(_spec(start_from="ckpt_1"), tenant_id="t", dataset=DATA, start=start)[0].kind == "train"
