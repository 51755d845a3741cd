"""Large results files are read in another process, within limits, and give the same run as here."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.over_http import Service, certificate

from radii.rs_core.comparisons.alignment import Run
from radii.rs_core.errors import InvalidResults
from radii.rs_core.results import codec
from radii.rs_core.specs.jobs import CertifySpec, dump_spec
from radii.service.errors import TooManyWait
from radii.service.views import results_files

ROWS = 40_000
LEAST = 2 * 2**30 // results_files.AT_ONCE
"""Bytes of memory of one file, with the lowest setting."""


def tsv(folder: Path, rows: int = ROWS, last: str = "") -> Path:
    path = folder / "rows.tsv"
    lines = (
        f"{i}\t{i % 10}\t{i % 7}\t{0.25 + i / 10**6:.6f}\t{int(i % 10 == i % 7)}\t0:00:01.5\n" for i in range(rows)
    )
    path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n" + "".join(lines) + last)
    return path


def ndjson(folder: Path) -> Path:
    spec = CertifySpec(checkpoint="c", dataset="d", sigma=0.25, n=1000)
    path = folder / "rows.ndjson"
    rows = [json.dumps(codec.to_json(certificate(place, dump_spec(spec)))) for place in range(4_000)]
    path.write_text("\n".join(rows) + "\n")
    return path


def read(path: Path, rows: int = 10**6, memory: int = LEAST) -> Run:
    return results_files.read_run(path, run="theirs", file=path.name, rows=rows, memory=memory)


def assert_same(one: Run, other: Run) -> None:
    for name in results_files.TYPES:
        left, right = getattr(one.rows, name), getattr(other.rows, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    for name in ("name", "total", "facts", "cap", "told", "settled", "unfinished", "data"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("write", [tsv, ndjson])
def test_the_other_process_gives_the_same_run(tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    assert path.stat().st_size > results_files.SMALL
    here = results_files.run_from(path, run="theirs", file=path.name, rows=10**6)
    monkeypatch.setattr(results_files, "run_from", lambda *_, **__: pytest.fail("read in this process"))
    assert_same(read(path), here)


def test_small_files_are_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_files.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert read(tsv(tmp_path, 100)).evaluated == 100


def test_the_other_process_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidResults, match=rf"rows.tsv, line {ROWS + 2}\): expected a whole number .* as idx, got 'x'"
    ):
        read(tsv(tmp_path, last="x\t1\t1\t1\t1\t1\n"))
    with pytest.raises(InvalidResults, match="expected at most 39,999 rows, got more"):
        read(tsv(tmp_path), rows=ROWS - 1)


def test_a_file_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidResults, match="memory, got one that"):
        read(tsv(tmp_path), memory=2**20)


def test_a_file_that_takes_too_long_is_refused_and_its_process_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pipe.tsv"
    os.mkfifo(path)  # nobody writes: reading waits without end
    monkeypatch.setattr(results_files, "SECONDS", 2)
    monkeypatch.setattr(results_files, "SMALL", -1)
    with pytest.raises(InvalidResults, match="expected a file that can be read within 2 s"):
        read(path)
    assert not [entry for entry in Path("/proc").glob("[0-9]*") if is_reader(entry)]


def is_reader(process: Path) -> bool:
    """Whether it is a child of this process that reads a results file."""
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return (
            parent == os.getpid() and b"radii.service.views.results_file_process" in (process / "cmdline").read_bytes()
        )
    except OSError:
        return False  # it has ended


def test_only_so_many_large_files_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_files, "PATIENCE", 0.01)
    path = tsv(tmp_path)
    with (
        results_files._turn(),
        results_files._turn(),
        pytest.raises(TooManyWait, match="at most 2 large results files"),
    ):
        read(path)
    assert read(path).evaluated == ROWS


def test_nothing_of_the_working_directory_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tsv(tmp_path)
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'proof')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    assert read(path).evaluated == ROWS
    assert not (tmp_path / "proof").exists()


def test_a_hostile_number_holds_nobody_up(service: Service) -> None:
    header = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    body = header + "0\t1\t1\t" + "1" * 10**6 + "x\t1\t1\n"
    assert service.client.put("/v1/uploads/hostile.tsv", content=body.encode()).status_code == 201
    answer = service.client.get("/v1/compare", params={"file": "hostile.tsv"})
    assert answer.status_code == 422
    assert "lines of at most 65,536 bytes" in answer.json()["detail"] and len(answer.content) < 2_000


def test_facts_survive_the_way_back(tmp_path: Path) -> None:
    found = read(ndjson(tmp_path))
    assert asdict(found.facts)["how"]["sampling"] == "fixed"
    assert (found.facts.n, found.facts.sigma) == (1000, 0.25)


def test_the_largest_file_that_a_comparison_takes_is_read_within_the_limits(tmp_path: Path) -> None:
    line = ndjson(tmp_path).read_text().splitlines()[0]
    rows = 16 * 2**20 // (len(line) + 6)
    path = tmp_path / "full.ndjson"
    path.write_text("".join(line.replace('"index": 0', f'"index": {at}') + "\n" for at in range(rows)))
    assert 15 * 2**20 < path.stat().st_size <= 16 * 2**20
    assert read(path, rows=500_000).evaluated == rows


def test_a_tsv_of_as_many_rows_as_a_comparison_takes_is_read_within_the_limits(tmp_path: Path) -> None:
    assert read(tsv(tmp_path, 400_000), rows=500_000).evaluated == 400_000
