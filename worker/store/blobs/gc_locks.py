"""Lock files that prevent the deletion of blobs, for example during a backup.

The holder touches its file regularly. A file that has not been touched for ten minutes is left from a crash and is ignored.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database

LASTS = 600.0
"""Seconds for which a hold counts after it was touched."""
RENEWED = 30.0
POSTGRES_LOCK = 7_231_114


@contextmanager
def hold(root: Path, database: Database) -> Iterator[None]:
    """Nothing is deleted from the time at which the block begins until it ends."""
    path = root / "holds" / secrets.token_hex(16)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    stop = threading.Event()
    renewing = threading.Thread(target=_renew, args=(path, stop), daemon=True)
    renewing.start()
    try:
        with database.write() as session:
            turn(session)  # whoever was deleting when the hold was made has ended now
        yield
    finally:
        stop.set()
        renewing.join()
        path.unlink(missing_ok=True)


def held(session: Session, root: Path) -> bool:
    """Whether nothing may be deleted now; where it may, no hold begins to count before the transaction ends."""
    turn(session)
    now = time.time()
    stale = []
    for path in (root / "holds").glob("*"):
        if blob_files.age_of(path, now) <= LASTS:
            return True
        stale.append(path)
    for path in stale:
        path.unlink(missing_ok=True)
    return False


def turn(session: Session) -> None:
    """Waits for other transactions that have taken their turn, and makes later ones wait until this one ends. On SQLite
    every writing transaction takes it when it begins, with its first statement."""
    postgres = session.get_bind().dialect.name == "postgresql"
    session.execute(select(func.pg_advisory_xact_lock(POSTGRES_LOCK) if postgres else literal(1)))


def _renew(path: Path, stop: threading.Event) -> None:
    while not stop.wait(RENEWED):
        with contextlib.suppress(OSError):  # the next try is soon enough
            path.touch()
