"""A run that is cut in the middle of an epoch and goes on from its snapshot ends as an unbroken one, whatever it is of."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests_support import trainings
from tests_support.threads import single

from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.specs.jobs import Macer, PeriodicCertification, Selection, TrainSpec
from radii.rs_core.training.loop import EpochRecord, StepRecord, TrainingResult, train
from radii.rs_core.training.snapshots import Snapshot

SPEC = replace(trainings.SPEC, test_dataset="digits", batch_size=24, lr_step=1, inputs=Selection(count=60))
CERTIFICATION = PeriodicCertification(every=1, inputs=Selection(count=4), n0=10, n=50)
RUNS = {name: trainings.by(hp, SPEC) for name, hp in trainings.METHODS.items()} | {
    # MACER's second term joins in the second epoch, so that the first one has the lower loss.
    "the best by loss": replace(SPEC, keep="loss", method=Macer(m=4, weight=100.0, deferred=True), lr_drop="exact"),
    "the best by test accuracy": replace(SPEC, keep="test_accuracy"),
    "the best by ACR": replace(SPEC, keep="acr", certification=CERTIFICATION),
    "bf16, channels last": replace(SPEC, precision="bf16", memory_format="channels_last", augmentation="crop_flip"),
    "AdamW, cosine, clipped": replace(
        SPEC, optimizer="adamw", learning_rate=1e-3, schedule="cosine", lr_warmup=0.2, clip_norm=1.0, method=Macer(m=4)
    ),
    "a mix without noise, by AdamW": replace(
        trainings.by(trainings.METHODS["adaptive_smoothing"], SPEC), sigma=None, optimizer="adamw", keep="loss"
    ),
    "few activations": replace(SPEC, method=Macer(m=4), forward_batch=16),
}


@pytest.fixture(scope="module")
def data() -> Iterator[Dataset]:
    with single():  # these batches are too small to share
        yield digits()


def _run(spec: TrainSpec, data: Dataset, folder: Path, resume: Path | None = None) -> tuple[list[object], list[Path]]:
    given = trainings.votes(data, 60) if spec.method.name == "cat_rs" else None
    records: list[object] = []
    saved: list[Path] = []
    held_out = replace(data, images=data.images[-80:], labels=data.labels[-80:])
    beside = {"test_data": held_out, "soft_labels": given, "start": trainings.start_of(spec)}
    for record in train(spec, data, **beside, resume=resume, snapshot_seconds=0.0):  # type: ignore[arg-type]
        if isinstance(record, Snapshot):
            saved.append(folder / f"{record.epoch}-{record.step}.safetensors")
            record.save(saved[-1])
        records.append(record)
    return records, saved


def _metrics(records: list[object]) -> dict[int, EpochRecord]:
    """Everything but the time."""
    return {record.epoch: replace(record, seconds=0.0) for record in records if isinstance(record, EpochRecord)}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_cut_in_the_middle_of_an_epoch_ends_as_an_unbroken_one(data: Dataset, tmp_path: Path, name: str) -> None:
    (tmp_path / "whole").mkdir()
    whole, saved = _run(RUNS[name], data, tmp_path / "whole")
    for cut in ("0-2",) if RUNS[name].keep == "last" else ("0-2", "1-1"):
        resumed, _ = _run(RUNS[name], data, tmp_path, tmp_path / "whole" / f"{cut}.safetensors")
        end, same_end = whole[-1], resumed[-1]
        assert isinstance(end, TrainingResult)
        assert isinstance(same_end, TrainingResult)
        assert (end.epoch, end.value) == (same_end.epoch, same_end.value)
        state = same_end.model.state_dict()
        assert all(torch.equal(tensor, state[key]) for key, tensor in end.model.state_dict().items())
        expected, found = _metrics(whole), _metrics(resumed)
        assert found == {epoch: record for epoch, record in expected.items() if epoch >= int(cut[0])}
    assert [path.stem for path in saved if path.stem.endswith("-0")] == ["1-0", "2-0"]


def test_the_best_weights_so_far_survive_in_the_snapshot(data: Dataset, tmp_path: Path) -> None:
    """The first epoch is the best one; the run is cut in the second."""
    spec = RUNS["the best by loss"]
    whole, _ = _run(spec, data, tmp_path)
    losses = {epoch: record.loss for epoch, record in _metrics(whole).items()}
    assert losses[0] < losses[1]
    resumed, _ = _run(spec, data, tmp_path, tmp_path / "1-2.safetensors")
    assert isinstance(resumed[-1], TrainingResult)
    assert (resumed[-1].epoch, resumed[-1].epochs, resumed[-1].value) == (1, 2, losses[0])


def test_a_certification_that_was_cut_is_done_again_and_costs_no_step(data: Dataset, tmp_path: Path) -> None:
    spec = RUNS["the best by ACR"]
    whole, saved = _run(spec, data, tmp_path)
    assert tmp_path / "1-3.safetensors" in saved, "a snapshot behind the last step, before the certification"
    resumed, _ = _run(spec, data, tmp_path, tmp_path / "1-3.safetensors")
    assert _metrics(resumed) == {1: _metrics(whole)[1]}
    assert _metrics(resumed)[1].steps == 3


def test_a_snapshot_of_a_version_with_fewer_settings_is_gone_on_from(data: Dataset, tmp_path: Path) -> None:
    spec = RUNS["gaussian"]
    whole, saved = _run(spec, data, tmp_path)
    older = tmp_path / "older.safetensors"
    newer = ("optimizer", "clip_norm", "schedule", "lr_warmup")
    _without(saved[0], older, "precision", "certification", "forward_batch", *newer)
    resumed, _ = _run(spec, data, tmp_path, older)
    assert isinstance(whole[-1], TrainingResult) and isinstance(resumed[-1], TrainingResult)
    state = resumed[-1].model.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in whole[-1].model.state_dict().items())
    with pytest.raises(InvalidCheckpoint, match="one of another specification"):
        _run(replace(spec, precision="bf16"), data, tmp_path, older)


def test_a_run_stands_somewhere_after_every_optimiser_step(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radii.rs_core.training.timers.SECONDS_BETWEEN_RECORDS", 0.0)
    records, _ = _run(RUNS["smoothmix"], data, tmp_path)
    stands = [record for record in records if isinstance(record, StepRecord) and record.epoch == 0]
    assert {record.done for record in stands} >= {1, 2, 3, 4}  # two whole batches of two steps each, m = 2


def _without(path: Path, out: Path, *fields: str) -> None:
    """The snapshot as one would have been written before these fields of the specification were there."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    run = json.loads(metadata["run"])
    for name in fields:
        del run["spec"][name]
    save_file(tensors, out, metadata=metadata | {"run": json.dumps(run, sort_keys=True)})
