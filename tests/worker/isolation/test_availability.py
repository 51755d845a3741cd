"""Each restriction that a system lacks is found by a trial, logged, and compensated where it can be."""

import logging
import subprocess
import sys

import pytest

from radii.worker.isolation import availability, landlock, seccomp
from radii.worker.isolation.confine import MissingRestriction
from radii.worker.isolation.identity import NOBODY


def test_the_trial_finds_what_is_missing_on_this_machine() -> None:
    availability.missing.cache_clear()
    found = {each.restriction for each in availability.missing(NOBODY)}
    assert "isolation" not in found, "the trial itself failed"
    try:
        lacking = set(landlock.lacking(landlock.abi()))
    except OSError:
        lacking = {"Landlock"}
    assert found & {"Landlock", *landlock.FEATURES.values()} == lacking


def test_a_trial_that_fails_is_no_good_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability.launch, "command", lambda *_: [sys.executable, "-c", "raise SystemExit('no')"])
    availability.missing.cache_clear()
    (found,) = availability.missing(NOBODY)
    availability.missing.cache_clear()
    assert found.restriction == "isolation" and "the trial failed" in found.reason


def test_a_trial_that_has_failed_is_repeated_later_and_one_that_has_worked_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking = MissingRestriction(restriction="seccomp", reason="Invalid argument", consequence="sockets are open")
    results, now = [((lacking,), False), ((), True)], [1000.0]
    monkeypatch.setattr(availability, "_trial", lambda uid: results.pop(0))
    monkeypatch.setattr(availability.time, "monotonic", lambda: now[0])
    trials = availability.RestrictionTrials()
    assert trials(NOBODY) == trials(NOBODY) == (lacking,)
    now[0] += availability.AGAIN_AFTER
    assert trials(NOBODY) == ()
    now[0] += 1e9
    assert trials(NOBODY) == () and results == []


def test_each_missing_restriction_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lacking = MissingRestriction(restriction="seccomp", reason="Invalid argument", consequence="sockets are open")
    monkeypatch.setattr(availability, "missing", lambda uid: (lacking,))
    with caplog.at_level(logging.WARNING, "radii.isolation"):
        availability.log_missing(NOBODY)
    assert [record.message for record in caplog.records] == [
        "files from outside are opened without this restriction: seccomp (Invalid argument): sockets are open"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this")
@pytest.mark.parametrize(("restriction", "dumpable"), [("Landlock", 0), ("network namespace", 1)])
def test_without_landlock_a_service_closes_its_own_memory(restriction: str, dumpable: int) -> None:
    code = (
        "import ctypes; from radii.worker.isolation import availability; from radii.worker.isolation.confine import MissingRestriction\n"
        f"availability.missing = lambda uid: (MissingRestriction(restriction={restriction!r}, reason='', consequence=''),)\n"
        "availability.log_missing(1); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{dumpable}\n"


@pytest.mark.parametrize(("version", "count"), [(1, 5), (3, 3), (6, 0), (7, 0)])
def test_a_kernel_with_an_older_landlock_is_told_what_it_lacks(version: int, count: int) -> None:
    assert len(landlock.lacking(version)) == count


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("processes", [True, False])
def test_the_filter_of_each_architecture_ends_in_a_refusal_and_every_jump_stays_inside(
    machine: str, processes: bool
) -> None:
    made = list(seccomp.program(seccomp.TABLES[machine], processes=processes, threads=False, pid=100))
    assert made[-1] == (seccomp.RETURN, 0, 0, seccomp.EPERM)
    assert made[1] == (seccomp.EQUAL, 1, 0, seccomp.TABLES[machine].audit) and made[2][3] == seccomp.KILL
    jumps = [(at, max(true, false)) for at, (code, true, false, _) in enumerate(made) if code != seccomp.RETURN]
    assert all(at + 1 + furthest < len(made) for at, furthest in jumps)
    assert len(made) <= 4096 and max(max(true, false) for _, true, false, _ in made) < 256
    refused = ("socket", "execve", "ptrace", "kill", "unlink", "renameat2", "bpf", "setns", "unshare", "mount")
    assert not set(refused) & set(seccomp.TABLES[machine].numbers)
