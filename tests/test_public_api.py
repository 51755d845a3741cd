"""``import radii`` is the public API: lazy, complete, and the same at run time and for type checkers."""

import ast
import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import radii
from radii.library.arguments import as_device
from radii.rs_core.certify.bounds import radius
from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset_file import content_hash
from radii.rs_core.specs.methods import CatRs

HEAVY = ("torch", "numpy", "scipy", "fastapi", "sqlalchemy", "celery", "httpx", "pydantic", "typer")


def run(code: str, *, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A new interpreter in which some packages are not installed."""
    absent = f"""import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {without!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
    return subprocess.run([sys.executable, "-P", "-c", absent + code], capture_output=True, text=True)


def test_import_loads_nothing() -> None:
    done = run(f"import sys, radii; print([name for name in {HEAVY} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_every_name_can_be_had_and_is_the_one_that_type_checkers_see() -> None:
    tree = ast.parse(Path(radii.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == radii._MODULE_OF
    assert set(radii.__all__) == {*declared, "__version__"} <= set(dir(radii))
    for name in radii.__all__:
        assert getattr(radii, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'certifi'"):
        radii.certifi  # noqa: B018


@pytest.mark.parametrize(
    ("name", "absent", "extra"),
    [
        ("certify", ("torch",), "torch"),
        ("certify", ("numpy", "torch"), "torch"),
        ("SmoothedClassifier", ("torch",), "torch"),
        ("summarize", ("numpy", "scipy"), "reports"),
    ],
)
def test_a_name_whose_packages_are_missing_names_the_extra(name: str, absent: tuple[str, ...], extra: str) -> None:
    done = run(f"import radii; radii.{name}", without=absent)
    assert f"ImportError: radii.{name} needs the package" in done.stderr
    assert f"pip install 'radii[{extra}]'" in done.stderr


def test_the_client_and_the_records_need_no_numbers_library() -> None:
    code = (
        "import radii; radii.Client, radii.Job, radii.Certificate, radii.CertifySpec, radii.TrainSpec, radii.ApiError"
    )
    done = run(code, without=("numpy", "scipy", "statsmodels", "matplotlib", "torch", "PIL", "sqlalchemy", "fastapi"))
    assert done.returncode == 0, done.stderr


def test_help_shows_what_is_installed() -> None:
    done = run("import radii; help(radii)", without=("numpy", "scipy", "statsmodels", "matplotlib", "torch"))
    assert done.returncode == 0, done.stderr
    assert "class Client" in done.stdout and "class SmoothedClassifier" not in done.stdout


@pytest.mark.parametrize(
    ("absent", "shown", "hidden"),
    [
        (("torch",), ("Client", "CertifySpec", "summarize"), ("certify", "Dataset")),
        (("numpy", "torch"), ("Client", "CertifySpec"), ("certify", "summarize")),
        ((), ("Client", "certify", "summarize"), ()),
    ],
)
def test_a_star_import_gives_what_is_installed(
    absent: tuple[str, ...], shown: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    done = run(f"from radii import *; print({', '.join(shown)}, *dir())", without=absent)
    assert done.returncode == 0, done.stderr
    assert not {*hidden} & {*done.stdout.split()}


class Linear(nn.Module):
    """Two classes on digits, by whether the upper half is darker."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        difference = self.scale * (x[:, 0, :4].sum((1, 2)) - x[:, 0, 4:].sum((1, 2)))
        return torch.stack([difference, *[-difference - place for place in range(9)]], 1)


SPEC_THAT_NEEDS_VOTES = radii.TrainSpec(
    dataset="digits", architecture="digits_cnn", sigma=0.25, method=CatRs(soft_label_checkpoint="voter.safetensors")
)


@pytest.fixture(scope="module")
def trained() -> radii.TrainingResult:
    """Two epochs of a small network."""
    fields = {"architecture": "digits_cnn", "sigma": 0.25, "epochs": 2, "batch_size": 256}
    return radii.train("digits", test_data="digits", device="cpu", progress=False, **fields)


def test_a_model_and_data_in_memory_are_certified_in_one_call() -> None:
    data, model = digits(), Linear()
    found = radii.certify(model, data, 0.5, inputs=[3, 5, 40], n0=20, n=200, progress=False)
    assert [each.index for each in found] == [3, 5, 40]
    assert [each.label for each in found] == [int(data.labels[index]) for index in (3, 5, 40)]
    assert all(sum(each.counts) == 200 and len(each.counts) == 10 for each in found)
    assert all(each.radius == radius(each.p_lower, 0.5) for each in found if each.prediction >= 0)
    (again,) = radii.certify(model, "digits", 0.5, inputs=[5], n0=20, n=200, progress=False)
    assert replace(again, seconds=0.0) == replace(found[1], seconds=0.0), "a part gives what the whole gives"


def test_training_and_certifying_by_the_public_functions() -> None:
    trained = radii.train("digits", architecture="digits_cnn", sigma=0.25, epochs=1, batch_size=256, progress=False)
    found = radii.certify(trained.model, "digits", 0.25, inputs=range(2), n0=10, n=50, progress=False)
    report = radii.format_table(radii.summarize(found))
    assert "certified" in report


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sigma": None}, "expected a noise level sigma above 0, got none"),
        ({"inputs": [1797]}, "expected indices from 0 to 1,796, got 1,797"),
        ({"inputs": []}, "expected one or more indices, each once, got none"),
        ({"inputs": [3, 4, 3]}, "expected one or more indices, each once, got one of them twice"),
        ({"inputs": [3.7]}, "expected whole numbers, got 3.7"),
        (
            {"inputs": 5},
            r"expected the indices of images, such as range\(5\) for the first five or \[5\] for one, got 5",
        ),
        ({"model": len}, "expected a torch.nn.Module or the path of a checkpoint, got a builtin_function_or_method"),
        ({"dataset": [(1, 2)]}, "expected a radii.Dataset"),
        (
            {"dataset": TensorDataset(torch.zeros(1))},
            r"got a TensorDataset; make one with radii.Dataset\(images=..., labels=",
        ),
        ({"device": "nowhere"}, "expected auto, or a device of this machine, got nowhere"),
        ({"model": nn.Flatten(0)}, r"expected logits of shape \(1, K\)"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 3))}, "a logit for each of the 10 classes"),
        ({"model": nn.Conv2d(3, 4, 3)}, r"a network that takes float32 images .* of shape \(1, 1, 8, 8\)"),
    ],
)
def test_mistakes_are_said_before_any_noise_is_drawn(how: dict[str, object], message: str) -> None:
    given = {"model": Linear(), "dataset": digits(), "sigma": 0.5, "progress": False} | how
    with pytest.raises(radii.RadiiError, match=message):
        radii.certify(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"inputs": {"start": 5_000}},
            "expected at least one input of a dataset of 1,797, got none from index 5000 on",
        ),
        ({"kind": "certify", "architecture": "nothing"}, "expected one of lenet"),
        ({"test_dataset": "/absent.npz", "architecture": "digits_cnn"}, "absent.npz"),
        ({"test_data": [1]}, r"\(test_data\): expected a radii.Dataset, .* got a list; make one with"),
        ({"device": "nowhere"}, "expected auto, or a device of this machine, got nowhere"),
        ({"method": {"name": "cat_rs"}}, "got cat_rs: run the command `radii train --method cat_rs`"),
        (
            {"method": {"name": "adaptive_smoothing"}},
            "got adaptive_smoothing: run the command `radii train --start-from",
        ),
        ({"start_from": "old.safetensors"}, "got old.safetensors: run the command `radii train --start-from FILE`"),
    ],
)
def test_mistakes_of_a_training_are_said(fields: dict[str, object], message: str) -> None:
    given = {"architecture": "digits_cnn", "sigma": 0.25, "epochs": 1, "progress": False} | fields
    with pytest.raises((radii.RadiiError, OSError), match=message):
        radii.train("digits", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"architecture": "digits_cnn"}, r"got a dict; pass it as train\(data, \*\*fields\)"),
        (radii.TrainSpec, "expected a radii.TrainSpec, or its fields as keywords: .* got the class TrainSpec itself"),
        (SPEC_THAT_NEEDS_VOTES, "expected a method that needs no soft labels, got cat_rs"),
    ],
)
def test_a_specification_of_another_kind_is_refused(spec: object, message: str) -> None:
    with pytest.raises(radii.InvalidSpec, match=message):
        radii.train("digits", spec)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gpu", "name"), [(True, "cuda"), (False, "cpu")])
def test_training_is_on_the_gpu_where_there_is_one(gpu: bool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def zeros(shape: tuple[()], *, device: str) -> torch.Tensor:
        tried.append(device)
        return torch.empty(shape)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch, "zeros", zeros)
    as_device(inspect.signature(radii.train).parameters["device"].default)
    assert tried == [name]


def test_epochs_leave_their_records(trained: radii.TrainingResult) -> None:
    assert [record.epoch for record in trained.history] == [0, 1]
    assert all(0 < record.loss < 10 and record.test_accuracy is not None for record in trained.history)


def test_what_was_trained_is_saved_and_loaded(trained: radii.TrainingResult, tmp_path: Path) -> None:
    radii.save_checkpoint(trained, tmp_path / "a.safetensors")
    model, info = radii.load_checkpoint(tmp_path / "a.safetensors")
    images = digits().batch(range(4))[0]
    assert torch.equal(model(images), trained.model.cpu()(images))
    assert info == trained.info and (info.sigma, info.method, info.epoch) == (0.25, "gaussian", 2)
    assert info.provenance["spec"]["epochs"] == 2 and info.class_names == digits().class_names

    radii.save_checkpoint(model, tmp_path / "b.safetensors", info)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    (certificate,) = radii.certify(tmp_path / "b.safetensors", "digits", inputs=[0], n0=10, n=50, progress=False)
    assert sum(certificate.counts) == 50, "sigma is that of the training"


def test_a_saved_checkpoint_says_of_which_data_it_is(trained: radii.TrainingResult) -> None:
    assert trained.info.dataset_hash == content_hash(digits())


@pytest.mark.parametrize(
    ("what", "name", "message"),
    [
        ("model", "a.safetensors", "expected the record of the classifier, a radii.CheckpointInfo, got none"),
        ("network", "a.safetensors", "got a Linear; save the weights of a network of your own with torch.save"),
        ("result", "a.pt", "expected a path that ends in .safetensors, got a.pt"),
    ],
)
def test_what_cannot_be_saved_says_why(trained: radii.TrainingResult, what: str, name: str, message: str) -> None:
    given = {"model": trained.model, "network": Linear(), "result": trained}[what]
    with pytest.raises(radii.InvalidSpec, match=message):
        radii.save_checkpoint(given, name)  # type: ignore[arg-type]


def test_a_file_and_a_sequence_of_files_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 1, 0]))
    assert len(radii.load_dataset(tmp_path / "a.npz")) == len(radii.load_dataset([tmp_path / "a.npz"])) == 4
