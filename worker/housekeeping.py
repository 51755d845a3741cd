"""Regular work of every process: expired leases and deadlines, lost wake-ups, old uploads, unused blobs."""

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import delete

from radii.worker import logs
from radii.worker.loop import WorkerSlot
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, schema_version, shards, tenants, urgent_jobs
from radii.worker.store.blobs import blob_files, multipart_uploads
from radii.worker.store.clock import instant
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.folder_identity import WrongFolder
from radii.worker.store.models.tables import Worker

log = logging.getLogger("radii.housekeeping")

HOUSEKEEPING = 600.0
UNFINISHED = 86_400.0
"""Seconds between two rounds of housekeeping, and age at which an unfinished file is a crash's remains."""


class WorkerHeartbeat:
    """Records that the worker is alive, also while it works on a shard, and stops it if the schema or the data folder has changed.

    Other errors are logged, and the next round tries again: they must not end a worker.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot = slot
        self._made = float("-inf")
        self.refused: schema_version.WrongSchema | WrongFolder | None = None
        """Why the slot was stopped: another schema or another data folder."""

    def go_if_due(self) -> None:
        """Makes a round if the interval of the settings is over."""
        now = time.monotonic()
        if now - self._made < self._slot.settings.housekeeping_seconds:
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


class HousekeepingThreads:
    """Runs housekeeping in two threads for as long as the ``with`` block lasts, so that expired leases and deadlines wait neither for
    a child that starts nor for a commit of this process, nor for the deletion of old files."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stop = settings, threading.Event()
        self._threads = [
            threading.Thread(
                target=self._again, args=("recovery", recover_once, settings.housekeeping_seconds, 0.0), daemon=True
            ),
            threading.Thread(
                target=self._again, args=("cleaning", delete_expired_once, HOUSEKEEPING, HOUSEKEEPING), daemon=True
            ),
        ]

    def __enter__(self) -> "HousekeepingThreads":
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
                log.warning("the %s was cut short", name, extra={"error": f"{type(error).__name__}: {error}"[:300]})
            # From start to start: what the work takes is part of the interval.
            wait = max(0.0, interval - (time.monotonic() - began))
        database.close()


def recover_once(database: Database, settings: Settings) -> int:
    """Takes back expired leases, ends jobs whose deadline has passed, and wakes workers for ready shards whose wake-up was lost.

    Returns:
        The number of expired leases.
    """
    with database.write() as session:
        expired = shards.expire_leases(session)
    for job_id, number in expired:
        log.warning("lease expired", extra={"job": job_id, "shard": number})
    # Each in a transaction of its own: what one of them waits for is not to hold up the others.
    with database.write() as session:
        late = jobs.expire(session)
    for job_id in late:
        log.info("deadline passed", extra={"job": job_id})
    if not settings.embedded:
        with database.write() as session:
            # Half an interval: a wake-up of this thread's last round counts as lost by now.
            waiting = shards.without_wakeup(session, settings.housekeeping_seconds / 2, broker.MAX_WAKEUPS)
        broker.wake_workers(settings, waiting)
    return len(expired)


def delete_expired_once(database: Database, settings: Settings) -> int:
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
