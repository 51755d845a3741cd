"""Soft labels of a local CAT-RS training: classifier and votes beside the checkpoint, used again, and gone on with."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import Mismatch
from radii.rs_core.models import registry
from radii.rs_core.records import Prediction
from radii.rs_core.soft_labels import voting
from radii.rs_core.soft_labels.labels import SoftLabels, from_counts
from radii.rs_core.specs.jobs import CatRs, Selection, TrainSpec
from radii.service.console import CommandError
from radii.service.local.soft_labels import ensure
from radii.service.local.train import run

CPU = torch.device("cpu")
SPEC = TrainSpec(
    dataset="digits",
    architecture="digits_cnn",
    sigma=0.5,
    epochs=1,
    batch_size=64,
    learning_rate=0.05,
    inputs=Selection(count=120),
    method=CatRs(soft_label_n=20),
    seed=4,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> Path:
    """A folder with the classifier and the votes of SPEC for ``m.safetensors``."""
    folder = tmp_path_factory.mktemp("made")
    ensure(SPEC, data, folder / "m.safetensors", CPU, run)
    return folder


def _with(spec: TrainSpec, **method: object) -> TrainSpec:
    return replace(spec, method=replace(spec.method, **method))  # type: ignore[arg-type, type-var]


def _no_training(*_: object, **__: object) -> None:
    pytest.fail("a classifier was trained")


def test_classifier_and_votes_are_made_beside_the_checkpoint_and_used_again(
    made: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.name for path in made.iterdir()} == {"m.voter.safetensors", "m.soft-labels.safetensors"}
    monkeypatch.setattr(voting, "vote", None)
    for spec in (SPEC, replace(SPEC, sigma=1.0), _with(SPEC, m=2)):
        labels = ensure(spec, data, made / "m.safetensors", CPU, _no_training)
        assert (len(labels), labels.num_classes, labels.n) == (120, 10, 20)


def test_the_votes_are_those_of_the_classifier_under_its_noise(made: Path, data: Dataset) -> None:
    model, info = checkpoint.load(made / "m.voter.safetensors")
    inputs = [(index, data.image(index), int(data.labels[index])) for index in range(120)]
    records = voting.vote(Sampler(model, 0.25, 10, seed=4), inputs, n=20)
    counts = [record.counts for record in records if isinstance(record, Prediction)]
    assert (info.method, info.sigma) == ("gaussian", 0.25)
    labels = SoftLabels.load(made / "m.soft-labels.safetensors")
    assert np.array_equal(labels.batch(range(120)).numpy(), np.array(counts, dtype=np.float32) / 20)


def test_votes_that_were_interrupted_go_on_to_the_same_file(
    made: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vote, seen = voting.vote, []

    def interrupted(sampler, inputs, **how):  # type: ignore[no-untyped-def]
        for record in vote(sampler, inputs, **how):
            yield record
            seen.append(record)
            if len(seen) == 100:
                raise KeyboardInterrupt

    spec = _with(SPEC, soft_label_checkpoint=str(made / "m.voter.safetensors"))
    out = tmp_path / "m.safetensors"
    monkeypatch.setattr(voting, "vote", interrupted)
    with pytest.raises(typer.Exit):
        ensure(spec, data, out, CPU, run)
    partial = tmp_path / "m.soft-labels.ndjson"
    kept = partial.read_bytes().count(b"\n") - 1
    assert 0 < kept < 120
    partial.write_bytes(partial.read_bytes()[:-5])  # the last line was cut
    with pytest.raises(CommandError, match="holds votes of another run"):
        ensure(_with(spec, soft_label_n=30), data, out, CPU, run)

    redone: list[int] = []

    def counting(sampler, inputs, **how):  # type: ignore[no-untyped-def]
        yield from vote(sampler, ((redone.append(i) or i, x, y) for i, x, y in inputs), **how)

    monkeypatch.setattr(voting, "vote", counting)
    ensure(spec, data, out, CPU, run)
    assert len(redone) == 120 - (kept - 1)
    found = (tmp_path / "m.soft-labels.safetensors").read_bytes()
    assert found == (made / "m.soft-labels.safetensors").read_bytes()
    assert not partial.exists()


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, seed=5),
        replace(SPEC, epochs=2),
        replace(SPEC, inputs=Selection(count=100)),
        _with(SPEC, soft_label_sigma=0.5),
        _with(SPEC, soft_label_n=30),
    ],
    ids=["seed", "epochs", "inputs", "noise of the classifier", "votes"],
)
def test_files_of_another_run_are_refused_with_what_to_do(made: Path, data: Dataset, changed: TrainSpec) -> None:
    with pytest.raises(CommandError, match=r"of another run: choose another --out, or remove it"):
        ensure(changed, data, made / "m.safetensors", CPU, run)


def test_a_classifier_of_a_registered_network_whose_code_has_changed_is_refused(
    made: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radii.rs_core.models.code_hash.network_of", lambda name: f"other code of {name}")
    with pytest.raises(CommandError, match=r"of another run: choose another --out, or remove it"):
        ensure(SPEC, data, made / "m.safetensors", CPU, run)


def test_a_classifier_from_other_starting_weights_is_refused_and_one_from_equal_ones_under_another_name_is_not(
    made: Path, data: Dataset, tmp_path: Path
) -> None:
    """``run`` names the start by its file; what counts is what the file holds."""
    model, info = checkpoint.load(made / "m.voter.safetensors")
    for name in ("first", "again"):
        checkpoint.save(model, info, tmp_path / f"{name}.safetensors")
    first, again = (replace(SPEC, start_from=str(tmp_path / f"{name}.safetensors")) for name in ("first", "again"))
    out = tmp_path / "m.safetensors"
    ensure(first, data, out, CPU, run, model)
    ensure(again, data, out, CPU, _no_training, model)
    other = registry.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8))
    for spec, start, where in ((first, other, out), (SPEC, None, out), (first, model, made / "m.safetensors")):
        with pytest.raises(CommandError, match="holds a classifier of another run"):
            ensure(spec, data, where, CPU, run, start)


@pytest.mark.parametrize("given", [False, True], ids=["made", "given"])
def test_the_checkpoint_says_which_votes_it_learned_from(made: Path, tmp_path: Path, given: bool) -> None:
    votes = made / "m.soft-labels.safetensors"
    for path in () if given else made.iterdir():
        shutil.copy(path, tmp_path)
    spec = _with(SPEC, m=2, steps=1, **({"soft_labels": str(votes)} if given else {}))
    run(spec, tmp_path / "m.safetensors", device="cpu", threads=1)
    _, info = checkpoint.load(tmp_path / "m.safetensors")
    sha256 = hashlib.sha256(votes.read_bytes()).hexdigest()
    assert info.provenance["soft_labels"] == {"sha256": sha256, "n": 20, "inputs": 120}


def test_a_file_of_soft_labels_can_be_named(made: Path, data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    path = made / "m.soft-labels.safetensors"
    labels = ensure(_with(SPEC, soft_labels=str(path)), data, out, CPU, run)
    assert np.array_equal(labels.counts, SoftLabels.load(path).counts)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Mismatch, match="none for index 120"):
        ensure(_with(replace(SPEC, inputs=Selection(count=121)), soft_labels=str(path)), data, out, CPU, run)
    labels.origin["dataset"] = "another"  # type: ignore[index]
    labels.save(tmp_path / "other")
    with pytest.raises(Mismatch, match="votes on another one"):
        ensure(_with(SPEC, soft_labels=str(tmp_path / "other")), data, out, CPU, run)
    from_counts(range(120), [[20] * 5] * 120, 5).save(tmp_path / "few")
    with pytest.raises(Mismatch, match="votes over 10 classes, got votes over 5"):
        ensure(_with(SPEC, soft_labels=str(tmp_path / "few")), data, out, CPU, run)


def test_votes_say_what_they_were_made_from(made: Path) -> None:
    origin = SoftLabels.load(made / "m.soft-labels.safetensors").origin
    assert (origin["n"], origin["sigma"], origin["seed"], origin["inputs"]["count"]) == (20, 0.25, 4, 120)
    assert all(len(origin[name]) == 64 for name in ("checkpoint", "dataset"))
    assert json.dumps(origin)
