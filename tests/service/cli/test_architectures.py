"""`radii architectures`: ours and the operator's by name, torchvision's in one line unless all are asked for."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from radii.rs_core.models import registry
from radii.service.api.routes.architectures import list_architectures
from radii.service.cli.main import app

ROWS = """
[mine]
builder = "no_such_module:net"
channels = 1
smallest_side = 9
description = "a network of ours"
"""


@pytest.fixture(autouse=True)
def none_registered() -> Iterator[None]:
    yield
    registry.use(None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "architectures.toml"
    path.write_text(ROWS)
    return path


def radii(*arguments: str, file: Path | None = None) -> Result:
    environment = {"RADII_ARCHITECTURES": None if file is None else str(file)}
    return CliRunner(env=environment).invoke(app, ["architectures", *arguments])


def lines(*arguments: str, file: Path | None = None) -> dict[str, str]:
    """The printed lines by their first word."""
    result = radii(*arguments, file=file)
    assert result.exit_code == 0, result.output
    return {line.split()[0]: line for line in result.stdout.splitlines()}


def test_each_of_ours_has_a_line_and_torchvision_has_one(file: Path) -> None:
    found = lines(file=file)
    assert list(found) == ["architecture", *registry.ARCHITECTURES, "mine", "torchvision/NAME"]
    assert found["lenet"].split()[1:3] == ["1x28x28", "ours"] and "two 5x5 convolutions" in found["lenet"]
    assert found["resnet50"].split()[1:3] == ["3xHxW", "ours"]
    assert found["mine"].split()[1:3] == ["1xHxW,", "from"]
    assert found["mine"].endswith("a network of ours") and "1xHxW, from 9  registered" in found["mine"]
    assert f"{len(registry.TORCHVISION)} networks of torchvision" in found["torchvision/NAME"]
    assert "--all" in found["torchvision/NAME"]


def test_all_of_them_are_listed_when_asked_for() -> None:
    found = lines("--all")
    assert list(found) == ["architecture", *registry.names()]
    assert "3xHxW, from 63" in found["torchvision/alexnet"]
    assert "3xHxW, multiples of 224" in found["torchvision/maxvit_t"]
    assert "3xHxH, multiples of 14" in found["torchvision/vit_h_14"]


def test_json_is_what_a_service_says(file: Path) -> None:
    bodies = json.loads(radii("--json", file=file).stdout)
    assert bodies == list_architectures("tn_1").model_dump(mode="json")["items"]  # type: ignore[arg-type]
    assert [body["name"] for body in bodies] == list(registry.names()) and "mine" in registry.names()


def test_a_file_that_is_not_sound_is_one_sentence(file: Path) -> None:
    file.write_text("[mine]\n")
    result = radii(file=file)
    assert result.exit_code == 1 and "(mine in architectures.toml)" in result.stderr
    assert result.stderr.count("\n") == 1
