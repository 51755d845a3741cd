"""Records of results as rows of their tables and back, in statements of bounded size; no entities, for there are very many.

What is the same for all rows of a job (``OF_THE_JOB``) is kept in its specification and in no column.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radii.rs_core.records import Certificate
from radii.rs_core.results import codec
from radii.worker.store.models.column_types import Base
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.models.tables import Checkpoint, Job

Record = TypeVar("Record", bound=Any)

OF_THE_JOB = tuple(field.name for field in fields(Certificate) if field.name not in CertificateRow.__table__.columns)
"""What every certificate says of its procedure, and is the same for all of a job: kept in the job's specification."""
LISTS = tuple(name for name in codec.list_fields(Certificate) if name not in OF_THE_JOB)
"""Lists of a certificate, each with a number for each class."""
ROWS = 1_000
"""Rows that are read at a time, at most."""
NUMBERS = 1_000_000
"""Numbers in the lists of rows that are read at a time, but for one row that has more."""


def insert_new(session: Session, table: type[Base], job_id: str, records: Sequence[Record]) -> list[Record]:
    """Inserts the records of inputs that have no row yet; returns those."""
    new = [{"job_id": job_id, **columns_of(table, record)} for record in records]
    inserted = {index for _, index in insert(session, table, new, ["job_id", "index"])}
    return [record for record in records if record.index in inserted]


def insert(session: Session, table: type[Base], new: list[dict[str, Any]], key: list[str]) -> list[Any]:
    """``INSERT ... ON CONFLICT DO NOTHING``; returns the keys of the rows that were not there before."""
    if not new:
        return []
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing(index_elements=key)
    columns = [getattr(table, name) for name in key]
    return list(session.execute(statement.returning(*columns), new))


def read(
    session: Session,
    table: type[Any],
    record: type[Any],
    job_id: str,
    *conditions: Any,
    limit: int | None = None,
    without: Collection[str] = (),
) -> Iterator[dict[str, Any]]:
    """The record's fields of each row, in the order of the index; ``without`` some of them.

    Rows are asked for in queries of about ``NUMBERS`` numbers, so that memory does not grow with the number of classes.
    """
    names = [name for name in record.__dataclass_fields__ if name in table.__table__.columns and name not in without]
    query = select(*(getattr(table, name) for name in names)).where(table.job_id == job_id, *conditions)
    query = query.order_by(table.index)
    longest = 0 if set(LISTS) <= set(without) else len(LISTS) * _classes(session, job_id)
    last, left = None, limit
    while left is None or left > 0:
        size = max(1, min(ROWS, NUMBERS // max(1, longest), ROWS if left is None else left))
        following = query if last is None else query.where(table.index > last)
        found = [dict(zip(names, row, strict=True)) for row in session.execute(following.limit(size))]
        for stored in found:
            longest = max(longest, numbers_in(stored))
            last = stored["index"]
            yield stored
        if len(found) < size:
            return
        left = None if left is None else left - size


def by_numbers(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in lists of at most ``ROWS``, each with about ``NUMBERS`` numbers at most."""
    batch: list[Record] = []
    numbers = 0
    for record in records:
        batch.append(record)
        numbers += numbers_in(record)
        if len(batch) >= ROWS or numbers >= NUMBERS:
            yield batch
            batch, numbers = [], 0
    if batch:
        yield batch


def numbers_in(value: Any) -> int:
    """How many numbers there are in the lists of a record, or of its fields."""
    if isinstance(value, tuple | list):
        return len(value) if not value or isinstance(value[0], int | float) else sum(map(numbers_in, value))
    if isinstance(value, dict):
        return sum(map(numbers_in, value.values()))
    return sum(map(numbers_in, vars(value).values())) if is_dataclass(value) else 0


def _classes(session: Session, job_id: str) -> int:
    """Classes of the job's checkpoint; 0 where it has none."""
    query = select(Checkpoint.num_classes).join(Job, Job.checkpoint_id == Checkpoint.id)
    return session.scalar(query.where(Job.id == job_id)) or 0


def columns_of(table: type[Base], record: Any) -> dict[str, Any]:
    """A record as values by column of its table."""
    return {name: value for name, value in codec.values(record).items() if name in table.__table__.columns}


def done_among(session: Session, table: type[Any], job_id: str, indices: Sequence[int]) -> set[int]:
    """Which of ``indices`` (ascending) have their row already."""
    return set(session.scalars(select(table.index).where(table.job_id == job_id, *between(table.index, indices))))


def between(column: Any, indices: Sequence[int]) -> list[Any]:
    """A range condition, since the positions of one shard are evenly spaced: no list of thousands of parameters."""
    return [column >= indices[0], column <= indices[-1]] if indices else [column < 0]
