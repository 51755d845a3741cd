"""The public format of checkpoints: every wrapping is understood, and all else is refused with its sentence."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rs_core.checkpoint import load, read_info, save
from rs_core.checkpoint_info import CheckpointInfo, Hints
from rs_core.errors import InvalidCheckpoint, UnknownArchitecture
from rs_core.fields import NORMALIZATIONS, Normalization
from rs_core.models.table import ARCHITECTURES, Shape, architecture, build, skeleton
from rs_core.research import convert, read_research
from rs_core.research_names import take_apart

CIFAR10, CIFAR100, IMAGENET = (NORMALIZATIONS[name] for name in ("cifar10", "cifar100", "imagenet"))


def state(name: str = "cifar_resnet20", classes: int = 10, shape: Shape = (3, 32, 32)) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build(name, num_classes=classes, input_shape=shape).network.state_dict()


def lenet(classes: int = 10) -> dict[str, Tensor]:
    return state("lenet", classes, (1, 28, 28))


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def saved(folder: Path, body: Any, name: str = "checkpoint.pth.tar", zipped: bool = True) -> Path:
    torch.save(body, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / name


def published(tensors: dict[str, Tensor], arch: str = "cifar_resnet20", **more: Any) -> dict[str, Any]:
    return {"epoch": 90, "arch": arch, "state_dict": tensors, "optimizer": {"param_groups": [{"lr": 0.1}]}} | more


def sentence(path: Path, kind: type[Exception] = InvalidCheckpoint, **hints: Any) -> str:
    with pytest.raises(kind) as caught:
        read_research(path, Hints(**hints))
    return str(caught.value).removeprefix(f"The checkpoint cannot be read ({path.name}): ")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["", "module.", "1.", "1.module.", "module.1.", "module.1.module.", "network."])
def test_every_wrapping_gives_the_same_network(tmp_path: Path, prefix: str, zipped: bool) -> None:
    wanted = state()
    path = saved(tmp_path, published(prefixed(prefix, wanted)), zipped=zipped)
    found, info = read_research(path)
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert found["bn1.num_batches_tracked"].dtype == torch.int64
    assert (info.architecture, info.num_classes, info.input_shape, info.epoch) == (
        "cifar_resnet20",
        10,
        (3, 32, 32),
        90,
    )
    assert info.normalization == (None if prefix in {"", "module."} else CIFAR10)


@pytest.mark.parametrize(
    ("name", "classes", "shape", "normalization"),
    [
        ("cifar_resnet20", 10, (3, 32, 32), CIFAR10),
        ("cifar_resnet110", 100, (3, 32, 32), CIFAR100),
        ("resnet50", 1000, (3, 224, 224), IMAGENET),
        ("lenet", 10, (1, 28, 28), None),
    ],
)
def test_a_layer_without_traces_is_the_one_of_the_public_code(
    tmp_path: Path, name: str, classes: int, shape: Shape, normalization: Normalization | None
) -> None:
    _, info = read_research(saved(tmp_path, published(prefixed("1.module.", state(name, classes, shape)), name)))
    assert (info.normalization, info.input_shape, info.num_classes) == (normalization, shape, classes)


def test_a_hint_replaces_the_normalisation_that_would_be_implied(tmp_path: Path) -> None:
    path = saved(tmp_path, published(prefixed("1.", state())))
    centred = Normalization(mean=CIFAR10.mean if CIFAR10 else (0.0,), std=(1.0, 1.0, 1.0))
    assert read_research(path, Hints(normalization=centred))[1].normalization == centred
    assert read_research(path, Hints(normalization="none"))[1].normalization is None


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize(
    ("layer", "network"),
    [("0.{}s", "1."), ("module.0.{}", "module.1."), ("normalize.{}", ""), ("normalize.{}", "network."), ("{}", "")],
)
def test_buffers_of_the_layer_become_the_normalisation(
    tmp_path: Path, layer: str, network: str, shape: tuple[int, ...]
) -> None:
    assert CIFAR100 is not None
    sd = "sd" if layer.endswith("s") else "std"
    buffers = {
        layer.format("mean"): torch.tensor(CIFAR100.mean).reshape(shape),
        layer.format(sd): torch.tensor(CIFAR100.std).reshape(shape),
    }
    _, info = read_research(saved(tmp_path, published(buffers | prefixed(network, state()))))
    assert info.normalization == CIFAR100


def test_a_mean_alone_centres(tmp_path: Path) -> None:
    _, info = read_research(saved(tmp_path, published({"0.means": torch.full((3,), 0.5)} | prefixed("1.", state()))))
    assert info.normalization == Normalization(mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))


def test_a_bare_state_dict_needs_only_the_architecture(tmp_path: Path) -> None:
    path = saved(tmp_path, lenet(7))
    hints = Hints(architecture="lenet", sigma=0.25, method="gaussian", class_names=tuple("abcdefg"))
    _, info = read_research(path, hints)
    assert (info.num_classes, info.input_shape, info.normalization, info.epoch) == (7, (1, 28, 28), None, None)
    assert (info.sigma, info.method, info.class_names) == (0.25, "gaussian", tuple("abcdefg"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_and_counters_stay_integers(tmp_path: Path, dtype: torch.dtype) -> None:
    half = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state().items()}
    found, _ = read_research(saved(tmp_path, published(half)))
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
        read_research(tmp_path / "no.pt")
    with pytest.raises(InvalidCheckpoint, match=r"no\.pt\): expected a file, got nothing there\."):
        convert(tmp_path / "no.pt", Hints(), tmp_path / "out")
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


def test_another_architecture_is_refused_by_its_names(tmp_path: Path) -> None:
    found = sentence(saved(tmp_path, published(prefixed("1.", lenet()), "cifar_resnet20")))
    assert found == (
        "expected the 128 tensors of cifar_resnet20, got 127 missing: bn1.weight, bn1.bias, bn1.running_mean, "
        "bn1.running_var, bn1.num_batches_tracked and 122 more; 7 extra: conv1.bias, conv2.weight, conv2.bias, "
        "fc1.weight, fc1.bias and 2 more; 1 of another shape: conv1.weight (20, 1, 5, 5), not (16, 3, 3, 3)."
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"0.conv.weight": torch.zeros(1)}, "missing: "),
        ({"1.extra": torch.zeros(1)}, "expected the 8 tensors of lenet, got 1 extra: extra."),
        (
            {"module.1.fc2.bias": torch.zeros(10)},
            "expected each tensor once, got 1.fc2.bias with and without 'module'.",
        ),
        (
            {"0.means": torch.zeros(1), "0.mean": torch.zeros(1)},
            "expected a normalisation layer of one mean and at most one std, got 0.means, 0.mean.",
        ),
        (
            {"0.sds": torch.zeros(1)},
            "expected a normalisation layer of one mean and at most one std, got 0.sds.",
        ),
        (
            {"0.means": torch.zeros(1), "0.sds": torch.zeros(1)},
            "expected a finite mean and a positive std for each channel, got 0.means (0.0,), 0.sds (0.0,).",
        ),
        (
            {"0.means": torch.tensor([float("nan")])},
            "expected a finite mean and a positive std for each channel, got 0.means (nan,).",
        ),
        (
            {"0.means": torch.zeros(2, 3)},
            "expected one number per channel in the normalisation layer, got shape (2, 3).",
        ),
        ({"0.means": torch.zeros(3)}, "expected a normalisation of 1 channels, got one of 3."),
    ],
)
def test_names_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, Tensor], expected: str) -> None:
    assert expected in sentence(saved(tmp_path, published(prefixed("1.", lenet()) | change, "lenet")))


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
    assert read_research(path, Hints(architecture="lenet"))[1].architecture == "lenet"


def test_conversion_writes_a_checkpoint_that_computes_the_same(tmp_path: Path) -> None:
    public = nn.Sequential(nn.Identity(), build("cifar_resnet20", num_classes=10, input_shape=(3, 32, 32)).network)
    path = saved(tmp_path, published(public.state_dict()))
    info = convert(path, Hints(sigma=0.5), tmp_path / "out")
    model, found = load(tmp_path / "out")
    assert info == found == read_info(tmp_path / "out")
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model(x), public.eval()(model.normalize(x)))
    assert (found.sigma, found.normalization) == (0.5, CIFAR10)


def test_conversion_takes_a_bare_safetensors_file_of_any_wrapping(tmp_path: Path) -> None:
    save_file(prefixed("module.1.", lenet()), tmp_path / "x")
    info = convert(tmp_path / "x", Hints(architecture="lenet"), tmp_path / "out")
    assert load(tmp_path / "out")[1] == info
    with pytest.raises(InvalidCheckpoint, match="expected the hint 'architecture'"):
        convert(tmp_path / "x", Hints(), tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_conversion_of_our_own_file_keeps_its_record_and_fills_what_it_lacks(tmp_path: Path) -> None:
    model = build("lenet", num_classes=10, input_shape=(1, 28, 28))
    info = CheckpointInfo(architecture="lenet", num_classes=10, input_shape=(1, 28, 28), sigma=0.25, epoch=3)
    save(model, info, tmp_path / "x")
    same = convert(tmp_path / "x", Hints(sigma=0.25, normalization="none"), tmp_path / "same")
    assert same == info
    assert (tmp_path / "same").read_bytes() == (tmp_path / "x").read_bytes()
    assert convert(tmp_path / "x", Hints(method="gaussian"), tmp_path / "more").method == "gaussian"


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (Hints(sigma=0.5), "expected sigma 0.5, as stated, got 0.25."),
        (Hints(architecture="digits_cnn"), "expected architecture 'digits_cnn', as stated, got 'lenet'."),
        (Hints(class_names=("a", "b")), "expected 10 class names, got 2."),
        (
            Hints(normalization=Normalization(mean=(0.5,), std=(1.0,))),
            "expected normalization Normalization(mean=(0.5,), std=(1.0,)), as stated, got None.",
        ),
    ],
)
def test_hints_must_not_contradict_our_own_record(tmp_path: Path, hints: Hints, expected: str) -> None:
    info = CheckpointInfo(architecture="lenet", num_classes=10, input_shape=(1, 28, 28), sigma=0.25)
    save(build("lenet", num_classes=10, input_shape=(1, 28, 28)), info, tmp_path / "x")
    with pytest.raises(InvalidCheckpoint) as caught:
        convert(tmp_path / "x", hints, tmp_path / "out")
    assert str(caught.value) == f"The checkpoint cannot be read (x): {expected}"


def empty(name: str, classes: int = 10) -> dict[str, Tensor]:
    """Weights of a large network that take no memory."""
    state = skeleton(name, num_classes=classes, input_shape=(3, 32, 32)).network.state_dict()
    return {key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "model.module."])
def test_files_of_robust_classifiers_are_understood(tmp_path: Path, prefix: str, key: str) -> None:
    wanted = state("preact_resnet18")
    path = saved(tmp_path, {key: prefixed(prefix, wanted), "epoch": 12})
    with pytest.raises(InvalidCheckpoint, match="the hint 'normalization'"):
        read_research(path, Hints(architecture="preact_resnet18"))
    found, info = read_research(path, Hints(architecture="preact_resnet18", normalization="none"))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert (info.architecture, info.num_classes, info.epoch, info.normalization) == ("preact_resnet18", 10, 12, None)


@pytest.mark.parametrize(
    ("mean", "std", "prefix"),
    [
        ("normalize.mean", "normalize.std", "model."),
        ("module.normalize.mean", "module.normalize.std", "module.model."),
        ("mean", "std", ""),
        ("mu", "sigma", ""),
    ],
)
def test_constants_of_robust_classifiers_become_the_normalisation(
    tmp_path: Path, mean: str, std: str, prefix: str
) -> None:
    assert CIFAR100 is not None
    layer = {mean: torch.tensor(CIFAR100.mean).view(1, 3, 1, 1), std: torch.tensor(CIFAR100.std).view(1, 3, 1, 1)}
    path = saved(tmp_path, {"state_dict": layer | prefixed(prefix, state("preact_resnet18_silu"))})
    found, info = read_research(path, Hints(architecture="preact_resnet18_silu"))
    assert info.normalization == CIFAR100
    assert not {"mean", "std", "mu", "sigma"} & found.keys()


@pytest.mark.parametrize("name", ["wrn_28_10", "wrn_28_10_silu", "wrn_70_16", "wrn_70_16_silu"])
def test_a_wide_networks_names_are_taken_apart(name: str) -> None:
    wanted = empty(name, 100)
    beside = {"module.mean": torch.zeros(3, 1, 1), "module.std": torch.ones(3, 1, 1)}
    taken = take_apart(beside | prefixed("module.", wanted), "x", architecture(name).head)
    assert taken.network.keys() == wanted.keys()
    assert taken.normalization == Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def test_a_block_that_public_files_hold_and_never_read_is_left_out() -> None:
    wanted = empty("wrn_28_10")
    copied = {f"sub_{key}": tensor for key, tensor in wanted.items() if key.startswith("block1.")}
    assert copied
    row = architecture("wrn_28_10")
    assert take_apart(wanted | copied, "x", row.head, row.unread).network.keys() == wanted.keys()


@pytest.mark.parametrize(
    ("arch", "shape", "prefix"),
    [("cifar_dncnn", (3, 32, 32), ""), ("imagenet_dncnn", (3, 224, 224), "module.")],
)
def test_files_of_denoised_smoothing_are_understood(tmp_path: Path, arch: str, shape: Shape, prefix: str) -> None:
    wanted = state("dncnn", 0)
    path = saved(tmp_path, published(prefixed(prefix, wanted), arch))
    info = convert(path, Hints(sigma=0.25), tmp_path / "out")
    assert (info.architecture, info.role, info.num_classes, info.input_shape) == ("dncnn", "denoiser", 0, shape)
    assert (info.sigma, info.normalization) == (0.25, None)
    denoiser, again = load(tmp_path / "out")
    assert again == info
    assert all(torch.equal(denoiser.network.state_dict()[name], wanted[name]) for name in wanted)


def test_a_denoiser_of_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, published(state("dncnn", 0), "dncnn"))
    assert "the hint 'input_shape'" in sentence(path)
    assert "2 of another shape: dncnn.0.weight" in sentence(path, input_shape=(1, 28, 28))


def test_a_composite_is_no_architecture_of_a_file(tmp_path: Path) -> None:
    path = saved(tmp_path, lenet())
    with pytest.raises(UnknownArchitecture, match="a composite is put together out of trained models"):
        read_research(path, Hints(architecture="ensemble"))
