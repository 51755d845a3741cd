"""What the wheel installs is enough by itself, in a folder whose own modules have the names of ours and of our dependencies."""

import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HOSTILE = "raise SystemExit('a module of the user was imported')\n"


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the built wheel, and another distribution's ``service`` and ``worker`` next to it."""
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    for other in ("service", "worker", "rs_core", "migrations"):
        (site / other).mkdir()
        (site / other / "__init__.py").write_text(HOSTILE)
    return site


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project with unlucky names."""
    project = tmp_path_factory.mktemp("project")
    for name in ("json", "torch", "celery", "worker", "numpy", "typing"):
        (project / f"{name}.py").write_text(HOSTILE)
    for name in ("service", "rs_core", "migrations", "radii-data"):
        (project / name).mkdir()
    (project / "service" / "__init__.py").write_text(HOSTILE)
    return project


def _started(site: Path, project: Path, *arguments: str, **more: str) -> "subprocess.Popen[str]":
    variables = {"PYTHONPATH": str(site), "RADII_DEVICE": "cpu", "RADII_COMPILE": "never", "COLUMNS": "200", **more}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "radii", *arguments],
        cwd=project,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _run(site: Path, project: Path, *arguments: str) -> str:
    process = _started(site, project, *arguments)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def service(site: Path, project: Path) -> Iterator[str]:
    _run(site, project, "migrate")
    process = _started(site, project, "up", "--port", "0")
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not (found := re.search(r"radii is listening on (http://\S+)", "".join(lines))):
            line = process.stdout.readline()
            assert line, "".join(lines)
            lines.append(line)
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_modules_are_those_of_the_wheel(site: Path, project: Path) -> None:
    code = "import radii.service.cli.main as m, radii.worker, radii.rs_core; print(m.__file__)"
    variables = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=project, env=variables, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(site)), done.stderr


def test_commands_on_local_files_train_certify_and_report(site: Path, project: Path) -> None:
    training = ["--dataset", "digits", "--architecture", "digits_cnn", "--sigma", "0.25", "--epochs", "1"]
    _run(site, project, "train", *training, "--out", "model.safetensors")
    chosen = ["--dataset", "digits", "--n", "200", "--count", "3", "--out", "out.tsv"]
    assert "ACR" in _run(site, project, "certify", "--checkpoint", "model.safetensors", *chosen)
    assert "ACR" in _run(site, project, "report", "out.tsv")


def test_a_service_trains_and_certifies_through_its_worker(site: Path, project: Path, service: str) -> None:
    """The worker's child and the converter are processes of their own, started in the same folder."""
    added = _run(site, project, "add-dataset", "digits", "--builtin", "digits", "--server", service)
    dataset = re.findall(r"\bds_\w+", added)[-1]
    body = {"kind": "train", "dataset": dataset, "architecture": "digits_cnn", "sigma": 0.25, "epochs": 1}
    trained = _finished(service, body)
    certified = {"kind": "certify", "dataset": dataset, "checkpoint": trained["checkpoint"], "n": 200}
    job = _finished(service, certified | {"inputs": {"count": 3}})
    report = json.loads(_got(f"{service}/v1/jobs/{job['id']}/report"))
    assert report["results"]["evaluated"] == 3
    for page in (f"/jobs/{job['id']}", f"/v1/jobs/{job['id']}/report.html"):
        assert "<html" in _got(service + page)


def _finished(service: str, body: dict[str, object]) -> dict[str, str]:
    request = urllib.request.Request(
        f"{service}/v1/jobs", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        job = json.load(answer)
    while (job := json.loads(_got(f"{service}/v1/jobs/{job['id']}?wait=20")))["state"] in ("queued", "running"):
        pass
    assert job["state"] == "succeeded", job
    return job


def _got(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())
