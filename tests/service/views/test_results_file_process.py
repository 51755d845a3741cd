"""Code that runs inside the process that reads a results file reaches nothing but that file, and its answer is not believed."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import escape, escape_target

from radii.rs_core.errors import InvalidResults
from radii.service.views import results_files
from radii.worker.isolation.identity import NOBODY

HOSTILE = """
import sys
sys.path.append({support!r})
from tests_support import escape
import json, os
from radii.service.views import results_file_process, results_files
real = results_files.run_from
def run_from(path, **how):
    run = real(path, **how)
    target = json.loads({target!r})
    found = {{str(pid): escape.attempts({{**target, "pid": pid}}) for pid in (os.getppid(), target["victim"])}}
    who = [os.getuid(), os.getgid(), os.getgroups()]
    body = {{"attempts": found, "descriptors": escape.descriptors(), "who": who}}
    with open({report}, "w") as file:
        json.dump(body, file)
    return run
results_files.run_from = run_from
results_file_process.main()
"""
MEMORY = 2**30
ANSWERING = "import sys\nsys.stdin.read()\n"
SUPPORT = str(Path(escape.__file__).parents[1])


def _substituted(monkeypatch: pytest.MonkeyPatch, code: str, **more: Any) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(
        results_files.subprocess, "Popen", lambda _, **how: real([sys.executable, "-P", "-c", code], **how, **more)
    )


def _read(path: Path, rows: int = 10) -> Any:
    return results_files.read_run(path, run="theirs", file="theirs.tsv", rows=rows, memory=MEMORY)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results file that is read in another process."""
    monkeypatch.setattr(results_files, "SMALL", -1)
    path = tmp_path / "rows.tsv"
    path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t1\n")
    return path


@pytest.fixture
def target(tmp_path: Path, results: Path) -> Iterator[dict[str, Any]]:
    """Things to reach; the input is a results file."""
    with escape_target.things_to_reach(tmp_path, MEMORY) as found:
        Path(found["input"]).write_bytes(results.read_bytes())
        Path(found["output"]).touch()
        yield found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these restrictions: they were NOT tested")
def test_code_in_a_results_file_reaches_nothing(target: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    escape_target.need_restrictions()
    reader, writer = os.pipe()
    code = HOSTILE.format(support=SUPPORT, target=json.dumps(target), report=writer)
    _substituted(monkeypatch, code, pass_fds=(writer,))
    collected = ThreadPoolExecutor(1).submit(lambda: os.fdopen(reader).read())
    try:
        assert _read(Path(target["input"])).evaluated == 1  # what it is for still works
    finally:
        os.close(writer)
    found = json.loads(collected.result())
    assert escape_target.reached(found) == set()
    assert found["who"] == [NOBODY, NOBODY, []] if os.geteuid() == 0 else found["who"][0] == os.getuid()
    assert {where.split(":")[0] for where in found["descriptors"].values()} <= {"pipe", "/dev/null"}


def _answer(**changed: Any) -> bytes:
    """One row, as the process writes it."""
    values = {"index": 0, "label": 1, "prediction": 1, "radius": 0.5, "p_lower": 0.9, "failed": 0, "full": 1} | changed
    kinds = results_files.TYPES | {"failed": np.uint8}
    columns = [np.array([values[name]], kind).tobytes() for name, kind in kinds.items()]
    facts = {"how": {}, "n": 1000, "sigma": 0.25} | changed.get("facts", {})
    run = {"total": 1, "cap": None, "told": True, "settled": [], "unfinished": 0, "facts": facts}
    head = {"rows": changed.get("rows", 1), "run": run | changed.get("run", {})}
    return json.dumps(head).encode() + b"\n" + b"".join(columns)


def test_the_answer_of_one_row_is_a_run(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _substituted(monkeypatch, ANSWERING + f"sys.stdout.buffer.write({_answer()!r})")
    assert (_read(results).name, _read(results).evaluated) == ("theirs", 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": 2},
        {"rows": 11},
        {"rows": -1},
        {"index": -1},
        {"label": -2},
        {"prediction": -2},
        {"radius": float("nan")},
        {"radius": float("inf")},
        {"radius": -0.5},
        {"p_lower": 2.0},
        {"failed": 7},
        {"full": 2},
        {"facts": {"n": "many"}},
        {"facts": {"how": {"sampling": "mine"}}},
        {"run": {"name": "another"}},
        {"run": {"total": -5}},
    ],
    ids=str,
)
def test_an_answer_that_no_reader_gives_is_refused(
    results: Path, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _substituted(monkeypatch, ANSWERING + f"sys.stdout.buffer.write({_answer(**changed)!r})")
    with pytest.raises(InvalidResults, match="got one that cannot"):
        _read(results)


ENDS = {
    "a signal": ("import os\nos.kill(os.getpid(), 9)", "was ended by signal 9 (SIGKILL)", ""),
    "an exception": ("raise ValueError('these bytes')", "ended with code 1", "ValueError: these bytes"),
    "an answer without end": ("while True: print('x' * 65536)", "was ended because its answer was too long", ""),
    "no answer": ("", "gave no answer that can be used", ""),
}


@pytest.mark.parametrize("end", ENDS)
def test_how_the_process_ended_is_logged(
    results: Path, end: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code, how, said = ENDS[end]
    _substituted(monkeypatch, ANSWERING + code)
    with caplog.at_level(logging.WARNING, "radii.service"), pytest.raises(InvalidResults, match="got one that cannot"):
        _read(results)
    (record,) = caplog.records
    assert record.message == f"the process that reads a results file {how}"
    assert record.path == str(results)  # type: ignore[attr-defined]
    assert getattr(record, "stderr", "").endswith(said)
