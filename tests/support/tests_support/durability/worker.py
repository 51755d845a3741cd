"""A worker process of a proof: ``python -m tests_support.durability.worker local|remote``.

It is the real worker, but for what these variables say: ``PROOF_CHILD=light`` takes the child without torch;
``PROOF_COMMIT=SIGKILL,SIGTERM,lost`` has one of these happen inside a COMMIT, with probability ``PROOF_SHARE`` ("lost": it is
done, and the connection breaks before it is answered), each with a line in the file ``PROOF_TOLD``; ``PROOF_FREEZE=FILE``: once
FILE is there, the worker takes it away and stops itself inside a transaction that has written to its shard;
``PROOF_DRAWN=FILE``: how many samples its children have told of goes there; ``PROOF_FULL=FILE``: while FILE is there, the
database cannot grow; ``PROOF_MEMORY=BYTES``: what it and its child may have of address space, each;
``PROOF_HOUSEKEEPING=SECONDS`` from one round of housekeeping to the next;
``PROOF_WITHOUT=fence|conflict|housekeeping|wakeup`` takes a guard out, so that a proof can show that it would notice.
"""

import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from radii.worker import celery_worker, commit, embedded, housekeeping, shard_session
from radii.worker.child import handle
from radii.worker.queue import broker
from radii.worker.store import result_rows, shards
from radii.worker.store.models.tables import Shard
from tests_support.durability import light_child


def main() -> None:
    """Arranges what is asked for, and becomes the worker."""
    if os.environ.get("PROOF_CHILD") == "light":
        handle.COMMAND = (sys.executable, light_child.__file__)
    if acts := os.environ.get("PROOF_COMMIT"):
        _disturb_commits(acts.split(","), float(os.environ.get("PROOF_SHARE", "0.05")))
    if flag := os.environ.get("PROOF_FREEZE"):
        _freeze_inside(Path(flag))
    if file := os.environ.get("PROOF_DRAWN"):
        _tell_of_samples(Path(file))
    if flag := os.environ.get("PROOF_FULL"):
        _limit_pages(Path(flag))
    if memory := os.environ.get("PROOF_MEMORY"):
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    if seconds := os.environ.get("PROOF_HOUSEKEEPING"):
        housekeeping.HOUSEKEEPING = float(seconds)
    without(os.environ.get("PROOF_WITHOUT", ""))
    kind = sys.argv.pop(1)  # the worker reads what is left
    (embedded if kind == "local" else celery_worker).main()


def without(guard: str) -> None:
    """Takes a guard out of this process."""
    if guard == "fence":
        _replace(shards, "_fenced", _unfenced)
    elif guard == "conflict":
        _replace(result_rows, "insert", _inserted_again)
    elif guard == "housekeeping":
        _replace(shards, "expire_leases", lambda session: [])
    elif guard == "wakeup":
        _replace(broker, "wake_workers", lambda settings, count=1: None)


def _replace(module: Any, name: str, by: Any) -> None:
    """A guard that has moved would stay in, and its proof would show nothing."""
    assert hasattr(module, name), f"{module.__name__} has no {name} any more"
    setattr(module, name, by)


def _unfenced(session: Any, held: Any, **columns: Any) -> None:
    """Writes where the shard is leased, whoever has it now."""
    leased = update(Shard).where(Shard.job_id == held.job_id, Shard.number == held.number, Shard.state == "leased")
    if session.execute(leased.values(**columns).returning(Shard.fence)).first() is None:
        raise shards.LeaseLost("nobody has it")


def _inserted_again(session: Any, table: Any, found: list[dict[str, Any]], key: list[str]) -> list[Any]:
    """As if nobody looked whether a row is there: it is written again, and counted again."""
    if not found:
        return []
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    new = {name: statement.excluded[name] for name in found[0] if name not in key}
    statement = statement.on_conflict_do_update(index_elements=key, set_=new)
    return list(session.execute(statement.returning(*(getattr(table, name) for name in key)), found))


def _disturb_commits(acts: list[str], share: float) -> None:
    """Has something happen before, in or after a COMMIT, or to its answer."""
    draw = random.Random()

    def disturbed(do_commit: Any) -> Any:
        def commit(connection: Any) -> None:
            if draw.random() >= share:
                do_commit(connection)
                return
            act = draw.choice(acts)
            if act == "lost":
                do_commit(connection)
                _tell(act)
                raise OperationalError("COMMIT", {}, Exception("the answer was lost"), connection_invalidated=False)
            if draw.random() < 0.3:
                _signal(act)
            threading.Thread(target=_later, args=(act, draw.random() * 0.002), daemon=True).start()
            do_commit(connection)
            time.sleep(0.001)

        return commit

    @event.listens_for(Engine, "engine_connect")
    def _(connection: Connection) -> None:
        dialect = connection.dialect
        if not getattr(dialect, "disturbed", False):
            dialect.do_commit = disturbed(dialect.do_commit)  # type: ignore[method-assign]
            dialect.disturbed = True  # type: ignore[attr-defined]


def _limit_pages(flag: Path) -> None:
    """While the file is there, the SQLite database has no page more than now."""

    @event.listens_for(Engine, "begin")
    def _(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if flag.exists() else 2**30}")


def _freeze_inside(flag: Path) -> None:
    """Its rows are locked, and on SQLite the whole database is, until somebody thaws it."""
    write = shard_session.write

    def frozen(session: Any, *arguments: Any, **more: Any) -> Any:
        standing = write(session, *arguments, **more)
        session.flush()
        if flag.exists():
            flag.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        return standing

    shard_session.write = frozen


def _tell_of_samples(file: Path) -> None:
    """Adds to the file, a number a line, what each message of a child tells beyond the one before it."""
    add, claims = commit.PendingResults.add, [(dict[int, int](), dict[int, int]())]

    def told(pending: commit.PendingResults, message: dict[str, Any]) -> None:
        if pending.at is not claims[-1][0]:  # which all that is pending for one claim has in common
            claims.append((pending.at, dict(pending.resumed)))
        seen = claims[-1][1]
        if (drawn := _drawn(message)) is not None:
            _append(file, str(drawn - seen.get(message["index"], 0)))
            seen[message["index"]] = drawn
        add(pending, message)

    commit.PendingResults.add = told


def _drawn(message: dict[str, Any]) -> int | None:
    """How many samples of its input a message tells of."""
    if message["type"] == "record":
        return int(message["n0"] + message["n"])
    return sum(stage["drawn"] for stage in message["votes"].values()) if message["type"] == "progress" else None


def _later(act: str, seconds: float) -> None:
    time.sleep(seconds)
    _signal(act)


def _signal(act: str) -> None:
    _tell(act)
    os.kill(os.getpid(), getattr(signal, act))


def _tell(act: str) -> None:
    """What happens, and to whom: only that is counted."""
    _append(Path(os.environ["PROOF_TOLD"]), f"{act} {os.getpid()}")


def _append(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(line + "\n")


if __name__ == "__main__":
    main()
