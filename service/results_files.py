"""Uploaded results files as runs to compare: small ones are read here, large ones in a process of their own.

Reading takes about a second of processor time for each MiB, and thirty times the file's size in memory. In this process
that would delay every other request. The other process (``results_process``) has limits on memory and time and answers with
arrays.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rs_core.aligned import Run, run_of
from rs_core.certify.decision import Certificate
from rs_core.errors import InvalidResults, RadiiError
from rs_core.procedure_text import Made
from rs_core.report import Facts
from rs_core.tally import Columns
from rs_core.text_lines import Limits
from rs_core.tsv_reader import read_results
from service import records
from service.errors import TooManyWait
from worker import launch

NDJSON = (".ndjson", ".jsonl")
SMALL = 64 * 2**10
"""Bytes up to which a file is read in this process, in the thread of its request."""
SECONDS = 30
"""For one large file."""
AT_ONCE = 2
"""Large files that are read at a time, of all tenants."""
PATIENCE = 10.0
"""Seconds for which a request waits until it may read a large file."""
TYPES = {
    "index": np.int64,
    "label": np.int64,
    "prediction": np.int64,
    "radius": np.float64,
    "p_lower": np.float64,
    "failed": np.bool_,
    "full": np.int64,
}
"""Of the columns, in the order in which they are sent."""

_reading = threading.BoundedSemaphore(AT_ONCE)


def read_run(path: Path, *, run: str, file: str, rows: int, memory: int) -> Run:
    """Reads a results file of certificates: NDJSON by the ending of its name, else the field's TSV.

    Args:
        path: Where its bytes are.
        run: Name of the run.
        file: Name of the file, for errors.
        rows: Most rows that it may have.
        memory: Bytes of address space of the process that reads a large file.

    Raises:
        InvalidResults: It is not valid, has too many rows, or cannot be read within the limits.
        TooManyWait: Too many large files are being read.
    """
    if path.stat().st_size <= SMALL:
        return run_from(path, run=run, file=file, rows=rows)
    with _turn():
        request = {"path": str(path.absolute()), "run": run, "file": file, "rows": rows, "memory": memory}
        return _in_process(request | {"seconds": SECONDS})


def run_from(path: Path, *, run: str, file: str, rows: int) -> Run:
    """The same, in this process whatever the size."""
    if file.endswith(NDJSON):
        found: Any = records.read_ndjson(path, file, Limits(rows=rows, line=records.LONGEST_LINE))
    else:
        found = read_results(path, name=file, limits=Limits(rows=rows))
    certificates = [row for row in found if isinstance(row, Certificate)]
    if len(certificates) < len(found):
        raise InvalidResults(expected="certificates", got="predictions, which have no radii", where=file)
    return run_of(run, certificates)


def from_answer(answer: bytes) -> Run:
    """The run that the other process has written.

    Raises:
        RadiiError: The problem that it has written instead.
        ValueError: It is neither.
    """
    line, _, data = answer.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    if "problem" in head:
        raise RadiiError.from_problem(head["problem"])
    columns: dict[str, Any] = {}
    place = 0
    for name, kind in TYPES.items():
        columns[name] = np.frombuffer(data, dtype=kind, count=head["rows"], offset=place)
        place += columns[name].nbytes
    facts = Facts(**{**head["facts"], "how": Made(**head["facts"]["how"])})
    rest = {**head["run"], "settled": tuple(head["run"]["settled"])}
    return Run(rows=Columns(**columns), facts=facts, **rest)


def _in_process(request: dict[str, Any]) -> Run:
    limits = f"{SECONDS} s and {request['memory'] // 2**20:,} MiB of memory"
    refused = InvalidResults(
        expected=f"a file that can be read within {limits}",
        got="one that cannot; `radii compare` reads it on your own machine",
        where=request["file"],
    )
    try:
        made = subprocess.run(
            launch.command("service.results_process"),
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:  # and killed
        raise refused from None
    try:
        return from_answer(made.stdout)
    except RadiiError:
        raise
    except (ValueError, LookupError, TypeError):
        raise refused from None


@contextmanager
def _turn() -> Iterator[None]:
    if not _reading.acquire(timeout=PATIENCE):
        raise TooManyWait(expected=f"at most {AT_ONCE} large results files read at a time", got="more; try again")
    try:
        yield
    finally:
        _reading.release()
