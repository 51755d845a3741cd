"""The public format of checkpoints: every wrapping is understood, and all else is refused with its sentence."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests_support.public_files import CIFAR10, lenet, prefixed, published, saved, sentence, state
from torch import Tensor, nn

from radii.rs_core.checkpoints.checkpoint import load, read_info, save
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, ConversionHints
from radii.rs_core.checkpoints.torch_file import convert, read_torch_file
from radii.rs_core.data import decompression
from radii.rs_core.errors import InvalidCheckpoint, UnknownArchitecture
from radii.rs_core.models.registry import ARCHITECTURES, build
from radii.rs_core.specs.fields import Normalization


def test_a_bare_state_dict_needs_only_the_architecture(tmp_path: Path) -> None:
    path = saved(tmp_path, lenet(7))
    hints = ConversionHints(architecture="lenet", sigma=0.25, method="gaussian", class_names=tuple("abcdefg"))
    _, info = read_torch_file(path, hints)
    assert (info.num_classes, info.input_shape, info.normalization, info.epoch) == (7, (1, 28, 28), None, None)
    assert (info.sigma, info.method, info.class_names) == (0.25, "gaussian", tuple("abcdefg"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_and_counters_stay_integers(tmp_path: Path, dtype: torch.dtype) -> None:
    half = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state().items()}
    found, _ = read_torch_file(saved(tmp_path, published(half)))
    kinds = {tensor.dtype for name, tensor in found.items() if not name.endswith("num_batches_tracked")}
    assert kinds == {torch.float32}
    assert found["bn1.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(found["fc.weight"], half["fc.weight"].float())


WANTED = "expected a state dict, saved by torch.save(model.state_dict(), path) or as safetensors, got "


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    got = "a pickle of Python objects, torch.nn.modules.linear.Linear among them, as when a whole model is saved."
    for zipped in (True, False):
        assert sentence(saved(tmp_path, nn.Linear(2, 2), zipped=zipped)) == WANTED + got


def test_a_pickle_that_calls_something_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = f"cposix\nsystem\n(X{chr(len(f'touch {mark}'))}\0\0\0touch {mark}tR.".encode("latin-1")
    path = saved(tmp_path, lenet())
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "evil.pt", "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, call if info.filename.endswith("data.pkl") else old.read(info))
    assert sentence(tmp_path / "evil.pt") == WANTED + "a pickle that calls posix.system."
    assert not mark.exists()


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning):
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "x.pt")  # type: ignore[no-untyped-call]
    assert sentence(tmp_path / "x.pt") == WANTED + "a TorchScript archive, which is a program."


def test_an_exported_program_is_refused(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), tmp_path / "x.pt2")
    assert sentence(tmp_path / "x.pt2") == WANTED + "a .pt2 archive of torch.export, which is a program."


def archive(path: Path, *names: str, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name in names:
            file.writestr(name, bytes(1000))
    return path


@pytest.mark.parametrize(
    ("names", "method", "got"),
    [
        (("a/data.pkl", "a/../../x"), zipfile.ZIP_STORED, "an archive with the path 'a/../../x', which leads outside."),
        (("/a/data.pkl",), zipfile.ZIP_STORED, "an archive with the path '/a/data.pkl', which leads outside."),
        (("cat/1.png", "dog/1.png"), zipfile.ZIP_STORED, "a zip archive of something else: cat/1.png, dog/1.png."),
        ((), zipfile.ZIP_STORED, "a zip archive of something else: nothing."),
        (("a/data.pkl",), zipfile.ZIP_DEFLATED, "an archive with the compressed member 'a/data.pkl'."),
        (("a/data.pkl",), zipfile.ZIP_STORED, "one that is cut short or broken (RuntimeError)."),
    ],
)
def test_an_archive_of_something_else_is_refused(tmp_path: Path, names: tuple[str, ...], method: int, got: str) -> None:
    assert sentence(archive(tmp_path / "x.pt", *names, method=method)) == WANTED + got


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, lenet())
    path.write_bytes(path.read_bytes()[:-100])
    assert sentence(path) == "expected a whole file of torch.save, got one that is cut short or broken."
    legacy = saved(tmp_path, lenet(), zipped=False)
    legacy.write_bytes(legacy.read_bytes()[:-100])
    assert sentence(legacy).startswith(WANTED + "one that is cut short or broken (")


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"", "0 bytes that start with b''."),
        (b"hello world", "11 bytes that start with b'hello wo'."),
        (b"\x80\x04\x95\x0b\x00", "a pickle that torch.save did not write."),
    ],
)
def test_what_is_no_checkpoint_at_all_is_refused(tmp_path: Path, data: bytes, got: str) -> None:
    (tmp_path / "x.pt").write_bytes(data)
    assert sentence(tmp_path / "x.pt") == WANTED + got


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"no\.pt\): expected a file, got nothing there\."):
        read_torch_file(tmp_path / "no.pt")
    with pytest.raises(InvalidCheckpoint, match=r"no\.pt\): expected a file, got nothing there\."):
        convert(tmp_path / "no.pt", ConversionHints(), tmp_path / "out")
    with pytest.raises(InvalidCheckpoint, match=r"expected a file, got nothing there\."):
        load(tmp_path / "no.safetensors")


KEY = WANTED.replace(", got ", ", perhaps under the key 'state_dict', got ")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"net": lenet(), "acc": 0.9}, KEY + "a dict in which these are no tensors: net, acc."),
        (published({"fc.weight": [1, 2]}), KEY + "a dict in which these are no tensors: fc.weight."),  # type: ignore[dict-item]
        ({1: torch.zeros(2)}, KEY + "a dict in which these are no tensors: 1."),
        (torch.zeros(3), WANTED + "a Tensor without tensors."),
        ([1, 2], WANTED + "a list without tensors."),
        ({}, WANTED + "a dict without tensors."),
    ],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, body: Any, expected: str) -> None:
    assert sentence(saved(tmp_path, body), architecture="lenet") == expected


def test_weights_that_are_nan_are_refused(tmp_path: Path) -> None:
    broken = lenet()
    broken["fc1.weight"][3, 4] = float("nan")
    found = sentence(saved(tmp_path, published(broken, "lenet")))
    assert found == "expected finite weights, got 1 that are NaN or infinite in fc1.weight."


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(
    ("tensor", "got"),
    [
        (torch.zeros(10).to_sparse(), "torch.float32, torch.sparse_coo, on cpu."),
        (torch.zeros(10, device="meta"), "torch.float32, torch.strided, on meta."),
        (torch.zeros(10, dtype=torch.complex64), "torch.complex64, torch.strided, on cpu."),
        (torch.zeros(10, dtype=torch.bool), "torch.bool, torch.strided, on cpu."),
    ],
)
def test_tensors_of_an_odd_kind_are_refused(tmp_path: Path, tensor: Tensor, got: str) -> None:
    found = sentence(saved(tmp_path, published(lenet() | {"fc2.bias": tensor}, "lenet")))
    assert found == "expected a dense floating-point tensor fc2.bias, got " + got


def test_a_small_file_of_a_huge_tensor_costs_no_memory(tmp_path: Path) -> None:
    path = saved(tmp_path, published(lenet() | {"fc1.bias": torch.zeros(1).expand(10**12)}, "lenet"))
    assert sentence(path).endswith("got 1 of another shape: fc1.bias (1000000000000,), not (500,).")
    path = saved(tmp_path, published(lenet() | {"fc2.weight": torch.zeros(1).expand(10**12, 500)}, "lenet"))
    assert sentence(path).endswith("got num_classes = 1000000000000.")


@pytest.mark.parametrize(
    ("body", "hints", "expected"),
    [
        (
            lenet(),
            {},
            f"expected the hint 'architecture', one of {', '.join(ARCHITECTURES)}, "
            "or torchvision/NAME, which this file needs, got no name in it.",
        ),
        (
            prefixed("1.", state(classes=7)),
            {"architecture": "cifar_resnet20"},
            "expected the hint 'normalization', which this file needs, "
            "got a normalisation layer that holds no numbers, before cifar_resnet20.",
        ),
        (
            state("resnet50", 7, (3, 224, 224)),
            {"architecture": "resnet50"},
            "expected the hint 'input_shape', which this file needs, got resnet50, which takes images of any size.",
        ),
        (
            lenet(),
            {"architecture": "lenet", "num_classes": 100},
            "expected 100 classes, as stated, got 10 in fc2.weight.",
        ),
        (
            {"0.mean": torch.tensor([0.5])} | prefixed("1.", lenet()),
            {"architecture": "lenet", "normalization": "none"},
            "expected the normalisation that was stated, none, got mean (0.5,) and std (1.0,) in the file.",
        ),
    ],
)
def test_what_the_file_does_not_say_must_be_said(
    tmp_path: Path, body: dict[str, Tensor], hints: dict[str, Any], expected: str
) -> None:
    assert sentence(saved(tmp_path, body), **hints) == expected


def test_an_architecture_outside_the_table_is_refused_unless_a_hint_names_ours(tmp_path: Path) -> None:
    path = saved(tmp_path, published(lenet(), "LeNet5-mine"))
    assert sentence(path, UnknownArchitecture).endswith("got 'LeNet5-mine'.")
    assert read_torch_file(path, ConversionHints(architecture="lenet"))[1].architecture == "lenet"


def test_conversion_writes_a_checkpoint_that_computes_the_same(tmp_path: Path) -> None:
    public = nn.Sequential(nn.Identity(), build("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32)).network)
    path = saved(tmp_path, published(public.state_dict()))
    info = convert(path, ConversionHints(sigma=0.5), tmp_path / "out")
    model, found = load(tmp_path / "out")
    assert info == found == read_info(tmp_path / "out")
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model(x), public.eval()(model.normalize(x)))
    assert (found.sigma, found.normalization) == (0.5, CIFAR10)


def test_conversion_takes_a_bare_safetensors_file_of_any_wrapping(tmp_path: Path) -> None:
    save_file(prefixed("module.1.", lenet()), tmp_path / "x")
    info = convert(tmp_path / "x", ConversionHints(architecture="lenet"), tmp_path / "out")
    assert load(tmp_path / "out")[1] == info
    with pytest.raises(InvalidCheckpoint, match="expected the hint 'architecture'"):
        convert(tmp_path / "x", ConversionHints(), tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_conversion_of_our_own_file_keeps_its_record_and_fills_what_it_lacks(tmp_path: Path) -> None:
    model = build("lenet", num_classes=10, input_shape=(1, 28, 28))
    info = CheckpointInfo(architecture="lenet", num_classes=10, input_shape=(1, 28, 28), sigma=0.25, epoch=3)
    save(model, info, tmp_path / "x")
    same = convert(tmp_path / "x", ConversionHints(sigma=0.25, normalization="none"), tmp_path / "same")
    assert same == info
    assert (tmp_path / "same").read_bytes() == (tmp_path / "x").read_bytes()
    assert convert(tmp_path / "x", ConversionHints(method="gaussian"), tmp_path / "more").method == "gaussian"


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (ConversionHints(sigma=0.5), "expected sigma 0.5, as stated, got 0.25."),
        (ConversionHints(architecture="digits_cnn"), "expected architecture 'digits_cnn', as stated, got 'lenet'."),
        (ConversionHints(class_names=("a", "b")), "expected 10 class names, got 2."),
        (
            ConversionHints(normalization=Normalization(mean=(0.5,), std=(1.0,))),
            "expected normalization Normalization(mean=(0.5,), std=(1.0,)), as stated, got None.",
        ),
    ],
)
def test_hints_must_not_contradict_our_own_record(tmp_path: Path, hints: ConversionHints, expected: str) -> None:
    info = CheckpointInfo(architecture="lenet", num_classes=10, input_shape=(1, 28, 28), sigma=0.25)
    save(build("lenet", num_classes=10, input_shape=(1, 28, 28)), info, tmp_path / "x")
    with pytest.raises(InvalidCheckpoint) as caught:
        convert(tmp_path / "x", hints, tmp_path / "out")
    assert str(caught.value) == f"The checkpoint cannot be read (x): {expected}"


def test_a_composite_is_no_architecture_of_a_file(tmp_path: Path) -> None:
    path = saved(tmp_path, lenet())
    with pytest.raises(UnknownArchitecture, match="a composite is put together out of trained models"):
        read_torch_file(path, ConversionHints(architecture="ensemble"))


def test_an_archive_with_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, lenet())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as opened:
        name = next(name for name in opened.namelist() if name.endswith("/data.pkl"))
        opened.writestr(name, b"another pickle")
    assert "two members called" in sentence(path)


def test_weights_that_repeat_one_value_by_their_strides_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "FREE", 1_000)
    weights = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in lenet().items()}
    found = sentence(saved(tmp_path, weights), architecture="lenet", normalization="none")
    assert found.startswith("expected tensors of at most ")
