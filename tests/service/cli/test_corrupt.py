"""`radii corrupt`, and runs on corrupted images: made here, or from the files of CIFAR-10-C."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support import things
from tests_support.cli import done, radii, refused

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.models import registry

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
    network = registry.build("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32))
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


def test_reports_and_comparisons_of_its_files_count_photographs(model: Path, corrupted: Path, tmp_path: Path) -> None:
    """Twelve images of three photographs: by the record beside the file, and by --photographs where there is none."""
    files = []
    for seed in ("0", "1"):
        out = tmp_path / f"seed-{seed}.tsv"
        known = ["--checkpoint", model, "--dataset", corrupted, "--n", "200", "--n0", "20", *TINY, "--seed", seed]
        assert "3 photographs (12 images)" in " ".join(done("certify", *known, "--out", out).stdout.split())
        files.append(out)
    body = json.loads(done("report", files[0], "--json").stdout)
    assert (body["unit"], body["units"], body["inputs"]) == ("photograph", 3, 12)
    found = json.loads(done("compare", *files, "--json").stdout)
    assert (found["unit"], found["units"], found["shared"]) == ("photograph", 3, 12)
    picture = tmp_path / "curve.svg"
    done("report", files[0], "--plot", picture)
    assert "3 photographs (12 images)" in picture.read_text()
    said = refused("report", files[0], "--photographs", "3")
    assert "no --photographs" in said and "the record next to it says" in " ".join(said.split())
    for file in files:
        file.with_suffix(".run.json").unlink()
    plain = json.loads(done("report", files[0], "--json").stdout)
    assert plain["unit"] == "input" and any("Nothing says which inputs" in note for note in plain["notes"])
    again = json.loads(done("report", files[0], "--photographs", "3", "--json").stdout)
    assert again["accuracy_at_0"] == body["accuracy_at_0"] != plain["accuracy_at_0"]
    pair = json.loads(done("compare", *files, "--photographs", "3", "--json").stdout)
    assert (pair["unit"], pair["units"]) == ("photograph", 3)
    assert pair["pairs"][0]["acr"] == found["pairs"][0]["acr"]
    without = json.loads(done("compare", *files, "--json").stdout)
    assert without["unit"] == "input" and any("Nothing says which inputs" in note for note in without["notes"])


def test_an_attack_on_corrupted_images_counts_photographs(model: Path, corrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "attack.tsv"
    known = ["--checkpoint", model, "--dataset", corrupted, "--device", "cpu", "--threads", "1"]
    text = done(
        "evaluate", "attack", *known, "--at", "0.1", "--steps", "1", "--m", "1", "--n", "100", "--out", out
    ).stdout
    assert "inputs 12 of 3 photographs" in text
    assert text == done("report", out.with_suffix(".ndjson")).stdout
