"""Local workers: started again when they die, and gone when whoever started them is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import processes

from radii.worker.embedded import EmbeddedWorkers
from radii.worker.settings import Settings
from radii.worker.settings_environment import variables
from radii.worker.store import schema_version
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Worker


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data=tmp_path, poll=0.05, housekeeping_seconds=0.5, threads=1)
    database = Database(settings.url)
    schema_version.migrate(database.engine)
    database.close()
    return settings


def _pids(settings: Settings) -> set[int]:
    database = Database(settings.url)
    with database.read() as session:
        pids = {worker.pid for worker in session.query(Worker)}
    database.close()
    return pids


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_worker_that_is_killed_is_started_again_and_none_is_left_at_the_end(settings: Settings) -> None:
    with EmbeddedWorkers(settings):
        processes.until(lambda: len(_pids(settings)) == 1, 60, "a worker")
        (first,) = _pids(settings)
        os.kill(first, signal.SIGKILL)
        processes.until(lambda: len(_pids(settings)) == 2, 60, "another worker")
        pids = _pids(settings)
    assert all(_gone(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's environment from /proc")
def test_each_worker_has_a_number_of_its_own_by_which_it_takes_a_gpu(settings: Settings) -> None:
    two = settings.model_copy(update={"local_workers": 2})
    with EmbeddedWorkers(two):
        processes.until(lambda: len(_pids(two)) == 2, 60, "two workers")
        variables = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in _pids(two)]
        numbers = sorted(next(line for line in of if line.startswith(b"RADII_WORKER_NUMBER=")) for of in variables)
    assert numbers == [b"RADII_WORKER_NUMBER=0", b"RADII_WORKER_NUMBER=1"]


def test_workers_end_when_the_process_that_started_them_is_killed(settings: Settings) -> None:
    code = "from radii.worker.embedded import EmbeddedWorkers; from radii.worker.settings import Settings; import time\nwith EmbeddedWorkers(Settings()): time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | variables(settings))
    try:
        processes.until(lambda: len(_pids(settings)) == 1, 60, "a worker")
        (pid,) = _pids(settings)
    finally:
        parent.kill()
        parent.wait()
    processes.until(lambda: _gone(pid), 30, "the worker is gone")


def test_a_worker_that_cannot_work_here_is_not_started_again(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    database = Database(settings.url)
    schema_version.migrate(database.engine, "base")
    database.close()
    with EmbeddedWorkers(settings) as workers:
        processes.until(lambda: not workers.any_left(), 60, "the guard gives up")
    assert capfd.readouterr().err.count("another schema than this version of radii works with") == 1


def test_settings_travel_through_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
