"""Records of results as rows of their tables and back, in statements of bounded size; no entities, for there are very many.

What is the same for all rows of a job (``OF_THE_JOB``) is kept in its specification and in no column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.store.columns import Base

Record = TypeVar("Record", bound=Any)

OF_THE_JOB = ("sampling", "radii", "bound", "noise", "precision", "robust_weight")
"""What every certificate says of its procedure, and is the same for all of a job: kept in the job's specification."""
MOSTLY_NONE = ("standard",)
"""Lists that few certificates have."""


def insert_new(session: Session, table: type[Base], job_id: str, records: Sequence[Record]) -> list[Record]:
    """Inserts the records of inputs that have no row yet; returns those."""
    new = [{"job_id": job_id, **columns_of(record)} for record in records]
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
    session: Session, table: type[Any], record: type[Any], job_id: str, *conditions: Any, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The record's fields of each row, in the order of the index."""
    names = [name for name in record.__dataclass_fields__ if name not in OF_THE_JOB]
    query = select(*(getattr(table, name) for name in names)).where(table.job_id == job_id, *conditions)
    for row in session.execute(query.order_by(table.index).limit(limit).execution_options(yield_per=1000)):
        yield dict(zip(names, row, strict=True))


def columns_of(record: Any) -> dict[str, Any]:
    """A record as values by column."""
    known = {name: value for name, value in asdict(record).items() if name not in OF_THE_JOB}
    return known | {name: known[name] or None for name in MOSTLY_NONE if name in known}


def between(column: Any, indices: Sequence[int]) -> list[Any]:
    """A range condition, since the positions of one shard are evenly spaced: no list of thousands of parameters."""
    return [column >= indices[0], column <= indices[-1]] if indices else [column < 0]
