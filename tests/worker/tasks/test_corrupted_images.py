"""Corrupted images, through the whole service: made of a stored data set, certified, reported by corruption."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.live import running

from radii.rs_core.data.builtin import digits
from radii.rs_core.data.corruptions.convert import write_corrupted
from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.data.dataset_file import open_dataset, save
from radii.rs_core.errors import InvalidDataset, MissingPackage, RadiiError
from radii.rs_core.specs.jobs import dump_spec
from radii.service.client.client import Client
from radii.service.client.errors import ApiError
from radii.worker.sandbox import converter

pytestmark = pytest.mark.long

SPEC = CorruptSpec(dataset="-", corruptions=("fog", "snow"), severities=(1, 5))
WITHOUT = """
import sys
sys.modules["imagecorruptions"] = None
from radii.worker.sandbox.converter import main
main()
"""


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    path = tmp_path / "clean"
    save(digits(), path)
    return path


def convert(clean: Path, out: Path, *, seconds: float = 120.0, memory: int = 16 * 2**30, **more: Any) -> dict[str, Any]:
    request = {"what": "dataset", "files": {"ds.safetensors": str(clean)}, "out": str(out), "corrupt": dump_spec(SPEC)}
    return converter.convert(request | more, seconds=seconds, memory=memory)


def test_the_service_makes_certifies_and_reports_them_and_reads_files_of_cifar_10_c(tmp_path: Path) -> None:
    with running(tmp_path / "data") as (url, _), Client(url) as client:
        data = client.add_dataset("digits", builtin="digits")
        inputs = {"start": 1000, "step": 100, "count": 4}
        made = client.corrupt(data, "corrupted", corruptions=["fog", "snow"], severities=[1, 5], inputs=inputs, seed=6)
        assert (made.state, made.count, made.shape) == ("ready", 16, [1, 8, 8])
        assert made.corrupted is not None
        assert (made.corrupted.clean_hash, made.corrupted.padded) == (data.content_hash, True)
        assert [(group.corruption, group.start) for group in made.corrupted.groups] == [("fog", 0), ("snow", 8)]
        progress = client.job(made.job or "").progress
        assert (progress.work_done, progress.work_total, progress.work_unit) == (16, 16, "images")
        with pytest.raises(ApiError, match="corrupted already"):
            client.corrupt(made, "again")
        train = client.train(
            dataset=data, architecture="digits_cnn", sigma=0.25, epochs=1, batch_size=64, inputs={"count": 256}
        ).wait()
        job = client.certify(checkpoint=train.checkpoint_id or "", dataset=made, n0=10, n=50).wait()
        found = job.report().results["corruptions"]
        assert [(row["corruption"], row["inputs"], row["evaluated"]) for row in found["corruptions"]] == [
            ("fog", 8, 8),
            ("snow", 8, 8),
        ]
        register_cifar10c(client, tmp_path)


def register_cifar10c(client: Client, folder: Path) -> None:
    """The same service takes .npy files, and only with their labels."""
    images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    for name, array in {"fog": images, "labels": np.arange(10)}.items():
        np.save(folder / f"{name}.npy", array)
    files = [folder / "fog.npy", folder / "labels.npy"]
    made = client.add_dataset("cifar10c", files, format="cifar10c")
    assert made.corrupted is not None
    assert (made.count, made.shape, made.corrupted.constants) == (10, [3, 32, 32], "CIFAR-10-C")
    assert [(group.corruption, group.severities, group.count) for group in made.corrupted.groups] == [
        ("fog", [1, 2, 3, 4, 5], 10)
    ]
    with pytest.raises(ApiError, match=r"named after their corruptions \(fog.npy, ...\), and labels.npy"):
        client.add_dataset("no labels", files[:1])


def test_the_converter_makes_what_the_library_makes(clean: Path, tmp_path: Path) -> None:
    spec = dump_spec(SPEC) | {"inputs": {"start": 0, "step": 300, "count": None}}
    answer = convert(clean, tmp_path / "there", corrupt=spec)
    made = write_corrupted(
        digits(), CorruptSpec(**spec | {"inputs": SPEC.inputs.__class__(step=300)}), tmp_path / "here"
    )
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
    assert answer["columns"]["content_hash"] == made.content_hash
    assert answer["columns"]["eight_bit"] is True
    assert len(answer["source"]["corrupted"]["groups"]) == 4
    assert open_dataset(tmp_path / "there").corrupted == made.corrupted


def test_the_converter_tells_how_many_are_made(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "STEP", 0.2)
    request = {"what": "dataset", "files": {"x": str(clean)}, "out": str(tmp_path / "out"), "corrupt": dump_spec(SPEC)}
    counts = []
    for answer in converter.steps(request, seconds=120, memory=16 * 2**30):
        assert isinstance(answer, int), "it made 7,188 images in no time"
        counts.append(answer)
        if answer > 0:
            break
    assert 0 < counts[-1] < 7_188 and counts == sorted(counts)


def test_too_many_for_the_time_there_is_are_refused_by_their_number(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"corrupted within 1 s \(RADII_CONVERT_LIMIT\), got more: \d+ were made"):
        convert(clean, tmp_path / "out", seconds=1.0)


def test_a_worker_without_the_package_says_what_to_install(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = converter.subprocess.Popen
    monkeypatch.setattr(
        converter.subprocess, "Popen", lambda command, **how: real([sys.executable, "-c", WITHOUT], **how)
    )
    with pytest.raises(MissingPackage, match=r"pip install 'radii\[corruptions\]'") as caught:
        convert(clean, tmp_path / "out")
    assert RadiiError.from_problem(caught.value.problem()).status == 501
