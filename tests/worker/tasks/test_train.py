"""A training task as a child does it: what it reads, what it says of each epoch and of the checkpoint that it makes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests_support import mixes, things

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.training_overlap import trained_on
from radii.rs_core.data import dataset_file
from radii.rs_core.data.builtin import digits
from radii.rs_core.errors import InvalidCheckpoint, Mismatch
from radii.rs_core.soft_labels import labels as soft_labels
from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.training.initialization import fingerprint
from radii.worker.kinds.train import TRAIN
from radii.worker.store.blobs import blob_files
from radii.worker.tasks import train
from radii.worker.tasks.task import Task

SPEC = {
    "kind": "train",
    "dataset": "ds_1",
    "architecture": "digits_cnn",
    "sigma": 0.25,
    "epochs": 2,
    "batch_size": 40,
    "inputs": {"count": 80},
    "seed": 3,
}
MIX = {
    "architecture": None,
    "sigma": None,
    "start_from": "ckpt_1",
    "epochs": 1,
    "method": {"name": "adaptive_smoothing", "extra_clean": 0, "attacked": 1, "steps": 1},
}
CERTIFICATION = {"every": 2, "inputs": {"count": 3}, "n0": 10, "n": 100}


def _stored(root: Path, write: Any) -> str:
    path = blob_files.new_path(root)
    write(path)
    sealed = blob_files.seal_file(path)
    blob_files.place(root, sealed)
    return sealed.sha256


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def data(root: Path) -> str:
    return _stored(root, lambda path: dataset_file.save(digits(), path))


def _task(root: Path, files: dict[str, str], **fields: Any) -> Task[TrainSpec]:
    body = {
        "kind": "train",
        "task": TRAIN.task,
        "spec": SPEC | fields,
        "execution": {"threads": 1},
        "blobs": str(root),
        "files": files,
    }
    body |= {"first": 0, "stop": 80, "done": [], "progress": None, "resume": None, "limits": {"snapshot": 60.0}}
    return Task.read(body, torch.device("cpu"))


def _made(root: Path, message: dict[str, Any]) -> Path:
    assert message["type"] == "done"
    return Path(message["made"]["sealed"]["path"])


def test_epochs_tell_of_the_certification_and_the_checkpoint_of_the_epoch_that_was_kept(root: Path, data: str) -> None:
    files = {"dataset": data, "test_dataset": data}
    options = {"test_dataset": "ds_1", "keep": "acr", "certification": CERTIFICATION, "precision": "bf16"}
    messages = list(train.run(_task(root, files, **options)))
    epochs = [message for message in messages if message["type"] == "epoch"]
    assert [epoch["certification"] is None for epoch in epochs] == [True, False]
    found = epochs[1]["certification"]
    assert found.keys() == {"inputs", "acr", "abstained", "certified_accuracy"}
    model, info = checkpoint.load(_made(root, messages[-1]))
    assert info.epoch == messages[-1]["made"]["columns"]["info"]["epoch"] == 2
    weights = {"keep": "acr", "epoch": 2, "epochs": 2, "value": found["acr"]}
    assert (info.provenance["weights"], info.provenance["precision"]) == (weights, "bf16")
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}


def test_a_task_starts_from_the_named_checkpoint(root: Path, data: str) -> None:
    start = _stored(root, lambda path: checkpoint.save(things.model(), things.INFO, path))
    still = {"start_from": "ckpt_1", "learning_rate": 1e-30, "weight_decay": 0.0, "epochs": 1}
    *_, last = train.run(_task(root, {"dataset": data, "start_from": start}, **still))
    model, info = checkpoint.load(_made(root, last))
    assert info.provenance["start"] == {"weights": fingerprint(things.model())}
    assert torch.allclose(model.network.conv1.weight, things.model().network.conv1.weight, rtol=0, atol=1e-12)


def test_a_mix_is_trained_into_a_mix_whose_record_says_by_what_and_on_what(root: Path, data: str) -> None:
    start = _stored(root, lambda path: checkpoint.save(*mixes.constant(), path))
    *_, last = train.run(_task(root, {"dataset": data, "start_from": start}, **MIX, inputs={"count": 40}))
    model, info = checkpoint.load(_made(root, last))
    given, known = mixes.constant()
    assert (info.architecture, info.method, info.epoch, info.sigma) == (
        known.architecture,
        "adaptive_smoothing",
        1,
        0.25,
    )
    assert info.composition == model.network.spec and info.composition.mixing is not None  # type: ignore[union-attr]
    assert info.composition.robust_weight is None
    assert info.parts == known.parts
    assert info.provenance["start"] == {"weights": fingerprint(given)}
    assert info.provenance["spec"]["method"]["name"] == "adaptive_smoothing"
    own, parts = model.state_dict(), given.network.parts.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(own[f"network.parts.{name}"], tensor) for name, tensor in parts.items())
    columns = last["made"]["columns"]
    assert (columns["architecture"], columns["method"]) == (known.architecture, "adaptive_smoothing")
    assert trained_on(columns["info"], info.dataset_hash, 1797, range(30, 50)) == 10


def test_a_model_that_is_no_mix_is_refused_before_it_is_trained_on(root: Path, data: str) -> None:
    start = _stored(root, lambda path: checkpoint.save(things.model(), things.INFO, path))
    with pytest.raises(Mismatch, match=r"\(start_from\): expected a mix of .*, got digits_cnn"):
        next(train.run(_task(root, {"dataset": data, "start_from": start}, **MIX)))


def test_a_start_that_was_deleted_meanwhile_is_named(root: Path, data: str) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"\(start_from\): expected the checkpoint ckpt_1.* deleted since"):
        next(train.run(_task(root, {"dataset": data}, start_from="ckpt_1")))


@pytest.mark.parametrize("origin", [{"job": "job_7", "spec": {}}, {}], ids=["of a job", "of a file"])
def test_a_task_reads_its_soft_labels_and_the_checkpoint_says_which(
    root: Path, data: str, origin: dict[str, Any]
) -> None:
    method = {"name": "cat_rs", "m": 2, "steps": 1}
    labels = soft_labels.from_counts(range(90), [[0] * 9 + [5]] * 90, 10, origin=origin)
    votes = _stored(root, labels.save)
    *_, last = train.run(_task(root, {"dataset": data, "soft_labels": votes}, method=method, epochs=1))
    _, info = checkpoint.load(_made(root, last))
    job = {"job": "job_7"} if origin else {}
    assert info.provenance["soft_labels"] == {"sha256": votes, "n": 5, "inputs": 90} | job
    with pytest.raises(Mismatch, match="expected soft labels for cat_rs"):
        next(train.run(_task(root, {"dataset": data}, method=method)))


def test_the_checkpoint_takes_the_crops_that_it_was_trained_on(root: Path) -> None:
    large = digits()
    doubled = torch.from_numpy(large.images.copy()).repeat_interleave(2, 2).repeat_interleave(2, 3).numpy()
    data = _stored(
        root,
        lambda path: dataset_file.save(
            type(large)(images=doubled, labels=large.labels, class_names=large.class_names, name="large"), path
        ),
    )
    crops = {"augmentation": "resized_crop_flip", "crop_size": 8, "epochs": 1}
    *_, last = train.run(_task(root, {"dataset": data}, **crops))
    assert checkpoint.load(_made(root, last))[1].input_shape == (1, 8, 8)
