"""Compose file and Dockerfiles: they parse, fit together, and run commands that exist."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from radii.service.cli.main import app
from radii.worker import library_caches
from radii.worker.processes import memory_limit
from radii.worker.settings import GIB, Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
FOLDERS = {"rs_core", "worker", "service", "migrations"}
"""Below ``radii`` by links."""


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


def test_the_images_get_the_package_and_nothing_else() -> None:
    """From a checkout, where ``radii/`` has links to the four folders, and from an sdist, where it has the folders."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "everything is left out but what is named"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    metadata = {"pyproject.toml", project["readme"], *(name for name in project["license-files"] if "/" not in name)}
    named = {line[1:] for line in lines if line.startswith("!")}
    assert named == FOLDERS | metadata | {"radii", "docker/*.requirements.txt"}
    assert {path.name for path in (ROOT / "radii").iterdir() if path.is_symlink()} in (FOLDERS, set())


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


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_container_is_confined(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"] and not service.get("cap_add") and not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"] and all(re.match(r"/[\w/]+:size=\d+[mg],", mount) for mount in service["tmpfs"])
    assert int(service["pids_limit"]) > 0
    assert re.fullmatch(r"\$\{\w+:-\d+[mg]\}", service["mem_limit"])
    assert int(service["user"].split(":")[0]) > 0, "no root"
    assert "healthcheck" in service
    assert "network_mode" not in service and "pid" not in service and "ipc" not in service


def test_only_the_service_is_reached_from_outside_and_by_default_from_this_machine_alone() -> None:
    for name, service in COMPOSE["services"].items():
        assert ("ports" in service) == (name == "service")
        assert ("outside" in service["networks"]) == (name == "service")
        assert "inside" in service["networks"]
    assert COMPOSE["services"]["service"]["ports"] == ["${RADII_BIND:-127.0.0.1}:${RADII_PORT:-8000}:8000"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_no_password_is_in_the_file_or_in_a_variable() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.search(r"://[^\s{}]*:[^\s{}]*@", text) is None
    for service in COMPOSE["services"].values():
        for name in service.get("environment", {}):
            assert not re.search("PASSWORD|_URL", name) or name.endswith("_FILE")
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"]


def test_images_have_exact_versions_that_a_variable_replaces_by_a_digest() -> None:
    images = [service["image"] for service in COMPOSE["services"].values() if "image" in service]
    assert len(images) == 2 and all(
        re.fullmatch(r"\$\{\w+_IMAGE:-\w+:\d+\.\d+(\.\d+)?-\w+\}", image) for image in images
    )
    for path in DOCKERFILES:
        instructions = _instructions(path)
        assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+", dict(instructions[:1])["ARG"])
        assert ("FROM", "${PYTHON_IMAGE}") in instructions


def test_the_secrets_fit_together_are_random_and_are_kept(tmp_path: Path) -> None:
    def make(folder: str) -> dict[str, str]:
        subprocess.run(["sh", ROOT / "docker" / "make-secrets.sh", tmp_path / folder], check=True, capture_output=True)
        assert (tmp_path / folder).stat().st_mode & 0o077 == 0, "the folder is closed"
        return {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}

    first = make("a")
    assert set(first) == set(COMPOSE["secrets"])
    assert first["database_url"] == f"postgresql://radii:{first['postgres_password']}@postgres:5432/radii"
    redis = dict(line.split(" ", 1) for line in first["redis_conf"].splitlines())["requirepass"]
    assert first["broker_url"] == f"redis://:{redis}@redis:6379/0"
    assert len(redis) == len(first["postgres_password"]) == 64 and redis != first["postgres_password"]
    assert make("a") == first != make("b")


def test_torch_is_pinned_once_for_every_image() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    dockerfile = (ROOT / "docker" / "worker.Dockerfile").read_text()
    assert f"torch=={pins['torch']} torchvision=={pins['torchvision']}" in dockerfile


def test_every_setting_of_radii_can_be_given_without_editing_the_file() -> None:
    for name in ("migrate", "service", "worker-cpu", "worker-gpu"):
        assert COMPOSE["services"][name]["env_file"] == [{"path": "radii.env", "required": False}]
    assert "RADII_TRUSTED_PROXIES=" in (ROOT / "docker-compose.yml").read_text()


def test_a_worker_is_healthy_only_while_it_works() -> None:
    for name in ("worker-cpu", "worker-gpu"):
        _, command, *arguments = COMPOSE["services"][name]["healthcheck"]["test"]
        assert (command, arguments) == ("radii", ["doctor", "--worker"])


def test_the_memory_budgets_of_the_service_fit_into_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r":-(\d+)g\}", COMPOSE["services"]["service"]["mem_limit"])
    assert found is not None
    monkeypatch.setattr(memory_limit, "total", lambda: int(found[1]) * GIB)
    settings = Settings()
    left = int(found[1]) * GIB - settings.decode_memory - settings.results_memory
    assert left >= 2 * GIB, "for requests, reports and plots"


def _locked(path: Path) -> dict[str, str]:
    """The packages of a file of requirements that are installed on Linux, with their versions."""
    blocks = re.sub(r"\\\n", " ", path.read_text()).splitlines()
    found = [Requirement(block.split("--hash")[0]) for block in blocks if block and not block.startswith("#")]
    linux = {"sys_platform": "linux", "python_full_version": "3.11.13", "platform_machine": "x86_64"}
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in found
        if each.marker is None or each.marker.evaluate(linux)
    }


def _pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


REQUIREMENTS = sorted((ROOT / "docker").glob("*.requirements.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_images_install_the_versions_of_the_constraints(path: Path) -> None:
    locked = _locked(path)
    locked.pop("setuptools", None)  # builds radii itself, and is no constraint elsewhere
    wrong = {name: version for name, version in locked.items() if _pins().get(name) != version}
    assert locked and not wrong, "run `make requirements`"


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_package_of_an_image_has_hashes_and_no_address(path: Path) -> None:
    blocks = re.sub(r"\\\n", " ", path.read_text()).splitlines()
    packages = [block for block in blocks if not block.startswith("#")]
    assert packages and all(re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", block) for block in packages)
    assert "://" not in path.read_text() and "--index" not in path.read_text()


def test_images_install_everything_that_radii_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> set[str]:
        """The packages of a list, with those of radii's own extras that it names."""
        asked = [Requirement(line) for line in lines]
        own = [names(extras[extra]) for each in asked if each.name == "radii" for extra in each.extras]
        return {canonicalize_name(each.name) for each in asked if each.name != "radii"}.union(*own)

    docker, extras = ROOT / "docker", project["optional-dependencies"]
    service = set(_locked(docker / "service.requirements.txt"))
    worker = set(_locked(docker / "worker.requirements.txt")) | set(_locked(docker / "torch.requirements.txt"))
    assert names([*project["dependencies"], "radii[server]", "setuptools"]) <= service
    assert not {"torch", "torchvision"} & service
    wanted = names([*project["dependencies"], "radii[all]", "setuptools", "imagecorruptions-imaug"])
    assert {"torch", "celery", "numba"} <= wanted <= worker
    assert not {name for name in service | worker if name == "opencv-python"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_installs_nothing_whose_hash_is_not_known(path: Path) -> None:
    """But for torch from an index that its builder chooses."""
    commands = [part for kind, value in _instructions(path) if kind == "RUN" for part in re.split(r"&&|;", value)]
    installs = [command for command in commands if "pip install" in command]
    hashed = [command for command in installs if "--require-hashes --no-deps --only-binary :all:" in command]
    others = [command for command in installs if command not in hashed and "$TORCH_INDEX" not in command]
    assert hashed and [" ".join(command.split()) for command in others] == [
        "pip install --no-deps --no-build-isolation -e ."
    ]
    for command in hashed:
        assert (ROOT / command.split("-r ")[1].split()[0]).exists()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_commands_in_an_image_keep_the_caches_of_libraries_in_its_data(path: Path) -> None:
    """The user of the image has no home directory: without these, each command would make the caches again."""
    variables = " ".join(value for kind, value in _instructions(path) if kind == "ENV")
    for name, folder in library_caches.FOLDERS.items():
        assert f"{name}=/data/cache/{folder}" in variables.split()
