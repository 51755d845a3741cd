"""Files that cannot be used, through a real service and its worker: each ends in one sentence with what was expected and
what came, and the service goes on working.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests_support.live import running

from radii.rs_core.models import registry as models
from radii.service.client.client import ApiError, Client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("service") / "data") as (url, _), Client(url) as client:
        yield client


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _images(count: int = 4) -> Any:
    return np.zeros((count, 8, 8), np.uint8)


def _png(side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _model(name: str = "digits_cnn", shape: tuple[int, int, int] = (1, 8, 8)) -> dict[str, torch.Tensor]:
    return models.build(name, num_classes=10, input_shape=shape).network.state_dict()


def _saved(body: Any) -> bytes:
    file = io.BytesIO()
    torch.save(body, file)
    return file.getvalue()


def _without(state: dict[str, torch.Tensor], key: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name != key}


def _with_nan(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state["fc2.bias"][0] = float("nan")
    return state


def _scripted() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


DATASETS: dict[str, tuple[str, Callable[[], bytes], tuple[str, ...]]] = {
    "an npz with objects": (
        "objects.npz",
        lambda: _npz(images=_images(), labels=np.array([0, 1, None, "x"], dtype=object)),
        ("expected", "object", "objects.npz"),
    ),
    "labels out of range": (
        "labels.npz",
        lambda: _npz(images=_images(), labels=np.array([0, 1, -3, 1])),
        ("expected labels from 0", "from -3 to 1", "index 2"),
    ),
    "an empty set": (
        "empty.npz",
        lambda: _npz(images=_images(0), labels=np.zeros(0, np.int64)),
        ("expected at least one image", "got 0 images"),
    ),
    "fewer labels than images": (
        "few.npz",
        lambda: _npz(images=_images(4), labels=np.array([0, 1, 1])),
        ("expected 4 labels", "got 3"),
    ),
    "pixels that are no numbers": (
        "nan.npz",
        lambda: _npz(images=np.full((4, 8, 8), np.nan, np.float32), labels=np.array([0, 1, 0, 1])),
        ("expected", "nan.npz"),
    ),
    "a truncated npz": (
        "cut.npz",
        lambda: _npz(images=_images(), labels=np.array([0, 1, 0, 1]))[:200],
        ("expected", "cut.npz"),
    ),
    "a zip that leads out of its folder": (
        "out.zip",
        lambda: _zip({"a/1.png": _png(), "b/2.png": _png(), "../evil.png": _png()}),
        ("expected", "../evil.png"),
    ),
    "an image folder with one broken file": (
        "broken.zip",
        lambda: _zip({"a/1.png": _png(), "b/broken.png": _png()[:-20]}),
        ("expected", "b/broken.png"),
    ),
    "images of different sizes": (
        "sizes.zip",
        lambda: _zip({"a/1.png": _png(8), "b/2.png": _png(9)}),
        ("8", "9", "b/2.png"),
    ),
    "a file of no known format": ("what.bin", lambda: b"hello, world" * 50, ("expected", "what.bin")),
}


CHECKPOINTS: dict[str, tuple[str, Callable[[], bytes], dict[str, Any], tuple[str, ...]]] = {
    "a checkpoint of another architecture": (
        "lenet.pt",
        lambda: _saved(_model("lenet", (1, 28, 28))),
        {"architecture": "digits_cnn"},
        ("expected", "digits_cnn", "conv1.weight"),
    ),
    "a missing key": (
        "missing.pt",
        lambda: _saved(_without(_model(), "fc2.bias")),
        {"architecture": "digits_cnn"},
        ("expected", "fc2.bias"),
    ),
    "an extra key": (
        "extra.pt",
        lambda: _saved(_model() | {"surplus.weight": torch.zeros(2)}),
        {"architecture": "digits_cnn"},
        ("expected", "surplus.weight"),
    ),
    "weights that are no numbers": (
        "nan.pt",
        lambda: _saved(_with_nan(_model())),
        {"architecture": "digits_cnn"},
        ("expected finite", "fc2.bias"),
    ),
    "a truncated checkpoint": (
        "cut.pt",
        lambda: _saved(_model())[:3_000],
        {"architecture": "digits_cnn"},
        ("expected", "cut.pt"),
    ),
    "a whole pickled module": (
        "module.pt",
        lambda: _saved(torch.nn.Linear(2, 2)),
        {"architecture": "digits_cnn"},
        ("expected a state dict", "module.pt"),
    ),
    "TorchScript": ("script.pt", _scripted, {"architecture": "digits_cnn"}, ("expected a state dict", "TorchScript")),
    "an unknown architecture": (
        "unknown.pt",
        lambda: _saved(_model()),
        {"architecture": "vgg"},
        ("expected one of lenet", "got 'vgg'"),
    ),
}


def _detail(client: Client, register: Callable[[], Any]) -> str:
    """The sentence that a registration ends in, refused at once or rejected by the converter."""
    try:
        made = register()
    except ApiError as error:
        assert 400 <= error.status < 500
        return error.detail
    assert made.state == "rejected"
    assert made.problem is not None
    return str(made.problem.detail)


@pytest.mark.parametrize("case", DATASETS)
def test_a_bad_data_set_ends_in_a_sentence(client: Client, tmp_path: Path, case: str) -> None:
    name, content, words = DATASETS[case]
    (tmp_path / name).write_bytes(content())
    detail = _detail(client, lambda: client.add_dataset(case, [tmp_path / name]))
    assert all(word in detail for word in (*words, "expected", "got")), detail
    assert "\n" not in detail and "Traceback" not in detail


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_bad_checkpoint_ends_in_a_sentence(client: Client, tmp_path: Path, case: str) -> None:
    name, content, known, words = CHECKPOINTS[case]
    (tmp_path / name).write_bytes(content())
    detail = _detail(client, lambda: client.add_checkpoint(case, tmp_path / name, **known))
    assert all(word in detail for word in (*words, "expected", "got")), detail
    assert "\n" not in detail and "Traceback" not in detail


def test_after_all_of_that_the_service_works(client: Client, tmp_path: Path) -> None:
    (tmp_path / "good.pt").write_bytes(_saved(_model()))
    model = client.add_checkpoint("good", tmp_path / "good.pt", architecture="digits_cnn", sigma=0.25)
    digits = client.add_dataset("digits", builtin="digits")
    job = client.certify(checkpoint=model, dataset=digits, n=100, inputs={"count": 3}).wait(check=True)
    assert len(list(job.certificates())) == 3


def test_a_model_whose_answers_are_not_finite_fails_the_job_with_a_sentence(client: Client, tmp_path: Path) -> None:
    huge = {name: tensor * 1e30 for name, tensor in _model().items()}
    (tmp_path / "huge.pt").write_bytes(_saved(huge))
    model = client.add_checkpoint("huge", tmp_path / "huge.pt", architecture="digits_cnn", sigma=0.25)
    job = client.certify(checkpoint=model, dataset=client.add_dataset("digits", builtin="digits"), n=100).wait()
    assert job.state == "failed"
    assert job.info.problem is not None
    assert "expected finite logits" in job.info.problem.detail


def test_a_format_that_is_named_is_read(client: Client, tmp_path: Path) -> None:
    (tmp_path / "two.zip").write_bytes(_zip({"a/1.png": _png(), "b/2.png": _png()}))
    assert client.add_dataset("two", [tmp_path / "two.zip"], format="zip").count == 2
    (tmp_path / "data.bin").write_bytes(b"".join(bytes([label]) + bytes(3072) for label in (0, 1, 9)))
    assert client.add_dataset("cifar", [tmp_path / "data.bin"], format="cifar").num_classes == 10
