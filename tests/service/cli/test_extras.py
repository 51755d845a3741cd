"""Each extra is enough for its commands, and a command whose extra is missing names it. Packages of other extras are hidden."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from radii.extras import _PACKAGES

Run = Callable[..., subprocess.CompletedProcess[str]]

HIDDEN = """
import os, sys
hidden = os.environ["HIDDEN"].split(",")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
ROWS = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t0.5\t1\t0:00:01\n1\t3\t-1\t0.0\t0\t0:00:01\n"


def without(*extras: str) -> list[str]:
    return [package for extra in extras for package in _PACKAGES[extra]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs ``radii`` in an empty folder where some packages are not installed."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(HIDDEN)
    (tmp_path / "rows.tsv").write_text(ROWS)

    def run(hidden: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = os.environ | {"PYTHONPATH": str(tmp_path / "path"), "HIDDEN": ",".join(hidden), "COLUMNS": "200"}
        command = [sys.executable, "-P", "-m", "radii", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    return run


CLIENT = without("reports", "torch", "server", "corruptions")
"""What an installation without extras lacks."""


@pytest.mark.parametrize(
    "command", [["--help"], ["--version"], ["methods"], ["presets"], ["published"], ["architectures"]]
)
def test_the_client_shows_what_there_is_to_choose_from(run: Run, command: list[str]) -> None:
    done = run(CLIENT, *command)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_the_client_reaches_for_the_service(run: Run) -> None:
    done = run(CLIENT, "status", "job_1", "--server", "http://127.0.0.1:9")
    assert done.stderr.startswith("radii: No answer from http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["up"], "server,torch"),
        (["worker"], "server,torch"),
        (["migrate"], "server"),
        (["doctor"], "server"),
        (["key", "list"], "server"),
        (
            ["train", "--dataset", "digits", "--architecture", "lenet", "--sigma", "1", "--out", "a.safetensors"],
            "torch",
        ),
        (["certify", "--checkpoint", __file__, "--dataset", "digits", "--out", "a.tsv"], "torch"),
        (["report", "rows.tsv"], "reports"),
        (["compare", "rows.tsv"], "reports"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_whose_extra_is_missing_names_it(run: Run, command: list[str], extra: str) -> None:
    done = run(CLIENT, *command)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert done.stderr.endswith(f"which is not installed: `pip install 'radii[{extra}]'`.\n"), done.stderr


def test_corruptions_are_installed_in_two_steps(run: Run) -> None:
    done = run(CLIENT, "corrupt", "--dataset", "digits", "--out", "a.safetensors")
    steps = "`pip install 'radii[corruptions]' && pip install --no-deps imagecorruptions-imaug`"
    assert done.stderr.endswith(f"which is not installed: {steps}.\n"), done.stderr


def test_the_library_alone_trains_certifies_and_reports(run: Run) -> None:
    others = without("server", "corruptions")
    train = "train --dataset digits --count 300 --architecture digits_cnn --sigma 0.25 --epochs 1 --out m.safetensors"
    certify = "certify --checkpoint m.safetensors --dataset digits --start 300 --count 4 --n 200 --out a.tsv"
    for command in (train, certify, "report a.tsv", "compare a.tsv"):
        done = run(others, *command.split())
        assert done.returncode == 0, done.stderr
    assert "ACR" in done.stdout


def test_reports_need_neither_torch_nor_the_service(run: Run) -> None:
    done = run(without("torch", "server", "corruptions"), "report", "rows.tsv")
    assert "ACR 0.2500" in done.stdout, done.stderr
