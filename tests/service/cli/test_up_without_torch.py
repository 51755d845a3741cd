"""Where no worker can start the service serves what is there, and says in one sentence what is missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
from tests_support import processes
from tests_support.cli import radii
from tests_support.live import running

from radii.worker.doctor import diagnosis
from radii.worker.settings import Settings
from radii.worker.store import start_failures
from radii.worker.store.database import Database

WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
SENTENCE = "the package torch is not installed; install it with `pip install 'radii[server,torch]'`"
BROKEN = """import os, sys
if "radii.worker.embedded" in sys.orig_argv:
    os.write(2, b"ImportError: no such library\\n")
    os._exit(1)
"""


def _path(tmp_path: Path, name: str, code: str) -> dict[str, str]:
    """Variables with which every interpreter runs the code, or finds it, before anything of ours."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / name).write_text(code)
    return {"PYTHONPATH": str(tmp_path / "path")}


def _workers(url: str) -> str:
    return str(httpx.get(f"{url}/readyz").json()["checks"]["workers"]["detail"])


def test_the_log_readyz_and_doctor_name_the_package_and_the_service_serves(tmp_path: Path) -> None:
    variables = _path(tmp_path, "sitecustomize.py", WITHOUT_TORCH)
    settings = Settings(data=tmp_path / "data", min_free=0)
    with running(settings.data, "--workers", "2", **variables) as (url, _):
        processes.until(lambda: "no worker can start" in _workers(url), 60, "readyz tells")
        assert SENTENCE in _workers(url)
        answer = httpx.get(f"{url}/readyz")
        assert answer.status_code == 200 and answer.json()["ready"], "reports can be read"
        assert httpx.get(f"{url}/v1/jobs").status_code == 200
        found = {each.what: each for each in diagnosis.look(settings)}["worker start"]
        assert found.state == "wrong" and SENTENCE in found.found
        time.sleep(1.0)  # both workers have failed by now
        log = (tmp_path / "data.log").read_text()
    assert log.count(SENTENCE) == 1 and "Traceback" not in log


def test_a_worker_that_fails_before_its_own_code_runs_is_told_as_well(tmp_path: Path) -> None:
    variables = _path(tmp_path, "sitecustomize.py", BROKEN)
    with running(tmp_path / "data", **variables) as (url, _):
        processes.until(lambda: "no worker can start" in _workers(url), 60, "readyz tells")
        assert "the process ended with code 1: ImportError: no such library" in _workers(url)


def test_a_worker_by_itself_ends_with_the_same_sentence(tmp_path: Path) -> None:
    variables = os.environ | _path(tmp_path, "sitecustomize.py", WITHOUT_TORCH)
    radii("migrate", "--data", tmp_path / "data")
    command = [sys.executable, "-m", "radii.service.cli.main", "worker", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"radii: No work can be done here: {SENTENCE}.\n")
    database = Database(Settings(data=tmp_path / "data").url)
    with database.read() as session:
        assert [each.why for each in start_failures.recent(session)] == [f"No work can be done here: {SENTENCE}."]
    database.close()
