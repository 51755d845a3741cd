"""Converter and decoder with code of a test in them, to see what that reaches."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from radii.worker.sandbox import converter, decoder_client
from tests_support import escape

MEMORY = 4 * 2**30
OTHER = 4242
"""A user without rights."""
AS_OTHER = (
    "from radii.worker.isolation import descriptors; descriptors.lend_modules(); "  # the interpreter may be in root's home
    f"os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})"
)
CONVERTER = """
import sys
sys.path.append({support!r})
from tests_support import escape
import json, os, radii.worker.sandbox.converter as sandbox
from radii.worker.isolation import identity, landlock, seccomp, system
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
from radii.worker.sandbox import decoder
from radii.worker.isolation import identity, landlock, seccomp, system
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
DEFINED = """
from radii.worker.isolation import confine, system
def refuse(*_, **__): raise PermissionError("refused")
"""
REFUSED = DEFINED + "system.unshare = refuse"
PLAIN = """
import os, sys
sys.path.append({support!r})
from radii.worker.sandbox import {name}
{without}
sys.argv[1:] = {arguments!r}
{name}.main()
"""
SUPPORT = str(Path(escape.__file__).parents[1])
FILES = {
    name
    for name in escape.ATTEMPTS
    if any(word in name for word in ("read", "list", "write", "create", "environ", "memory of"))
}


def substituted(monkeypatch: pytest.MonkeyPatch, module: Any, code: str, **more: Any) -> None:
    real = subprocess.Popen

    def start(command: list[str], **how: Any) -> Any:
        arguments = command[command.index(module.__name__.replace("decoder_client", "decoder")) + 1 :]
        filled = code.format(support=SUPPORT, arguments=arguments, **more)
        return real([sys.executable, "-P", "-c", filled], **how)

    monkeypatch.setattr(module.subprocess, "Popen", start)


def in_converter(target: dict[str, Any], **more: Any) -> dict[str, Any]:
    request = {"what": "dataset", "files": {"mine.npz": target["input"]}, "out": target["output"], "target": target}
    answer = converter.convert(request | more, seconds=60.0, memory=MEMORY)
    found: dict[str, Any] = json.loads("".join(answer["columns"]["class_names"]))
    return found


def in_decoder(target: dict[str, Any]) -> dict[str, Any]:
    decoder = decoder_client.Decoder(MEMORY)
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


@contextlib.contextmanager
def other_threads(uid: int, count: int = 100) -> Iterator[None]:
    """Another process of that user, with this number of threads."""
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
