"""Wrong flags of local commands are refused with the allowed values before torch, a converter or the data is touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from radii.rs_core.errors import InvalidSpec
from radii.service.local.flag_checks import check_flags
from radii.worker.sandbox import converter

WATCHED = """
import sys
from radii.service.cli.main import main
sys.argv = ["radii", *sys.argv[1:]]
try:
    main()
finally:
    print("torch" in sys.modules, "radii.worker.sandbox.converter" in sys.modules, "radii.rs_core.data.load" in sys.modules)
"""
WRONG = {
    "normalization": (["--normalization", "mnist"], "expected one of none, cifar10, cifar100, imagenet, got 'mnist'"),
    "near": (["--normalization", "cifar-10"], "(perhaps cifar10), got 'cifar-10'"),
    "architecture": (["--architecture", "lennet"], "(perhaps lenet or "),
    "device": (["--device", "gpu"], "(--device): expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    "checkpoint": ([], "expected a file, got nothing there"),
}


def ended(folder: Path, *arguments: str) -> tuple[str, str]:
    run = subprocess.run([sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, cwd=folder)
    assert run.returncode == 1
    return run.stderr, run.stdout


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_flag_ends_a_command_before_anything_is_loaded(tmp_path: Path, wrong: str) -> None:
    flags, sentence = WRONG[wrong]
    (tmp_path / "model.pth").write_bytes(b"no checkpoint")
    checkpoint = "missing.pth" if wrong == "checkpoint" else "model.pth"
    said, loaded = ended(
        tmp_path,
        "certify",
        "--out",
        "x.tsv",
        "--dataset",
        "digits",
        "--checkpoint",
        checkpoint,
        "--sigma",
        "0.5",
        *flags,
    )
    assert sentence in said and "Traceback" not in said and said.count("\n") <= 3
    assert loaded.strip() == "False False False"


@pytest.mark.parametrize("wrong", ["normalization", "architecture"])
def test_the_converter_itself_answers_with_a_sentence(tmp_path: Path, wrong: str) -> None:
    """As where another version of the service has let a word pass."""
    (tmp_path / "model.pth").write_bytes(b"no checkpoint")
    request = {"what": "checkpoint", "files": {"model.pth": str(tmp_path / "model.pth")}, "out": str(tmp_path / "out")}
    hint = {"normalization": "mnist"} if wrong == "normalization" else {"num_classes": 1}
    with pytest.raises(InvalidSpec) as caught:
        converter.convert(request | hint, seconds=60, memory=16 * 2**30)
    assert "pydantic" not in str(caught.value) and next(iter(hint)) in str(caught.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:17"])
def test_a_right_device_passes(device: str) -> None:
    check_flags(device=device, hints={"architecture": "lenet", "normalization": "cifar10"})
    check_flags(device=device, hints={"architecture": "imagenet_dncnn", "normalization": None})


@pytest.mark.parametrize("device", ["", "CPU", "cuda:", "cuda:-1", "mps", "cuda:0 ", "cuda:1\n"])
def test_another_device_is_refused(device: str) -> None:
    with pytest.raises(InvalidSpec, match="expected auto, cpu, cuda or cuda:N"):
        check_flags(device=device)
