"""Conditions of the partial indexes as SQL expressions, with literals instead of parameters: SQLite uses a partial index only
for a query that repeats its condition word for word.
"""

from typing import Any

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from radii.worker.store.models.tables import Job, Shard


def waits(job: type[Job] = Job) -> ColumnElement[bool]:
    """That a job is queued or running: a worker may have a part of it to claim."""
    return job.state.in_([literal_column("'queued'"), literal_column("'running'")])


def converts(job: type[Job] = Job) -> ColumnElement[bool]:
    """That a job is a conversion."""
    return job.kind == literal_column("'convert'")


def no_conversion(job: type[Job] = Job) -> ColumnElement[bool]:
    """That a job is of another kind."""
    return job.kind != literal_column("'convert'")


def is_urgent(job: type[Job] = Job) -> ColumnElement[bool]:
    """That somebody waits for a job (``jobs.URGENT``)."""
    return job.priority >= literal_column("1000")


def is_ready(shard: type[Shard] = Shard) -> ColumnElement[bool]:
    """That a shard is free to be claimed, as far as it is up to the shard."""
    return shard.state == literal_column("'ready'")


def keeps_place(shard: type[Shard] = Shard) -> ColumnElement[Any]:
    """That a shard says where it is to be resumed."""
    return shard.resume.is_not(None)


class unindexed(FunctionElement[Any]):
    """A column whose index SQLite must not use: another condition of the query selects fewer rows. Without
    statistics it takes every index for equally good; Postgres has statistics, and its queries stay as they are."""

    inherit_cache = True


@compiles(unindexed, "sqlite")
def _sqlite(element: unindexed, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(unindexed)
def _any(element: unindexed, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


def is_ready_of_few() -> ColumnElement[bool]:
    """The same as :func:`is_ready`, where the query names the few jobs whose shards are meant."""
    return unindexed(Shard.state) == "ready"
