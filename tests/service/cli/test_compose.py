"""`radii compose`: one file out of several, certified like any other, and what is refused."""

import hashlib
from pathlib import Path

import pytest
import torch
from tests_support import parts
from tests_support.cli import done, refused

from radii.rs_core.checkpoints.checkpoint import load
from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.specs.composition import Denoised, Ensemble, Mixed


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return parts.saved(tmp_path, *parts.two())


def test_a_mix_has_what_the_flags_say(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "mix.safetensors"
    flags = ["--robust-weight", "0.76", "--standard-scale", "2", "--robust-scale", "0.5"]
    result = done("compose", "mixed", *two, *flags, "--out", out)
    assert result.stdout == f"The checkpoint is in {out}.\n"
    assert (
        "mixed(digits_cnn, digits_cnn), images of shape [1, 8, 8], 10 classes, trained at sigma 0.25" in result.stderr
    )
    model, info = load(out)
    assert info.composition == Mixed(robust_weight=0.76, standard_scale=2.0, robust_scale=0.5)
    assert [part.file_sha256 for part in info.parts] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in two]
    x = torch.rand(2, 1, 8, 8)
    assert info.composition is not None
    with torch.inference_mode():
        assert torch.equal(model(x), joined(info.composition, *parts.two())[0](x))


def test_an_ensemble_is_certified_when_its_parts_are_gone(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both.safetensors"
    done("compose", "ensemble", *two, "--out", out)
    assert load(out)[1].composition == Ensemble()
    for path in two:
        path.unlink()
    asked = ["--dataset", "digits", "--count", "2", "--n", "100", "--device", "cpu"]
    done("certify", "--checkpoint", out, *asked, "--out", tmp_path / "r.tsv")
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 3


def test_a_denoiser_of_the_public_format_goes_before_a_classifier(two: list[Path], tmp_path: Path) -> None:
    weights = parts.model(parts.DENOISER, 2).network.state_dict()
    wide = {"dncnn.0.weight": (64, 3, 3, 3), "dncnn.47.weight": (3, 64, 3, 3)}
    weights |= {name: torch.zeros(shape) for name, shape in wide.items()}
    torch.save({"arch": "cifar_dncnn", "epoch": 90, "state_dict": weights}, tmp_path / "best.pth.tar")
    [classifier] = parts.saved(tmp_path, [parts.model(parts.CIFAR, 0)], [parts.CIFAR])
    done("compose", "denoised", tmp_path / "best.pth.tar", classifier, "--out", tmp_path / "d.safetensors")
    info = load(tmp_path / "d.safetensors")[1]
    assert (info.architecture, info.composition) == ("denoised(dncnn, cifar_resnet20)", Denoised())
    assert info.parts[0].file_sha256 == hashlib.sha256((tmp_path / "best.pth.tar").read_bytes()).hexdigest()


def test_what_cannot_be_made_one_is_refused_with_a_sentence(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert "expected 2 to 64 parts, got 1" in refused("compose", "ensemble", two[0], "--out", out)
    assert "expected a denoiser as part 0, got digits_cnn" in refused("compose", "denoised", *two, "--out", out)
    assert "--robust-weight" in refused("compose", "mixed", *two, "--out", out, code=2)
    assert "robust-weight" in refused("compose", "mixed", *two, "--robust-weight", "1.2", "--out", out, code=2)
    scale = ["--robust-weight", "1", "--robust-scale", "0"]
    assert "--robust-scale" in refused("compose", "mixed", *two, *scale, "--out", out, code=2)
    assert "must end in .safetensors" in refused("compose", "ensemble", *two, "--out", tmp_path / "out.pt")
    assert "exists: choose another --out" in refused("compose", "ensemble", *two, "--out", two[0])
    assert not out.exists()


def test_a_denoiser_alone_is_not_certified_and_a_composite_is_not_trained_on(two: list[Path], tmp_path: Path) -> None:
    denoiser = tmp_path / "denoiser"
    denoiser.mkdir()
    [alone] = parts.saved(denoiser, [parts.model(parts.DENOISER, 2)], [parts.DENOISER])
    asked = ["--dataset", "digits", "--count", "1", "--device", "cpu"]
    said = refused("certify", "--checkpoint", alone, *asked, "--out", tmp_path / "r.tsv")
    assert "expected a classifier" in said and "got dncnn, a denoiser" in said
    out = tmp_path / "both.safetensors"
    done("compose", "ensemble", *two, "--out", out)
    training = ["--architecture", "digits_cnn", "--sigma", "0.25", "--epochs", "1", "--start-from", out]
    assert "of composites, only a mix is trained on, by adaptive_smoothing" in refused(
        "train", *asked, *training, "--out", tmp_path / "t.safetensors"
    )
