"""`radii corrupt`, and runs on corrupted images: made here, or from the files of CIFAR-10-C."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support import things
from tests_support.cli import done, radii, refused

from rs_core import checkpoint
from rs_core.checkpoint import CheckpointInfo
from rs_core.data.canonical import open_dataset
from rs_core.models import table

SOME = ["--corruption", "fog", "--corruption", "gaussian_noise", "--severity", "2", "--severity", "5"]
CHOSEN = ["--start", "1000", "--step", "100", "--count", "3"]
TINY = ["--device", "cpu", "--threads", "1", "--batch-size", "100"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint.save(things.model(), things.INFO, path)
    return path


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "corrupted.safetensors"
    result = done("corrupt", "--dataset", "digits", *CHOSEN, *SOME, "--seed", "3", "--out", path)
    assert result.stdout == f"12 images are in {path}: 3 under each of 4 corruptions and severities.\n"
    assert "constants of ImageNet-C" in result.stderr and "padded by their edge pixels" in result.stderr
    return path


def test_the_data_set_is_as_asked_for(corrupted: Path) -> None:
    found = open_dataset(corrupted).corrupted
    assert found is not None and found.inputs is not None
    assert [(group.corruption, group.severity) for group in found.groups] == [
        (name, severity) for name in ("fog", "gaussian_noise") for severity in (2, 5)
    ]
    assert (found.seed, found.inputs.start, found.inputs.count) == (3, 1000, 3)


def test_a_certification_reports_by_corruption_and_so_does_its_file(
    model: Path, corrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.tsv"
    known = ["--checkpoint", model, "--dataset", corrupted, "--n", "200", "--n0", "20", *TINY]
    text = done("certify", *known, "--step", "2", "--out", out).stdout
    assert text == done("report", out.with_suffix(".ndjson")).stdout
    assert "mACR, mAcc            2 of 15" in text
    for file in (out, out.with_suffix(".ndjson")):
        body = json.loads(done("report", file, "--json").stdout)
        assert [(row["corruption"], row["severity"], row["inputs"]) for row in body["corruptions"]["severities"]] == [
            ("fog", 2, 2),
            ("fog", 5, 1),
            ("gaussian_noise", 2, 2),
            ("gaussian_noise", 5, 1),
        ]
    rows = [json.loads(line) for line in out.with_suffix(".ndjson").read_text().splitlines()]
    acr = sum(row["radius"] * row["correct"] for row in rows if row["index"] < 6) / 3
    assert body["corruptions"]["corruptions"][0]["acr"] == pytest.approx(acr)


def test_a_prediction_reports_accuracy_by_corruption(model: Path, corrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.tsv"
    text = done("predict", "--checkpoint", model, "--dataset", corrupted, "--n", "100", *TINY, "--out", out).stdout
    assert "mAcc                  2 of 15" in text and "ACR" not in text
    assert text == done("report", out.with_suffix(".ndjson")).stdout
    body = json.loads(done("report", out.with_suffix(".ndjson"), "--json").stdout)
    assert body["corruptions"]["means"][0]["macc"] == pytest.approx(body["accuracy"])


def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(corrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    assert "got 'rain'" in refused("corrupt", "--dataset", "digits", "--corruption", "rain", "--out", out)
    assert "corrupted already" in refused("corrupt", "--dataset", corrupted, "--out", out)
    result = radii("corrupt", "--dataset", "digits", "--start", "5000", "--out", out)
    assert (result.exit_code, "none from index 5000 on" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_files_of_cifar_10_c_are_certified_as_they_are(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    for name, array in {"brightness": images, "fog": images, "labels": np.arange(5, dtype=np.uint8)}.items():
        np.save(tmp_path / f"{name}.npy", array)
    info = CheckpointInfo(architecture="cifar_resnet20", num_classes=10, input_shape=(3, 32, 32), sigma=0.25)
    network = table.build("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32))
    checkpoint.save(network, info, tmp_path / "model.safetensors")
    data = ",".join(str(tmp_path / f"{name}.npy") for name in ("labels", "fog", "brightness"))
    known = ["--checkpoint", tmp_path / "model.safetensors", "--dataset", data, "--n", "20", "--n0", "10", *TINY]
    text = done("certify", *known, "--step", "5", "--out", tmp_path / "results.tsv").stdout
    assert "those of the files of CIFAR-10-C" in text.replace("\n  ", " ")
    body = json.loads(done("report", tmp_path / "results.ndjson", "--json").stdout)["corruptions"]
    assert [(row["corruption"], row["severity"], row["inputs"]) for row in body["severities"]] == [
        ("fog", 1, 1),
        ("brightness", 1, 1),
    ]
