"""Code that runs inside the converter or the decoder reaches nothing: every attempt of ``escape`` is made in the real processes.

The same attempts are made without confinement first, so that one that could not succeed anyway proves nothing here.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests_support import confined, escape, escape_target, system

from radii.rs_core.data.dataset_file import open_dataset
from radii.worker.isolation.identity import NOBODY
from radii.worker.sandbox import converter, decoder_client

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has these restrictions: they were NOT tested"
)


WITHOUT = {
    "everything": "",
    "user namespaces": "system.unshare = refuse",
    "a user of its own": "os.setresuid = refuse",
}
"""What the system lacks, by the code that makes it so."""
ABSENT = {
    "use a key",
    "load a module",
    "handle page faults",
    "load a BPF program",
    "read through the root of the first process",
}
"""What the kernel of this machine may lack, and a first process that may be elsewhere."""


def _check_user(found: dict[str, Any], without: str) -> None:
    other = os.geteuid() == 0 and without != "a user of its own"
    assert found["who"] == [NOBODY, NOBODY, []] if other else found["who"][0] == os.getuid()


def test_without_confinement_the_attempts_succeed(target: dict[str, Any]) -> None:
    """Each in a process of its own, since some change the process."""
    Path(target["output"]).touch()
    root, results = os.geteuid() == 0, {}
    for name, function in escape.ATTEMPTS.items():
        if name in ABSENT or (
            not root and name not in ("connect by TCP", "read a blob", "write a blob", "run a shell")
        ):
            continue
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(writer, escape.attempt(function, target | {"pid": target["victim"]}).encode()[:200])
            os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)
        with os.fdopen(reader) as said:
            results[name] = said.read()
    assert {name: how for name, how in results.items() if how != "reached"} == {}


@pytest.mark.parametrize("without", WITHOUT)
def test_code_in_the_converter_reaches_nothing_but_its_files(
    target: dict[str, Any], without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    escape_target.need_restrictions()
    confined.substituted(monkeypatch, converter, confined.CONVERTER, without=WITHOUT[without])
    found = confined.in_converter(target)
    assert escape_target.reached(found) == set()
    assert len(open_dataset(Path(target["output"]))) == 4
    assert Path(target["output"]).stat().st_uid == os.getuid()
    _check_user(found, without)
    assert {where.split(":")[0] for where in found["descriptors"].values()} <= {"pipe", "/dev/null"}
    lacking = {"user namespaces": "network namespace", "a user of its own": "unprivileged user"}.get(without)
    if lacking and (without == "user namespaces" or os.geteuid() == 0):
        assert found["missing"] == [lacking]


@pytest.mark.parametrize("without", WITHOUT)
def test_code_in_the_decoder_reaches_nothing(
    target: dict[str, Any], without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    escape_target.need_restrictions()
    confined.substituted(monkeypatch, decoder_client, confined.DECODER, without=WITHOUT[without])
    Path(target["output"]).touch()
    found = confined.in_decoder(target)
    assert escape_target.reached(found) == set()
    assert found["threads"] != "reached"
    _check_user(found, without)
    assert {where.split(":")[0] for where in found["descriptors"].values()} <= {"socket", "/dev/null"}


def test_without_landlock_the_filter_still_refuses_sockets_processes_and_changes(
    target: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    confined.substituted(
        monkeypatch, converter, confined.CONVERTER, without="landlock.abi = refuse\nsystem.unshare = refuse"
    )
    found = confined.in_converter(target)
    assert escape_target.reached(found) <= confined.FILES
    assert found["missing"] == ["network namespace", "Landlock"]


def test_without_the_filter_landlock_still_closes_files_tcp_and_signals(
    target: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    escape_target.need_restrictions()
    tried = confined.FILES | {"connect by TCP", "connect to an abstract socket", "signal a process"}
    chosen = f"escape.ATTEMPTS = {{name: escape.ATTEMPTS[name] for name in {sorted(tried)!r}}}"
    lacking = ("seccomp.restrict = refuse", "system.unshare = refuse", "os.setresuid = refuse", chosen)
    confined.substituted(monkeypatch, converter, confined.CONVERTER, without="\n".join(lacking))
    found = confined.in_converter(target)
    assert escape_target.reached(found) == set()
    assert found["missing"] == ["network namespace", *(["unprivileged user"] if os.geteuid() == 0 else []), "seccomp"]


THREADS = """
import threading, time
from radii.worker.isolation import availability
from radii.worker.isolation.confine import Confinement, {function}
[threading.Thread(target=time.sleep, args=(1,)).start() for _ in range({threads} - 1)]
{function}({arguments})
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("function", "arguments"), [("confine", "Confinement(limits=availability.TRIAL_LIMITS)"), ("confine_copy", "")]
)
def test_a_process_is_confined_while_it_has_one_thread(threads: int, function: str, arguments: str) -> None:
    code = THREADS.format(function=function, threads=threads, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode == 0) == (threads == 1)
    assert ("one thread, got 2" in done.stderr) == (threads == 2)


CONFINED = """
import ctypes, mmap, sys
from radii.worker.isolation import availability
from radii.worker.isolation.confine import Confinement, confine
confine(Confinement(limits=availability.TRIAL_LIMITS))
print("confined", flush=True)
"""
CALLS = {
    # mov eax, 20 (getpid of 32-bit programs); int 0x80; ret
    "of a 32-bit program": "code = b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'\n"
    "area = mmap.mmap(-1, 4096, prot=7); area.write(code)\n"
    "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))()",
    "of x32": "ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39))",
}


@pytest.mark.skipif(not escape.X86, reason="the calls of another architecture are written for x86-64: NOT tested")
@pytest.mark.parametrize("call", CALLS)
def test_a_call_by_the_numbers_of_another_architecture_ends_the_process(call: str) -> None:
    done = subprocess.run([sys.executable, "-c", CONFINED + CALLS[call]], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("confined\n", -31)  # SIGSYS


def test_a_confined_process_still_ends_with_its_parent(tmp_path: Path) -> None:
    """A change of the user clears what the system was asked for."""
    code = (
        "from radii.worker.processes.parent_death import die_with_parent, ends_with_parent; die_with_parent()\n"
        + CONFINED
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace('print("confined"', "print(ends_with_parent()")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n", done.stderr


def test_no_process_of_the_decoder_is_left_behind() -> None:
    decoder = decoder_client.Decoder()
    decoder.start()
    assert decoder._process is not None
    pid = decoder._process.pid
    decoder.close()
    assert pid not in system.children(os.getpid())
