"""Architectures that the operator adds: what the file may say, and what becomes of builders that are not sound."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.checkpoints.checkpoint_info import ConversionHints
from radii.rs_core.checkpoints.torch_file import convert
from radii.rs_core.errors import BrokenArchitecture, InvalidSpec, Mismatch, UnknownArchitecture
from radii.rs_core.models import registry

NETS = """
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, classes, pixels):
        super().__init__()
        self.register_buffer("scale", torch.tensor([2.0]), persistent=False)
        self.steps = [x.item() for x in torch.linspace(0, 1, 3)]
        self.head = nn.Linear(pixels, classes)

    def forward(self, x):
        return self.head(self.scale * x.flatten(1))


def scaled(num_classes, input_shape):
    return Scaled(num_classes, input_shape[0] * input_shape[1] * input_shape[2])


def number(num_classes, input_shape):
    return 7


def wrong_classes(num_classes, input_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes + 1))


def wrong_images(num_classes, input_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(63, num_classes))


class Tied(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.code = nn.Linear(64, classes, bias=False)
        self.answer = nn.Linear(64, classes, bias=False)
        self.answer.weight = self.code.weight

    def forward(self, x):
        return self.code(x.flatten(1)) + self.answer(x.flatten(1))


def tied(num_classes, input_shape):
    return Tied(num_classes)


def twice(num_classes, input_shape):
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, layer, nn.Linear(64, num_classes))


class Apart(nn.Module):
    def __init__(self, classes):
        super().__init__()
        both = torch.zeros(2, classes, 64)
        self.a, self.b = nn.Parameter(both[0]), nn.Parameter(both[1])
        self.register_buffer("nothing", torch.empty(0))
        self.register_buffer("none", torch.empty(0))

    def forward(self, x):
        return x.flatten(1) @ (self.a + self.b).T


def apart(num_classes, input_shape):
    return Apart(num_classes)


def broken(num_classes, input_shape):
    raise RuntimeError("no such layer")
"""
SHAPE = (1, 8, 8)


def _rows(module: str) -> str:
    functions = ("scaled", "number", "wrong_classes", "wrong_images", "broken", "absent", "tied", "twice", "apart")
    rows = [
        f'[{name}]\nbuilder = "{module}:{name}"\ninput_shape = [1, 8, 8]\ndescription = "a test"' for name in functions
    ]
    return "\n\n".join([*rows, '[nowhere]\nbuilder = "no_such_package.nets:f"\nchannels = 1\ndescription = "a test"'])


@pytest.fixture
def registered(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    module = f"nets_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(NETS)
    file = tmp_path / "architectures.toml"
    file.write_text(_rows(module).replace("[1, 8, 8]\ndescription", '[1, 8, 8]\nhead = "head"\ndescription', 1))
    registry.use(file)
    yield file
    registry.use(None)


def test_a_registered_network_is_built_checked_and_listed(registered: Path) -> None:
    row = registry.architecture("scaled")
    assert (row.source, row.input_shape, row.channels, row.head) == ("registered", SHAPE, 1, "head")
    assert "scaled" in registry.names() and row in registry.rows()
    assert registry.registered_file() == str(registered)
    assert registry.build("scaled", num_classes=4, input_shape=SHAPE)(torch.rand(3, *SHAPE)).shape == (3, 4)
    with pytest.raises(Mismatch, match=r"expected images of shape \(1, 8, 8\)"):
        registry.check("scaled", num_classes=4, input_shape=(1, 9, 9))


def test_without_the_file_there_is_no_such_network(registered: Path) -> None:
    registry.use(None)
    with pytest.raises(UnknownArchitecture):
        registry.architecture("scaled")
    assert registry.registered_file() is None


def test_equal_generator_states_give_equal_weights_and_a_skeleton_draws_nothing(registered: Path) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        registry.skeleton("scaled", num_classes=4, input_shape=SHAPE)
        states.append(registry.build("scaled", num_classes=4, input_shape=SHAPE).state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_checkpoint_of_a_registered_network_is_stored_loaded_and_converted(registered: Path, tmp_path: Path) -> None:
    info = CheckpointInfo(architecture="scaled", num_classes=4, input_shape=SHAPE)
    model = registry.build("scaled", num_classes=4, input_shape=SHAPE).eval()
    checkpoint.save(model, info, tmp_path / "a.safetensors")
    loaded, _ = checkpoint.load(tmp_path / "a.safetensors")
    x = torch.rand(2, *SHAPE)
    assert torch.equal(loaded(x), model(x))
    torch.save(model.network.state_dict(), tmp_path / "b.pt")
    found = convert(tmp_path / "b.pt", ConversionHints(architecture="scaled"), tmp_path / "b.safetensors")
    assert (found.num_classes, found.input_shape) == (4, SHAPE)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("number", "expected a torch.nn.Module, got a int."),
        ("wrong_classes", "expected logits of shape (1, 4) for one image, got a tensor of shape (1, 5)."),
        ("wrong_images", "expected a network for images (1, 8, 8), got RuntimeError: "),
        ("tied", "expected weights that each have memory of their own, got answer.weight and code.weight in the same."),
        ("twice", "expected weights that each have memory of their own, got 1.bias and 2.bias in the same."),
        ("broken", "expected a function that builds a network, got RuntimeError: no such layer."),
        ("absent", "expected a function that builds a network, got AttributeError: "),
        ("nowhere", "expected a function that builds a network, got ModuleNotFoundError: No module named 'no_such_"),
    ],
)
def test_what_is_no_classifier_is_said_so(registered: Path, name: str, sentence: str) -> None:
    with pytest.raises(BrokenArchitecture) as caught:
        registry.build(name, num_classes=4, input_shape=SHAPE)
    assert str(caught.value).startswith(f"The architecture cannot be built ({name}, ")
    assert sentence in str(caught.value)


def test_weights_that_lie_side_by_side_in_one_block_are_no_fault(registered: Path, tmp_path: Path) -> None:
    info = CheckpointInfo(architecture="apart", num_classes=4, input_shape=SHAPE)
    model = registry.build("apart", num_classes=4, input_shape=SHAPE)
    checkpoint.save(model, info, tmp_path / "a.safetensors")
    assert torch.equal(checkpoint.load(tmp_path / "a.safetensors")[0].network.b, model.network.b)


GOOD = 'builder = "nets:f"\ndescription = "a test"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"[lenet]\n{GOOD}channels = 1", "that is not one of the table's own, nor a kind of composite, got 'lenet'"),
        (f'["torchvision/mine"]\n{GOOD}channels = 1', "expected a name of letters, digits, _, . and -"),
        (f"[mine]\n{GOOD}", "exactly one of input_shape and channels"),
        (f"[mine]\n{GOOD}channels = 1\ninput_shape = [1, 8, 8]", "exactly one of input_shape and channels"),
        ('[mine]\nbuilder = "nets"\ndescription = "a test"\nchannels = 1', "builder"),
        (f"[mine]\n{GOOD}channels = 1\ncolour = 3", "colour"),
        ("mine = 3", "expected a table with a builder and a description, got 3"),
        ("[mine", "expected a TOML file of architectures"),
    ],
)
def test_a_file_that_is_not_sound_is_refused_and_changes_nothing(
    registered: Path, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "other.toml").write_text(text)
    with pytest.raises(InvalidSpec) as caught:
        registry.use(tmp_path / "other.toml")
    assert sentence in str(caught.value)
    assert registry.architecture("scaled").source == "registered"


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"none\.toml\): expected a TOML file of architectures, got .*No such file"):
        registry.use(tmp_path / "none.toml")


def test_the_file_is_read_without_torch_and_without_the_module(registered: Path) -> None:
    code = (
        f"import sys, radii.rs_core.models.registry as t; t.use({str(registered)!r}); "
        "t.check('scaled', num_classes=4, input_shape=(1, 8, 8)); "
        "assert 'torch' not in sys.modules and not any(name.startswith('nets_') for name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
