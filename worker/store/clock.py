"""The database's clock, as an expression: seconds since 1970, the same for every process, whatever its own clock says."""

from typing import Any

from sqlalchemy import Float, ScalarSelect, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class clock(FunctionElement[float]):
    """Now, by the database."""

    type = Float(53)
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite(element: clock, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql(element: clock, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


def instant() -> ScalarSelect[float]:
    """Now, read once for the whole statement, for comparisons with a column: Postgres uses no index for a comparison with
    ``clock()`` itself, which gives another value for each row."""
    return select(clock()).scalar_subquery()
