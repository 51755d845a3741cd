"""Results as files: CSV, the field's TSV, and one JSON object per line; constant memory, however many rows and classes there
are.

Rows are read in batches, each in a session of its own, so that a slow download holds no connection.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from radii.rs_core.results.codec import csv_lines
from radii.rs_core.results.tsv import tsv_lines
from radii.worker.store.database import Database
from radii.worker.store.result_rows import by_numbers

PIECE = 2**16
MEDIA_TYPES = {"csv": "text/csv", "tsv": "text/tab-separated-values", "ndjson": "application/x-ndjson"}


def pieces(
    database: Database,
    job_id: str,
    format: str,
    *,
    record: type[Any],
    read: Callable[..., Iterator[Any]],
    show: Callable[[Any], BaseModel],
) -> Iterator[str]:
    """A job's rows as the pieces of a file; in CSV and TSV an abstention is -1.

    Args:
        database: Where they are.
        job_id: The job.
        format: One of ``MEDIA_TYPES``; ``tsv`` is for certificates.
        record: What ``read`` gives.
        read: ``read(session, job_id, after=, limit=)``.
        show: From a record to its JSON answer.
    """
    rows = _rows(database, job_id, read)
    if format == "tsv":
        return _pieces(tsv_lines(rows))
    return _pieces(csv_lines(record, rows) if format == "csv" else _json_lines(rows, show))


def _rows(database: Database, job_id: str, read: Callable[..., Iterator[Any]]) -> Iterator[Any]:
    after = -1
    while True:
        with database.read() as session:
            batch = next(by_numbers(read(session, job_id, after=after)), [])
        yield from batch
        if not batch:
            return
        after = batch[-1].index


def _json_lines(rows: Iterable[Any], view: Callable[[Any], BaseModel]) -> Iterator[str]:
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
