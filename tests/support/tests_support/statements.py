"""Collects the SQL that code of ours issues, with the functions that issued it, and asks the database for its plans.

How much work a statement is gets measured without a clock: SQLite counts the instructions of its virtual machine, and
Postgres the rows that its plan has read.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, event

import radii
from radii.worker.store.database import Database
from tests_support import crowded

ROOT = Path(radii.__file__).parent
OURS = ("service", "worker")
FEW = 2_000
"""Rows that Postgres may read without an index: where they are few, or the first ones in an order are wanted, it may be right."""
STEPS = 100
"""Instructions of SQLite's virtual machine between two counts."""
ASKS = frozenset({"execute", "scalar", "scalars", "get", "get_one", "refresh", "flush"})
"""Methods of a session or a connection that send a statement."""
SMALL_INDEX = "ix_shard_resume"
"""An index that has only the trainings which can be resumed: reading all of it is not reading all shards."""
PLANNED = ("SELECT", "UPDATE", "DELETE", "WITH")
"""How a statement begins that has a plan to speak of; what is inserted is given."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement with the parameters that it came with first, and our functions on the stack, the innermost first."""

    text: str
    parameters: Any
    many: bool
    by: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.by[0]}: {' '.join(self.text.split())[:2000]}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a database says of a statement: the lines of its plan, and how much work it was."""

    lines: tuple[str, ...]
    work: int

    @property
    def scanned(self) -> set[str]:
        """Tables that are read from one end to the other, in the order of an index or not."""
        found = (re.search(rf"^(?:SCAN|Whole of) (\w+)(?! USING INDEX {SMALL_INDEX})\b", line) for line in self.lines)
        return {match[1] for match in found if match is not None}


class Statements:
    """Statements by their text, lists of parameters cut to one: equal ones are kept once."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Statement] = {}
        self.seen: set[str] = set()
        """Every function of ours that was on the stack when a statement was sent."""

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.found.values())

    def take(self, text: str, parameters: Any, many: bool) -> None:
        """Notes a statement that is about to be executed."""
        by = tuple(_stack())
        self.seen |= set(by)
        short = re.sub(r"\((?:(?:\?|%\(\w+\)s(?:::\w+)?)(?:, )?)+\)", "(...)", text)
        if by and text.lstrip().startswith(PLANNED):
            made = Statement(text=text, parameters=parameters[0] if many else parameters, many=many, by=by)
            self.found.setdefault((by[0], short), made)


@contextmanager
def collected(database: Database) -> Iterator[Statements]:
    """What is sent to the database while the block lasts, from whichever thread."""
    statements = Statements()

    def before(connection: Connection, cursor: Any, text: str, parameters: Any, context: Any, many: bool) -> None:
        statements.take(text, parameters, many)

    event.listen(database.engine, "before_cursor_execute", before)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", before)


def _stack() -> Iterator[str]:
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OURS:
            name = re.sub(r"(\.<locals>\.<\w+>)+$", "", frame.f_code.co_qualname)
            yield f"{path.relative_to(ROOT).with_suffix('').as_posix()}:{name}"
        frame = frame.f_back  # type: ignore[assignment]


def asking() -> set[str]:
    """Every function of service and worker whose body sends a statement, as the source has it."""
    paths = [path for name in OURS for path in (ROOT / name).rglob("*.py")]
    return {
        f"{path.relative_to(ROOT).with_suffix('').as_posix()}:{name}"
        for path in paths
        for name in _functions(ast.parse(path.read_text()))
    }


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if any(_sends(inner) for inner in _own(node)):
                yield prefix + node.name
            yield from _functions(node, f"{prefix}{node.name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        else:
            yield from _functions(node, prefix)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, those of functions inside of it excepted."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _own(node)


def _sends(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKS):
        return False
    asked = node.func.value
    name = asked.attr if isinstance(asked, ast.Attribute) else asked.id if isinstance(asked, ast.Name) else ""
    return name in ("session", "connection")


def plan_of(database: Database, statement: Statement) -> Plan:
    """The plan of a statement, which is executed in a transaction that is rolled back."""
    return (_on_postgres if database.engine.dialect.name == "postgresql" else _on_sqlite)(database, statement)


def _on_sqlite(database: Database, statement: Statement) -> Plan:
    raw = database.engine.raw_connection()
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    try:
        cursor = raw.cursor()
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.parameters).fetchall()
        cursor.execute("BEGIN IMMEDIATE")
        raw.driver_connection.set_progress_handler(count, STEPS)  # type: ignore[union-attr]
        cursor.execute("PRAGMA defer_foreign_keys = ON")  # what it refers to may be gone by now
        cursor.execute(statement.text, statement.parameters).fetchall()
    except raw.driver_connection.IntegrityError:  # type: ignore[union-attr]
        pass  # its row is there already: it did its work
    finally:
        raw.driver_connection.set_progress_handler(None, 0)  # type: ignore[union-attr]
        raw.rollback()
        raw.close()
    return Plan(lines=tuple(row[3] for row in rows), work=STEPS * taken)


def _on_postgres(database: Database, statement: Statement) -> Plan:
    raw = database.engine.raw_connection()
    try:
        cursor = raw.cursor()
        # How much is read is as the planner chooses; whether there is an index at all shows where it has to take one.
        made = _explained(cursor, "ANALYZE, TIMING OFF, FORMAT JSON", statement)
        cursor.execute("SET LOCAL enable_seqscan = off")
        forced = _explained(cursor, "ANALYZE, TIMING OFF, FORMAT JSON", statement)
    finally:
        raw.rollback()
        raw.close()
    work = sum(_rows(node) for node in made if "Relation Name" in node)
    return Plan(lines=tuple(map(_line, forced)), work=work)


def _explained(cursor: Any, how: str, statement: Statement) -> list[dict[str, Any]]:
    cursor.execute("SAVEPOINT before")
    try:
        cursor.execute(f"EXPLAIN ({how}) {statement.text}", statement.parameters)
    except psycopg.errors.ForeignKeyViolation:  # something that it refers to has come or gone since
        cursor.execute("ROLLBACK TO before")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.text}", statement.parameters)
    found = cursor.fetchone()[0]
    return list(_nodes((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _line(node: dict[str, Any]) -> str:
    kind, table, index = node["Node Type"], node.get("Relation Name", ""), node.get("Index Name", "")
    if "Scan" not in kind or not (table or index):
        return f"{kind} of {_rows(node)}"
    if "Bitmap" not in kind and "Index Cond" not in node and _rows(node) > FEW:
        return f"Whole of {table or index} ({index or 'no index'})"
    return (
        f"{kind} on {table or index} by {index or 'no index'}: {node.get('Index Cond') or node.get('Recheck Cond', '')}"
    )


def _rows(node: dict[str, Any]) -> int:
    """Rows that a node gave or dropped, all loops together."""
    dropped = sum(node.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck", "Join Filter"))
    return int((node.get("Actual Rows", node["Plan Rows"]) + dropped) * node.get("Actual Loops", 1))


def analyzed(database: Database) -> None:
    """With statistics, as after a while."""
    crowded.analyze(database)
    database.engine.dispose()  # SQLite reads them when a connection begins
