"""Compose file and Dockerfiles: they parse, fit together, and run commands that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service.cli import app

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def _instructions(path: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_every_service_that_another_waits_for_can_say_when_it_is_ready() -> None:
    for name, service in COMPOSE["services"].items():
        for needed, condition in service.get("depends_on", {}).items():
            other = COMPOSE["services"][needed]
            if condition["condition"] == "service_healthy":
                assert "test" in other["healthcheck"], f"{name} waits for {needed}"
            else:
                assert other["restart"] == "no", f"{name} waits for the end of {needed}"


def test_workers_and_service_wait_for_the_migration_and_share_database_broker_and_data() -> None:
    for name in ("service", "worker-cpu", "worker-gpu"):
        service = COMPOSE["services"][name]
        assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert service["environment"] == COMPOSE["services"]["migrate"]["environment"]
        assert service["volumes"] == ["data:/data"]


def test_there_is_a_profile_for_the_cpu_and_one_for_the_gpu() -> None:
    profiles = {name: service.get("profiles") for name, service in COMPOSE["services"].items() if "profiles" in service}
    assert profiles == {"worker-cpu": ["cpu"], "worker-gpu": ["gpu"]}


def test_every_image_is_built_from_a_dockerfile_that_is_there() -> None:
    named = {s["build"]["dockerfile"] for s in COMPOSE["services"].values() if "build" in s}
    assert named == {str(path.relative_to(ROOT)) for path in DOCKERFILES}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_copies_what_is_there_and_does_not_run_as_root(path: Path) -> None:
    instructions = _instructions(path)
    for kind, value in instructions:
        if kind == "COPY":
            assert all((ROOT / source).exists() for source in value.split()[:-1]), value
    assert ("USER", "radii") in instructions
    assert instructions[-1][0] == "CMD"


def test_the_commands_of_images_and_services_exist() -> None:
    commands = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    for path in DOCKERFILES:
        commands += [
            shlex.split(re.sub(r"[\[\],]", " ", value)) for kind, value in _instructions(path) if kind == "CMD"
        ]
    ours = [command for command in commands if command[0] == "radii"]
    assert len(ours) == 4
    for command in ours:
        result = CliRunner().invoke(app, [command[1], "--help"])
        assert result.exit_code == 0, command
        options = [part for part in command[2:] if part.startswith("--")]
        assert all(option in result.output for option in options), command


def test_torch_is_pinned_once_for_every_image() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    dockerfile = (ROOT / "docker" / "worker.Dockerfile").read_text()
    assert f"torch=={pins['torch']} torchvision=={pins['torchvision']}" in dockerfile
