"""``radii train``: a start from another checkpoint, and the best epoch's weights."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radii.service.cli.main import app

RUN = ["train", "--dataset", "digits", "--architecture", "digits_cnn", "--sigma", "0.25", "--batch-size", "100"]
RUN += ["--count", "200", "--device", "cpu", "--threads", "1", "--learning-rate", "0.05"]


def _train(out: Path, *flags: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*RUN, "--out", str(out), *flags])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("first") / "first.safetensors"
    code, _, said = _train(out, "--epochs", "1")
    assert code == 0, said
    return out


def test_a_training_starts_from_a_file_and_says_which_epoch_it_kept(first: Path, tmp_path: Path) -> None:
    from radii.rs_core.checkpoints.checkpoint_info import read_info

    out = tmp_path / "second.safetensors"
    flags = ("--start-from", str(first), "--epochs", "2", "--test-dataset", "digits", "--keep", "test_accuracy")
    code, said, _ = _train(out, *flags)
    assert code == 0
    found = re.search(r"with the weights after epoch (\d) of 2", said)
    assert found is not None
    info = read_info(out)
    assert info.epoch == info.provenance["weights"]["epoch"] == int(found[1])
    assert info.provenance["spec"]["start_from"] == str(first)


def test_a_periodic_certification_is_on_the_epochs_line(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text("epochs = 1\n[certification]\nn0 = 10\nn = 50\ninputs = { count = 3 }\n")
    spec = ("--spec", str(tmp_path / "job.toml"), "--test-dataset", "digits")
    code, said, _ = _train(tmp_path / "out.safetensors", *spec)
    assert code == 0
    assert re.search(r"epoch 1 of 1: .*, ACR 0\.\d{4} on 3 test inputs", said)


def test_a_start_of_another_kind_is_one_sentence(first: Path, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text("[normalization]\nmean = [0.5]\nstd = [0.5]\n")
    flags = ("--start-from", str(first), "--spec", str(tmp_path / "job.toml"))
    code, _, said = _train(tmp_path / "out.safetensors", *flags)
    assert code == 1
    assert "(start_from): expected a checkpoint with the normalisation of this job (mean 0.5 and std 0.5)" in said
    assert said.count("\n") == 1
