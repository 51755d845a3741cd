"""What has to happen now and then, in any process: expired leases, unrung bells, old uploads, unused blobs."""

import logging
import threading
import time

from sqlalchemy import delete

from worker import broker, logs
from worker.loop import Slot
from worker.settings import Settings
from worker.store import blobs, jobs, part_uploads, registry, schema, shards
from worker.store.clock import clock
from worker.store.session import Database
from worker.store.tables import Worker

log = logging.getLogger("radii.sweep")

HOUSEKEEPING = 600.0
UNFINISHED = 86_400.0
"""Seconds between two rounds of housekeeping, and age at which an unfinished file is a crash's remains."""


class Rounds:
    """A worker's rounds: be seen, and now and then clean, each when it is due and also while a shard is in work.

    A worker whose database has got another schema stops. Whatever else goes wrong in a round is logged and tried again
    in the next one: a worker must not die of it.
    """

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._made = float("-inf")
        self._cleaned = time.monotonic()

    def go_if_due(self) -> None:
        """Makes a round if the interval of the settings is over."""
        now = time.monotonic()
        settings, database = self._slot.settings, self._slot.database
        if now - self._made < settings.sweep:
            return
        self._made = now
        try:
            schema.require(database.engine)
            self._slot.register()
            if now - self._cleaned > HOUSEKEEPING:
                self._cleaned = now
                clean_once(database, settings)
        except schema.WrongSchema as error:
            log.error("%s", error)
            self._slot.stop.set()
        except Exception as error:
            log.warning("a round was cut short", extra={"error": f"{type(error).__name__}: {error}"[:300]})


class Sweeping:
    """Sweeps in a thread of its own for as long as the ``with`` block lasts, so that lost leases and deadlines wait neither
    for a child that starts nor for a commit of this process's own."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stop = settings, threading.Event()
        self._thread = threading.Thread(target=self._sweep, daemon=True)

    def __enter__(self) -> "Sweeping":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _sweep(self) -> None:
        logs.name_thread("sweep")
        database, wait = Database(self._settings.url, patience=self._settings.patience), 0.0
        while not self._stop.wait(wait):
            began = time.monotonic()
            try:
                schema.require(database.engine)
                sweep_once(database, self._settings)
            except Exception as error:
                log.warning("a sweep was cut short", extra={"error": f"{type(error).__name__}: {error}"[:300]})
            # From start to start: what a sweep takes is part of the interval.
            wait = max(0.0, self._settings.sweep - (time.monotonic() - began))
        database.close()


def sweep_once(database: Database, settings: Settings) -> int:
    """Takes back expired leases, stops jobs whose deadline has passed, and rings for ready shards that no bell was rung for;
    returns how many leases."""
    with database.write() as session:
        expired = shards.sweep(session)
    for job_id, number in expired:
        log.warning("lease expired", extra={"job": job_id, "shard": number})
    # Each in a transaction of its own: what one of them waits for is not to hold up the others.
    with database.write() as session:
        late = jobs.expire(session)
    for job_id in late:
        log.info("deadline passed", extra={"job": job_id})
    if not settings.embedded:
        with database.write() as session:
            waiting = shards.unrung(session, settings.sweep)
        broker.ring(settings, waiting)
    return len(expired)


def clean_once(database: Database, settings: Settings) -> int:
    """Forgets old uploads and deletes what nothing refers to; returns the number of deleted blobs."""
    with database.write() as session:
        registry.expire_uploads(session, settings.upload_ttl)
        part_uploads.expire(session, settings.blobs, settings.upload_ttl)
        gone = registry.collect(session, settings.blobs)
        gone += registry.collect_orphans(session, settings.blobs, older_than=UNFINISHED)
        session.execute(delete(Worker).where(Worker.seen < clock() - UNFINISHED))
    blobs.clean_new(settings.blobs, older_than=UNFINISHED, now=time.time())
    return gone
