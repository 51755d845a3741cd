"""A user's network that raises ends every local command with the sentence that a service's job has, and exit code 1."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support.cli import radii

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.models import registry

pytestmark = pytest.mark.long

NETS = """
import torch
from torch import nn


class Net(nn.Linear):
    def forward(self, x):
        if len(x) > 1:  # the check of a registered architecture gives it one image
            self.fail(x)
        return super().forward(x.flatten(1))


class Mismatched(Net):
    def fail(self, x):
        torch.zeros(2, 3) @ torch.zeros(4, 5)


class Asserting(Net):
    def fail(self, x):
        assert x.shape[1] == 3, "three channels"


class Missing(Net):
    def fail(self, x):
        return {}["a key"]


class Unsupported(Net):
    def fail(self, x):
        raise RuntimeError("no such kernel. Please file an issue to PyTorch at https://github.com/pytorch/pytorch/issues")


class OneWay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("no gradient")


class Backward(Net):
    def fail(self, x):
        pass

    def forward(self, x):
        return OneWay.apply(super().forward(x))


class Tested(Net):
    def fail(self, x):
        assert self.training, "no evaluation"


def net_of(kind):
    return lambda num_classes, input_shape: kind(64, num_classes)


mismatched, asserting, missing, unsupported, backward, tested = map(
    net_of, (Mismatched, Asserting, Missing, Unsupported, Backward, Tested)
)
"""
SAID = {
    "mismatched": "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "asserting": "AssertionError: three channels",
    "missing": "KeyError: 'a key'",
    "unsupported": "RuntimeError: no such kernel",
}
TINY = ["--dataset", "digits", "--device", "cpu", "--threads", "1"]
FEW = ["--count", "2", "--n", "200"]
TRAINING = ["--sigma", "0.25", "--epochs", "1", "--count", "64", "--batch-size", "32"]
COMMANDS = {
    "certify": ["certify", *TINY, *FEW],
    "a long certify": ["certify", *TINY, "--count", "2", "--n", "1000000"],
    "predict": ["predict", *TINY, *FEW],
    "attack": ["evaluate", "attack", *TINY, *FEW, "--at", "0.5", "--steps", "2", "--m", "4"],
    "over-confidence": ["evaluate", "over-confidence", *TINY, *FEW, "--at", "0,1"],
}


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The networks as registered architectures."""
    rows = (
        f'[{name}]\nbuilder = "raising_nets:{name}"\ninput_shape = [1, 8, 8]\n'
        for name in [*SAID, "backward", "tested"]
    )
    (tmp_path / "raising_nets.py").write_text(NETS)
    (tmp_path / "architectures.toml").write_text("".join(row + 'description = "it raises"\n' for row in rows))
    monkeypatch.setenv("RADII_ARCHITECTURES", str(tmp_path / "architectures.toml"))
    registry.use(tmp_path / "architectures.toml")
    yield
    registry.use(None)


def saved(name: str, folder: Path) -> Path:
    network = registry.build(name, num_classes=10, input_shape=(1, 8, 8))
    info = CheckpointInfo(architecture=name, num_classes=10, input_shape=(1, 8, 8), sigma=0.25)
    checkpoint.save(network, info, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def ends_with(said: str, *arguments: str | Path) -> None:
    """The command's last line is that sentence, and nothing else is wrong."""
    result = radii(*arguments)
    assert result.exit_code == 1, (result.exception, result.output)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output and "file an issue" not in result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("radii: The base classifier cannot be run: expected a network that takes float32 images"), (
        last
    )
    assert f"got {said}" in last and last.endswith("."), last


@pytest.mark.parametrize("name", SAID)
def test_a_training_step_that_raises_is_one_sentence_with_the_shape_of_the_batch(name: str, tmp_path: Path) -> None:
    ends_with(SAID[name], "train", *TINY, *TRAINING, "--architecture", name, "--out", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_backward_pass_that_raises_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    ends_with("RuntimeError: no gradient", "train", *TINY, *TRAINING, "--architecture", "backward", "--out", out)


def test_a_test_after_an_epoch_that_raises_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    asked = ["train", *TINY, *TRAINING, "--test-dataset", "digits", "--architecture", "tested", "--out", out]
    ends_with("AssertionError: no evaluation", *asked)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", SAID)
def test_every_command_that_runs_a_network_says_what_it_raised(name: str, command: str, tmp_path: Path) -> None:
    ends_with(SAID[name], *COMMANDS[command], "--checkpoint", saved(name, tmp_path), "--out", tmp_path / "out.tsv")


@pytest.mark.parametrize("name", ["mismatched", "asserting"])
def test_a_plan_and_the_votes_for_soft_labels_say_it_too(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path)
    ends_with(SAID[name], "plan", *TINY, *FEW, "--checkpoint", model)
    voter = ["--method", "cat_rs", "--set", f"method.soft_label_checkpoint={model}"]
    ends_with(
        SAID[name], "train", *TINY, *TRAINING, *voter, "--architecture", name, "--out", tmp_path / "o.safetensors"
    )
