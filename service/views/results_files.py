"""Uploaded results files as runs to compare: small ones are read here, large ones in a process of their own.

Reading takes about a second of processor time for each MiB, and thirty times the file's size in memory. In this process
that would delay every other request. The other process (``results_file_process``) is confined and answers with arrays. Code in a file
may have written that answer, so it is bounded and checked like any input.
"""

import json
import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from radii.rs_core.comparisons.alignment import Run, run_of
from radii.rs_core.errors import InvalidResults, RadiiError
from radii.rs_core.records import Certificate
from radii.rs_core.reports.certification import SharedParameters
from radii.rs_core.results import ndjson
from radii.rs_core.results.aggregate import Columns
from radii.rs_core.results.text_lines import Limits
from radii.rs_core.results.tsv_reader import read_results
from radii.service.errors import TooManyWait
from radii.worker.isolation.exchange import ProcessExchange, TooLong
from radii.worker.isolation.identity import NOBODY
from radii.worker.processes import launch
from radii.worker.processes.child_output import describe, written
from radii.worker.sandbox.converter_answer import Problem

log = logging.getLogger("radii.service")

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

ROW_BYTES = sum(np.dtype(kind).itemsize for kind in TYPES.values())
HEAD_BYTES = 2**20
"""Of an answer: the columns of a row, and the most that precedes the columns."""

_reading = threading.BoundedSemaphore(AT_ONCE)


class _Facts(BaseModel):
    """What an answer says of a run as a whole."""

    model_config = ConfigDict(extra="forbid")

    total: Annotated[int, Field(ge=0, lt=2**53)]
    cap: Annotated[float, Field(ge=0)] | None
    told: bool
    settled: Annotated[tuple[float, ...], Field(max_length=10_000)]
    unfinished: Annotated[int, Field(ge=0, lt=2**53)]
    facts: SharedParameters


class _Head(BaseModel):
    """The line that precedes the columns: a problem, or the number of rows and what they share."""

    problem: Problem | None = None
    rows: Annotated[int, Field(ge=1)] | None = None
    run: _Facts | None = None


def read_run(path: Path, *, run: str, file: str, rows: int, memory: int, uid: int = NOBODY) -> Run:
    """Reads a results file of certificates: NDJSON by the ending of its name, else the field's TSV.

    Args:
        path: Where its bytes are.
        run: Name of the run.
        file: Name of the file, for errors.
        rows: Most rows that it may have.
        memory: Bytes of address space of the process that reads a large file.
        uid: User and group of the process that reads a large file where this process is root's.

    Raises:
        InvalidResults: It is not valid, has too many rows, or cannot be read within the limits.
        TooManyWait: Too many large files are being read.
    """
    if path.stat().st_size <= SMALL:
        return run_from(path, run=run, file=file, rows=rows)
    with _turn():
        request = {"path": str(path.absolute()), "run": run, "file": file, "rows": rows}
        return _in_process(request | {"uid": uid, "memory": memory, "seconds": SECONDS})


def run_from(path: Path, *, run: str, file: str, rows: int) -> Run:
    """The same, in this process whatever the size."""
    if file.endswith(NDJSON):
        found: Any = ndjson.read_ndjson(path, file, Limits(rows=rows, line=ndjson.LONGEST_LINE))
    else:
        found = read_results(path, name=file, limits=Limits(rows=rows))
    certificates = [row for row in found if isinstance(row, Certificate)]
    if len(certificates) < len(found):
        raise InvalidResults(expected="certificates", got="predictions, which have no radii", where=file)
    return run_of(run, certificates)


def from_answer(answer: bytes, *, run: str, rows: int) -> Run:
    """The run that the other process has written.

    Args:
        answer: What it wrote.
        run: Name of the run.
        rows: Most rows that the file may have.

    Raises:
        RadiiError: The problem that it has written instead.
        ValueError: It is neither.
    """
    line, _, data = answer.partition(b"\n")
    head = _Head.model_validate(json.loads(line))
    if head.problem is not None:
        raise RadiiError.from_problem(head.problem.model_dump())
    if head.rows is None or head.run is None or head.rows > rows or len(data) != head.rows * ROW_BYTES:
        raise ValueError("the columns of at most as many rows as were asked for")
    columns: dict[str, Any] = {}
    place = 0
    for name, kind in TYPES.items():
        columns[name] = np.frombuffer(data, dtype=kind, count=head.rows, offset=place)
        place += columns[name].nbytes
    _check_columns(columns)
    return Run(name=run, rows=Columns(**columns), **dict(head.run))


def _check_columns(columns: dict[str, Any]) -> None:
    """Raises :class:`ValueError` for values that no reader of a file gives."""
    index, radius, p_lower = columns["index"], columns["radius"], columns["p_lower"]
    possible = (
        index[0] >= 0 and (np.diff(index) > 0).all(),
        all((columns[name] >= -1).all() for name in ("label", "prediction", "full")),
        (columns["full"] <= 1).all() and (columns["failed"].view(np.uint8) <= 1).all(),
        (np.isfinite(radius) & (radius >= 0)).all(),
        (np.isnan(p_lower) | ((p_lower >= 0) & (p_lower <= 1))).all(),
    )
    if not all(possible):
        raise ValueError("columns of certificates")


def _in_process(request: dict[str, Any]) -> Run:
    process = subprocess.Popen(
        launch.command("radii.service.views.results_file_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=launch.bare_environment(),
    )
    exchange = ProcessExchange(process, json.dumps(request).encode(), most=HEAD_BYTES + request["rows"] * ROW_BYTES)
    how = ""
    try:
        if not exchange.ended(SECONDS):
            how = f"was ended after {SECONDS} s"
    except TooLong:
        how = "was ended because its answer was too long"
    finally:
        process.kill()
        code = process.wait()
        exchange.close()
    try:
        if how:
            raise ValueError(how)
        return from_answer(bytes(exchange.answer), run=request["run"], rows=request["rows"])
    except RadiiError:
        raise
    except (ValueError, LookupError, TypeError):
        how = how or (describe(code) if code else "gave no answer that can be used")
        more = {"path": request["path"]} | written(exchange.errors)
        log.warning("the process that reads a results file %s", how, extra=more)
    limits = f"{SECONDS} s and {request['memory'] // 2**20:,} MiB of memory"
    raise InvalidResults(
        expected=f"a file that can be read within {limits}",
        got="one that cannot; `radii compare` reads it on your own machine",
        where=request["file"],
    )


@contextmanager
def _turn() -> Iterator[None]:
    if not _reading.acquire(timeout=PATIENCE):
        raise TooManyWait(expected=f"at most {AT_ONCE} large results files read at a time", got="more; try again")
    try:
        yield
    finally:
        _reading.release()
