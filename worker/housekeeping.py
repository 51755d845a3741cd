"""What has to happen now and then, in any process: expired leases, unrung bells, old uploads, unused blobs."""

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import delete

from radii.worker import logs
from radii.worker.loop import Slot
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, schema_version, shards, tenants, urgent_jobs
from radii.worker.store.blobs import blob_files, multipart_uploads
from radii.worker.store.clock import instant
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.folder_identity import WrongFolder
from radii.worker.store.models.tables import Worker

log = logging.getLogger("radii.sweep")

HOUSEKEEPING = 600.0
UNFINISHED = 86_400.0
"""Seconds between two rounds of housekeeping, and age at which an unfinished file is a crash's remains."""


class Rounds:
    """A worker's rounds, also while a shard is in work: it is seen, and stops where its database has got another schema.

    Whatever else goes wrong in a round is logged and tried again in the next one: a worker must not die of it.
    """

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._made = float("-inf")
        self.refused: schema_version.WrongSchema | WrongFolder | None = None
        """What has stopped the slot, where it was the schema or another data folder."""

    def go_if_due(self) -> None:
        """Makes a round if the interval of the settings is over."""
        now = time.monotonic()
        if now - self._made < self._slot.settings.sweep:
            return
        self._made = now
        try:
            schema_version.require(self._slot.database.engine)
            if not self._slot.folder_is_there() and isinstance(self._slot.folder_error, WrongFolder):
                raise self._slot.folder_error
            self._slot.register()
        except (schema_version.WrongSchema, WrongFolder) as error:
            self.refused = error
            self._slot.stop.set()
        except Exception as error:
            log.warning("a round was cut short", extra={"error": f"{type(error).__name__}: {error}"[:300]})


class Sweeping:
    """Sweeps and cleans, in threads of their own, for as long as the ``with`` block lasts: lost leases and deadlines wait
    neither for a child that starts nor for a commit of this process's own, and no lease runs out over old files."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stop = settings, threading.Event()
        self._threads = [
            threading.Thread(target=self._again, args=("sweep", sweep_once, settings.sweep, 0.0), daemon=True),
            threading.Thread(target=self._again, args=("clean", clean_once, HOUSEKEEPING, HOUSEKEEPING), daemon=True),
        ]

    def __enter__(self) -> "Sweeping":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def _again(self, name: str, work: Callable[[Database, Settings], object], interval: float, wait: float) -> None:
        logs.name_thread(name)
        database = Database(self._settings.url, patience=self._settings.patience)
        while not self._stop.wait(wait):
            began = time.monotonic()
            try:
                schema_version.require(database.engine)
                work(database, self._settings)
            except Exception as error:
                log.warning("a %s was cut short", name, extra={"error": f"{type(error).__name__}: {error}"[:300]})
            # From start to start: what the work takes is part of the interval.
            wait = max(0.0, interval - (time.monotonic() - began))
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
            # Of the bell before, half an interval: one that was rung in this thread's last round counts as lost by now.
            waiting = shards.unrung(session, settings.sweep / 2, broker.MAX_RING)
        broker.ring(settings, waiting)
    return len(expired)


def clean_once(database: Database, settings: Settings) -> int:
    """Forgets what is old and deletes what nothing refers to, in small transactions; returns the number of deleted blobs."""
    folder_identity.check(settings, database)  # files of another database's folder are not ours to delete
    with database.write() as session:
        resources.expire_uploads(session, settings.upload_ttl)
        multipart_uploads.expire(session, settings.upload_ttl)
        tenants.forget_device_time(session)
        tenants.forget_requests(session)
        session.execute(delete(Worker).where(Worker.seen < instant() - UNFINISHED))
    multipart_uploads.clean(database, settings.blobs)
    while _forgotten(database, settings):
        pass
    gone, last = 0, resources.MOST_AT_ONCE
    while last == resources.MOST_AT_ONCE:
        with database.write() as session:
            last = resources.collect(session, settings.blobs)
        gone += last
    gone += resources.collect_orphans(database, settings.blobs, older_than=UNFINISHED)
    blob_files.clean_new(settings.blobs, older_than=UNFINISHED, now=time.time())
    return gone


def _forgotten(database: Database, settings: Settings) -> int:
    with database.write() as session:
        return urgent_jobs.forget(session, settings.prediction_ttl)
