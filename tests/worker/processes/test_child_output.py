"""What a child writes is held back until it is ready, passed on afterwards, and turned into a sentence where it never is."""

import os
import subprocess
import sys

import pytest

from radii.worker.processes.child_output import (
    KEPT,
    LONGEST,
    ProcessOutput,
    describe,
    last_words,
    why_not_started,
    written,
)

TORCHLESS = """Traceback (most recent call last):
  File "child.py", line 1, in <module>
    import torch
ModuleNotFoundError: No module named 'torch'"""


def test_nothing_is_shown_before_the_release_and_every_line_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    read_end, write_end = os.pipe()
    output = ProcessOutput(os.fdopen(read_end, "rb"))
    with os.fdopen(write_end, "wb", buffering=0) as stream:
        stream.write(b"first\n\xff\n")
        assert capfd.readouterr().err == ""
        output.release()
        stream.write(b"third\n")
    assert output.tail() == ["first", "\ufffd", "third"]
    assert capfd.readouterr().err.splitlines() == ["first", "\\xff", "third"]


def test_a_child_that_writes_without_end_is_neither_kept_waiting_nor_kept_in_memory() -> None:
    code = "import sys\nfor n in range(200_000): print('x' * 50, n, file=sys.stderr)"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        output = ProcessOutput(process.stderr)
        assert process.wait(timeout=120) == 0
        tail = output.tail(60.0)
    assert len(tail) == 20 and tail[-1].endswith("199999")


def test_the_reason_is_the_package_that_is_missing_or_the_exception_or_how_it_ended() -> None:
    torchless = why_not_started("ended with code 1", TORCHLESS.splitlines())
    assert torchless == "the package torch is not installed; install it with `pip install 'radii[server,torch]'`"
    other = why_not_started("ended with code 1", ["ModuleNotFoundError: No module named 'radii.worker.child'"])
    assert other.startswith("the module radii.worker.child cannot be imported; install radii again")
    broken = [
        "Traceback",
        "radii.rs_core.errors.InvalidSpec: The specification is not valid: expected cpu, got gpu.",
        "noise",
    ]
    assert last_words(broken) == broken[1]
    assert why_not_started("was ended by signal 9 (SIGKILL)", []) == "the process was ended by signal 9 (SIGKILL)"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "ended with code 1"),
        (-9, "was ended by signal 9 (SIGKILL)"),
        (-40, "was ended by signal 40"),
        (None, "was ended"),
    ],
)
def test_every_end_has_words(code: int | None, words: str) -> None:
    assert describe(code) == words


def test_of_what_a_process_wrote_a_bounded_part_is_logged() -> None:
    kept = written(b"x" * 10**6 + b"\n" * 10 + b"last \xff line\n" * 1000)["stderr"].splitlines()
    assert len(kept) == KEPT and max(map(len, kept)) <= LONGEST and kept[-1] == "last \ufffd line"
    assert written(b" \n") == {}
