"""What a child is started with, and that it does not outlive who started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radii.worker.child import handle
from radii.worker.child.handle import KEPT_MEMORY, environment
from radii.worker.settings import Settings

FAULTS = """
import resource, torch
torch.set_num_threads(1)
def turn():
    torch.empty(16 * 2**20).fill_(1.0)  # 64 MiB
for _ in range(20):
    turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(variables: dict[str, str]) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS], env=variables, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_child_that_was_ended_is_not_killed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may have its number by then."""
    monkeypatch.setattr(handle, "COMMAND", (sys.executable, "-c", "import time; time.sleep(3600)"))
    child = handle.Child(Settings(data=tmp_path))
    killed: list[int] = []
    killpg = os.killpg
    monkeypatch.setattr(os, "killpg", lambda pid, number: killed.append(pid) or killpg(pid, number))  # type: ignore[func-returns-value]
    child.end()
    child.kill()
    child.end()
    assert killed == [child.pid]


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_a_large_block_that_was_freed_is_there_for_the_next_step(tmp_path: Path) -> None:
    """Handed back, each of the five blocks would fault in 16,384 pages, or 32 large ones; some turns pass until the freed
    blocks are joined so that the next one fits."""
    assert _faults(environment(Settings(data=tmp_path))) < 20


def test_what_the_operator_says_of_the_allocator_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=tmp_path)
    assert environment(settings).items() >= KEPT_MEMORY.items()
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert environment(settings)["MALLOC_TRIM_THRESHOLD_"] == "1"


def test_a_child_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(data=tmp_path, database_url="postgresql://x:secret@h/d", broker_url="redis://:secret@h/0")
    for name in ("RADII_DATABASE_URL", "RADII_DATABASE_URL_FILE", "RADII_BROKER_URL", "RADII_API_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in " ".join(environment(given).values())


def test_the_device_is_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADII_DEVICE", "cuda:3")
    assert environment(Settings(data=tmp_path, device="cpu"))["RADII_DEVICE"] == "cpu"
    assert environment(Settings(data=tmp_path, worker_number=2))["RADII_WORKER_NUMBER"] == "2"


STARTS_A_CHILD = """
import sys
from radii.worker.child import handle
from radii.worker.settings import Settings
stuck = "import time; from radii.worker.processes.parent_death import die_with_parent; die_with_parent(); print(flush=True); time.sleep(3600)"
handle.COMMAND = (sys.executable, "-c", stuck)
child = handle.Child(Settings())
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_child_that_listens_to_nobody_ends_with_a_loop_that_is_killed() -> None:
    loop = subprocess.Popen([sys.executable, "-c", STARTS_A_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert loop.stdout is not None
    child = int(loop.stdout.readline())
    time.sleep(1.0)  # it has asked the system by then
    os.kill(child, 0)
    loop.send_signal(signal.SIGKILL)
    loop.wait(timeout=10)
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline, "it has outlived its loop"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
