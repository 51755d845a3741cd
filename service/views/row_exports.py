"""Results as files: CSV, the field's TSV, and one JSON object per line; constant memory, however many rows and classes there
are.

Rows are read in batches, each in a session of its own, so that a slow download holds no connection.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel

from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.results.codec import csv_lines
from radii.rs_core.results.tsv import tsv_lines
from radii.service.views import resource_views
from radii.worker.store import evaluations as evaluation_rows
from radii.worker.store import results
from radii.worker.store.database import Database
from radii.worker.store.result_rows import by_numbers

Record = TypeVar("Record", Certificate, Prediction, EvaluationRecord)

PIECE = 2**16
MEDIA_TYPES = {"csv": "text/csv", "tsv": "text/tab-separated-values", "ndjson": "application/x-ndjson"}


def certificates(database: Database, job_id: str, format: str) -> Iterator[str]:
    """A job's certificates as the pieces of a file; in CSV and TSV an abstention is -1."""
    rows = _rows(database, job_id, results.certificates)
    if format == "tsv":
        return _pieces(tsv_lines(rows))
    if format == "csv":
        return _pieces(csv_lines(Certificate, rows))
    return _pieces(_json_lines(rows, resource_views.certificate))


def predictions(database: Database, job_id: str, format: str) -> Iterator[str]:
    """A job's predictions as the pieces of a file."""
    rows = _rows(database, job_id, results.predictions)
    if format == "csv":
        return _pieces(csv_lines(Prediction, rows))
    return _pieces(_json_lines(rows, resource_views.prediction))


def evaluations(database: Database, job_id: str, format: str) -> Iterator[str]:
    """What an evaluate job has found as the pieces of a file."""
    rows = _rows(database, job_id, evaluation_rows.read)
    if format == "csv":
        return _pieces(csv_lines(EvaluationRecord, rows))
    return _pieces(_json_lines(rows, resource_views.evaluated))


def _rows(database: Database, job_id: str, read: Callable[..., Iterator[Record]]) -> Iterator[Record]:
    after = -1
    while True:
        with database.read() as session:
            batch = next(by_numbers(read(session, job_id, after=after)), [])
        yield from batch
        if not batch:
            return
        after = batch[-1].index


def _json_lines(rows: Iterable[Record], view: Callable[[Record], BaseModel]) -> Iterator[str]:
    for row in rows:
        yield view(row).model_dump_json() + "\n"


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """The same text in fewer parts, since each part is a hop between threads."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)
