"""A training as workers and commands run it."""

import pytest
import torch
from tests_support import mixes, things

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.data.builtin import digits
from radii.rs_core.errors import Mismatch
from radii.rs_core.runs.train import TrainRun
from radii.rs_core.soft_labels import labels as soft_labels
from radii.rs_core.specs.jobs import Selection, TrainSpec
from radii.rs_core.training.initialization import fingerprint
from radii.rs_core.training.records import TrainingResult

SPEC = TrainSpec(
    dataset="digits", architecture="digits_cnn", sigma=0.25, epochs=1, batch_size=40, inputs=Selection(count=80)
)


def finished(run: TrainRun) -> TrainingResult:
    *_, last = run.records()
    assert isinstance(last, TrainingResult)
    return last


def test_a_start_that_does_not_fit_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(Mismatch, match=r"\(start_from\)"):
        TrainRun(spec=SPEC, data=digits(), start=mixes.constant())


def test_the_checkpoint_says_what_the_training_had_in_addition_to_its_data() -> None:
    votes = soft_labels.from_counts(range(80), [[0] * 9 + [5]] * 80, 10, origin={"job": "job_7"})
    run = TrainRun(
        spec=SPEC,
        data=digits(),
        start=(things.model(), things.INFO),
        soft_labels=votes,
        soft_labels_sha256="a" * 64,
    )
    provenance = run.checkpoint_info(finished(run), {"device": "a machine"}).provenance
    assert provenance["soft_labels"] == {"sha256": "a" * 64, "n": 5, "inputs": 80, "job": "job_7"}
    assert provenance["start"] == {"weights": fingerprint(things.model())}
    assert provenance["device"] == "a machine"


def test_a_training_without_either_has_the_hash_of_its_data_alone() -> None:
    run = TrainRun(spec=SPEC, data=digits(), device=torch.device("cpu"))
    trained = finished(run)
    info = run.checkpoint_info(trained, {})
    assert isinstance(info, CheckpointInfo) and not info.provenance.keys() & {"soft_labels", "start"}
    known = TrainRun(spec=SPEC, data=digits(), dataset_hash="b" * 64).checkpoint_info(trained, {})
    assert info.dataset_hash != known.dataset_hash == "b" * 64
