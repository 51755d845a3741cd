"""Code that runs inside the converter or the decoder reaches nothing: every attempt of ``escape`` is made in the real processes.

The same attempts are made without confinement first, so that one that could not succeed anyway proves nothing here.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import escape, pictures, system

from rs_core.data.canonical import open_dataset
from worker import decoding, sandbox
from worker.isolation import landlock, support
from worker.isolation.confine import NotConfined
from worker.isolation.identity import NOBODY

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has these restrictions: they were NOT tested"
)

MEMORY = 4 * 2**30
OTHER = 4242
"""A user without rights."""
AS_OTHER = (
    "from worker.isolation import descriptors; descriptors.lend_modules(); "  # the interpreter may be in root's home
    f"os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})"
)
WITHOUT = {
    "everything": "",
    "user namespaces": "system.unshare = refuse",
    "a user of its own": "os.setresuid = refuse",
}
"""What the system lacks, by the code that makes it so."""
CONVERTER = """
import sys
sys.path.append({support!r})
from tests_support import escape
import json, os, worker.sandbox as sandbox
from worker.isolation import identity, landlock, seccomp, system
def refuse(*_, **__): raise PermissionError(1, "refused by the test")
{without}
confined, missing = sandbox.confine, []
def confine(wanted):
    missing.extend(confined(wanted))
    return missing
sandbox.confine = confine
real = sandbox._dataset
def dataset(request):
    answer = real(request)  # what it is for still works
    target = request["target"]
    found = {{str(pid): escape.attempts({{**target, "pid": pid}}) for pid in (os.getppid(), target["victim"])}}
    body = {{
        "attempts": found,
        "descriptors": escape.descriptors(),
        "who": [os.getuid(), os.getgid(), os.getgroups()],
        "missing": [each.restriction for each in missing],
    }}
    answer["columns"]["class_names"] = [json.dumps(body)[at:at + 9000] for at in range(0, len(json.dumps(body)), 9000)]
    return answer
sandbox._dataset = dataset
sandbox.main()
"""
DECODER = """
import sys
sys.path.append({support!r})
from tests_support import escape
import json, os
from worker import decoder
from worker.isolation import identity, landlock, seccomp, system
def refuse(*_, **__): raise PermissionError(1, "refused by the test")
{without}
def answer(stream):
    target = json.loads(stream.readline())
    found = {{str(pid): escape.attempts({{**target, "pid": pid}}) for pid in (target["parent"], target["victim"])}}
    try:
        import threading
        threading.Thread(target=print).start()
        threads = "reached"
    except RuntimeError as error:
        threads = str(error)
    body = {{"attempts": found, "descriptors": escape.descriptors(), "who": [os.getuid(), os.getgid(), os.getgroups()]}}
    stream.write(json.dumps(body | {{"threads": threads}}).encode())
decoder._answer = answer
sys.argv[1:] = {arguments!r}
decoder.main()
"""
SUPPORT = str(Path(escape.__file__).parents[1])
ABSENT = {
    "use a key",
    "load a module",
    "handle page faults",
    "load a BPF program",
    "read through the root of the first process",
}
"""What the kernel of this machine may lack, and a first process that may be elsewhere."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def target(place: Path) -> Iterator[dict[str, Any]]:
    """Things to reach: servers, a process with a secret, a data folder, a home."""
    data, home = place / "data", place / "home"
    (data / "blobs" / "ab").mkdir(parents=True)
    (data / "blobs" / "new").mkdir()
    home.mkdir()
    for path in (
        data / "radii.db",
        data / "blobs" / "ab" / "other",
        home / "secret",
        *(data / "blobs" / "new" / name for name in ("spare", "doomed")),
    ):
        path.write_bytes(b"secret")
        path.chmod(0o600)
    data.chmod(0o700)
    name = f"radii-{os.getpid()}-{os.urandom(4).hex()}"
    with (
        tempfile.TemporaryDirectory() as short,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as file,
        socket.socket(socket.AF_UNIX) as abstract,
        subprocess.Popen(["sleep", "600"], env={"SECRET": "s"}, start_new_session=True) as victim,
    ):
        file.bind(f"{short}/s")
        abstract.bind("\0" + name)
        for each in (file, abstract):
            each.listen(100)
        with (data / "blobs" / "ab" / "input").open("wb") as npz:
            np.savez(npz, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 1, 0]))
        yield {
            "port": tcp.getsockname()[1],
            "socket": f"{short}/s",
            "abstract": name,
            "victim": victim.pid,
            "data": str(data),
            "home": str(home),
            "input": str(data / "blobs" / "ab" / "input"),
            "outputs": str(data / "blobs" / "new"),
            "output": str(data / "blobs" / "new" / "out"),
            "spare": str(data / "blobs" / "new" / "spare"),
            "doomed": str(data / "blobs" / "new" / "doomed"),
            "memory": MEMORY,
        }
        victim.kill()


@pytest.fixture
def target_of_other(target: dict[str, Any], place: Path) -> Iterator[dict[str, Any]]:
    """The same, of a user without rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can start processes of another user: NOT tested")
    Path(target["output"]).touch()
    for path in place.rglob("*"):
        os.chown(path, OTHER, OTHER)
    with subprocess.Popen(["sleep", "600"], env={"SECRET": "s"}, start_new_session=True, user=OTHER) as victim:
        yield target | {"victim": victim.pid}
        victim.kill()


def _substituted(monkeypatch: pytest.MonkeyPatch, module: Any, code: str, **more: Any) -> None:
    real = subprocess.Popen

    def start(command: list[str], **how: Any) -> Any:
        arguments = command[command.index(module.__name__.replace("decoding", "decoder")) + 1 :]
        filled = code.format(support=SUPPORT, arguments=arguments, **more)
        return real([sys.executable, "-P", "-c", filled], **how)

    monkeypatch.setattr(module.subprocess, "Popen", start)


def _in_converter(target: dict[str, Any], **more: Any) -> dict[str, Any]:
    request = {"what": "dataset", "files": {"mine.npz": target["input"]}, "out": target["output"], "target": target}
    answer = sandbox.convert(request | more, seconds=60.0, memory=MEMORY)
    found: dict[str, Any] = json.loads("".join(answer["columns"]["class_names"]))
    return found


def _in_decoder(target: dict[str, Any]) -> dict[str, Any]:
    decoder = decoding.Decoder(MEMORY)
    try:
        connection = decoder._asked()
        with connection, connection.makefile("rwb") as stream:
            connection.settimeout(60)
            stream.write(json.dumps(target | {"parent": os.getpid()}).encode() + b"\n")
            stream.flush()
            connection.shutdown(socket.SHUT_WR)
            answer: dict[str, Any] = json.loads(stream.read())
            return answer
    finally:
        decoder.close()


def _reached(found: dict[str, Any]) -> set[str]:
    return {name for each in found["attempts"].values() for name, how in each.items() if how == "reached"}


def _restrictions() -> None:
    try:
        version = landlock.abi()
    except OSError as error:
        pytest.skip(f"this system has no Landlock ({error}): the confinement was NOT tested")
    if version < 6:
        pytest.skip(
            f"this system has Landlock ABI {version}, without signals: the confinement was NOT tested as a whole"
        )


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
    _restrictions()
    _substituted(monkeypatch, sandbox, CONVERTER, without=WITHOUT[without])
    found = _in_converter(target)
    assert _reached(found) == set()
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
    _restrictions()
    _substituted(monkeypatch, decoding, DECODER, without=WITHOUT[without])
    Path(target["output"]).touch()
    found = _in_decoder(target)
    assert _reached(found) == set()
    assert found["threads"] != "reached"
    _check_user(found, without)
    assert {where.split(":")[0] for where in found["descriptors"].values()} <= {"socket", "/dev/null"}


def test_code_in_the_converter_of_a_user_without_rights_reaches_nothing(
    target_of_other: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that are closed to that user are on the path, and a package has been imported from one of them."""
    _restrictions()
    (place / "closed" / "package").mkdir(parents=True)
    (place / "closed").chmod(0o700)
    closed = str(place / "closed")
    imported = (
        f"sys.path.append({closed!r}); m = type(sys)('m'); m.__path__ = [{closed!r} + '/package']; sys.modules['m'] = m"
    )
    _substituted(monkeypatch, sandbox, CONVERTER, without=f"{imported}; {AS_OTHER}")
    found = _in_converter(target_of_other)
    assert _reached(found) == set()
    assert found["who"] == [OTHER, OTHER, []] or found["who"][0] == NOBODY  # the number that a user namespace shows
    assert set(found["missing"]) <= {"network namespace"}


def test_code_in_the_decoder_of_a_user_without_rights_reaches_nothing(
    target_of_other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _restrictions()
    _substituted(monkeypatch, decoding, DECODER, without=AS_OTHER)
    found = _in_decoder(target_of_other)
    assert _reached(found) == set() and found["threads"] != "reached"


@contextlib.contextmanager
def _threads(uid: int, count: int = 100) -> Iterator[None]:
    """Another process of that user with so many threads."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        if os.geteuid() == 0:
            os.setgid(uid)
            os.setuid(uid)
        for _ in range(count - 1):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        os.write(writer, b"x")
        time.sleep(600)
        os._exit(0)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"x"
        yield
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


DEFINED = """
from worker.isolation import confine, system
def refuse(*_, **__): raise PermissionError("refused")
"""
REFUSED = DEFINED + "system.unshare = refuse"
PLAIN = """
import os, sys
sys.path.append({support!r})
from worker import {name}
{without}
sys.argv[1:] = {arguments!r}
{name}.main()
"""


@pytest.mark.parametrize(("uid", "without"), [(NOBODY, ""), (OTHER, AS_OTHER)])
def test_other_threads_of_the_user_stop_neither_decoder_nor_converter(
    target: dict[str, Any], place: Path, uid: int, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without and os.geteuid() != 0:
        pytest.skip("only root can start processes of another user: NOT tested")
    decoder, image = decoding.Decoder(), np.arange(64, dtype=np.uint8).reshape(8, 8)
    with _threads(uid):
        with monkeypatch.context() as patched:
            _substituted(patched, decoding, PLAIN, without=without, name="decoder")
            found = decoder.decode(pictures.png(image), shape=(1, 8, 8), most=1)
        decoder.close()
        assert (found == image).all()
        if without:
            Path(target["output"]).touch()
            for path in place.rglob("*"):
                os.chown(path, OTHER, OTHER)
        _substituted(monkeypatch, sandbox, PLAIN, without=without, name="sandbox")
        request = {"what": "dataset", "files": {"mine.npz": target["input"]}, "out": target["output"]}
        assert sandbox.convert(request, seconds=60.0, memory=MEMORY)["columns"]["count"] == 4


FILES = {
    name
    for name in escape.ATTEMPTS
    if any(word in name for word in ("read", "list", "write", "create", "environ", "memory of"))
}


def test_without_landlock_the_filter_still_refuses_sockets_processes_and_changes(
    target: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _substituted(monkeypatch, sandbox, CONVERTER, without="landlock.abi = refuse\nsystem.unshare = refuse")
    found = _in_converter(target)
    assert _reached(found) <= FILES
    assert found["missing"] == ["network namespace", "Landlock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has such files: NOT tested")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_without_landlock_a_converter_of_root_reads_nothing_that_is_open_to_root_alone(
    target: dict[str, Any], mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The input is one of root's files, in a folder that is closed to others, and is converted."""
    Path(target["input"]).chmod(mode)
    _substituted(monkeypatch, sandbox, CONVERTER, without="landlock.abi = refuse")
    found = _in_converter(target)
    closed = {
        "list the data folder",
        "list blobs",
        "read a blob",
        "write a blob",
        "read the database",
    }
    assert _reached(found) & {*closed, "read a file of the home folder", "write the database"} == set()
    assert "Landlock" in found["missing"]
    assert len(open_dataset(Path(target["output"]))) == 4
    assert Path(target["output"]).stat().st_uid == 0


def test_rules_that_landlock_refuses_end_the_process_instead_of_all_rules() -> None:
    code = (
        "from pathlib import Path; from worker.isolation import support\n"
        "from worker.isolation.confine import Confinement, NotConfined, confine\n"
        "try: confine(Confinement(limits=support.TRIAL_LIMITS, outputs=(Path('/absent/file'),)))\n"
        "except NotConfined as error: print(error)"
    )
    _restrictions()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "expected Landlock rules for the files of this process" in done.stdout, done.stderr


def test_a_restriction_that_is_missing_in_a_conversion_is_logged_once(
    target: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _substituted(monkeypatch, sandbox, PLAIN, name="sandbox", without=REFUSED)
    request = {"what": "dataset", "files": {"mine.npz": target["input"]}, "out": target["output"]}
    support._logged.clear()
    with caplog.at_level("WARNING", "radii.isolation"):
        for _ in range(2):
            sandbox.convert(request, seconds=60.0, memory=MEMORY)
    said = [record.message for record in caplog.records if "network namespace (refused)" in record.message]
    assert len(said) == 1


@pytest.mark.parametrize("without", [REFUSED, "confine.landlock.ruleset = refuse"])
def test_a_decoder_reports_what_it_lacks_before_it_decodes(
    without: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _restrictions()
    more = "" if without == REFUSED else DEFINED + without
    _substituted(monkeypatch, decoding, PLAIN, name="decoder", without=more or without)
    decoder, image = decoding.Decoder(), np.zeros((8, 8), np.uint8)
    support._logged.clear()
    try:
        if more:
            with pytest.raises(NotConfined, match="refused"):
                decoder.decode(pictures.png(image), shape=(1, 8, 8), most=1)
        else:
            decoder.decode(pictures.png(image), shape=(1, 8, 8), most=1)
            assert any("network namespace (refused)" in record.message for record in caplog.records)
    finally:
        decoder.close()


def test_the_folder_of_registered_architectures_gives_its_modules_and_no_data(
    target: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _restrictions()
    folder = place / "operator"
    (folder / "below").mkdir(parents=True)
    for name in ("architectures.toml", "nets.py", "data.zip", "credentials.toml", "below/secret"):
        (folder / name).write_text("")
    tried = {name: f"escape._read({str(folder / name)!r})" for name in ("nets.py", "data.zip", "credentials.toml")}
    tried |= {"list": f"escape._list({str(folder)!r})", "list below": f"escape._list({str(folder / 'below')!r})"}
    chosen = "escape.ATTEMPTS = {{" + ", ".join(f"{name!r}: {code}" for name, code in tried.items()) + "}}"
    _substituted(monkeypatch, sandbox, CONVERTER, without=chosen.replace("{{", "{").replace("}}", "}"))
    assert _reached(_in_converter(target, architectures=str(folder / "architectures.toml"))) == {"nets.py"}


def test_without_the_filter_landlock_still_closes_files_tcp_and_signals(
    target: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _restrictions()
    tried = FILES | {"connect by TCP", "connect to an abstract socket", "signal a process"}
    chosen = f"escape.ATTEMPTS = {{name: escape.ATTEMPTS[name] for name in {sorted(tried)!r}}}"
    lacking = ("seccomp.restrict = refuse", "system.unshare = refuse", "os.setresuid = refuse", chosen)
    _substituted(monkeypatch, sandbox, CONVERTER, without="\n".join(lacking))
    found = _in_converter(target)
    assert _reached(found) == set()
    assert found["missing"] == ["network namespace", *(["unprivileged user"] if os.geteuid() == 0 else []), "seccomp"]


THREADS = """
import threading, time
from worker.isolation import support
from worker.isolation.confine import Confinement, {function}
[threading.Thread(target=time.sleep, args=(1,)).start() for _ in range({threads} - 1)]
{function}({arguments})
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("function", "arguments"), [("confine", "Confinement(limits=support.TRIAL_LIMITS)"), ("confine_copy", "")]
)
def test_a_process_is_confined_while_it_has_one_thread(threads: int, function: str, arguments: str) -> None:
    code = THREADS.format(function=function, threads=threads, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode == 0) == (threads == 1)
    assert ("one thread, got 2" in done.stderr) == (threads == 2)


CONFINED = """
import ctypes, mmap, sys
from worker.isolation import support
from worker.isolation.confine import Confinement, confine
confine(Confinement(limits=support.TRIAL_LIMITS))
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
    code = "from worker.orphans import die_with_parent, ends_with_parent; die_with_parent()\n" + CONFINED
    done = subprocess.run(
        [sys.executable, "-c", code.replace('print("confined"', "print(ends_with_parent()")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n", done.stderr


def test_no_process_of_the_decoder_is_left_behind() -> None:
    decoder = decoding.Decoder()
    decoder.start()
    assert decoder._process is not None
    pid = decoder._process.pid
    decoder.close()
    assert pid not in system.children(os.getpid())
