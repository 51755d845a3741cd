"""What has to happen now and then, in any process: expired leases, unrung bells, old uploads, unused blobs."""

import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from worker import broker
from worker.settings import Settings
from worker.store import blobs, registry, shards
from worker.store.session import Database

log = logging.getLogger("radii.sweep")

HOUSEKEEPING = 600.0
UNFINISHED = 86_400.0
"""Seconds between two rounds of housekeeping, and age at which an unfinished file is a crash's remains."""


class Sweeper:
    """Sweeps when a sweep is due; a database that is away is tried again at the next."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._swept = float("-inf")
        self._cleaned = time.monotonic()

    def sweep_if_due(self) -> None:
        """Sweeps if the interval of the settings is over."""
        now = time.monotonic()
        if now - self._swept < self._settings.sweep:
            return
        self._swept = now
        try:
            sweep_once(self._database, self._settings)
            if now - self._cleaned > HOUSEKEEPING:
                self._cleaned = now
                clean_once(self._database, self._settings)
        except SQLAlchemyError as error:
            log.warning("database away, no sweep", extra={"error": str(error)[:300]})


def sweep_once(database: Database, settings: Settings) -> int:
    """Takes back expired leases and rings for ready shards that no bell was rung for; returns how many leases."""
    with database.write() as session:
        expired = shards.sweep(session)
        waiting = 0 if settings.embedded else shards.unrung(session, settings.sweep)
    if expired:
        log.warning("leases expired", extra={"count": expired})
    broker.ring(settings, waiting)
    return expired


def clean_once(database: Database, settings: Settings) -> int:
    """Forgets old uploads and deletes what nothing refers to; returns the number of deleted blobs."""
    with database.write() as session:
        registry.expire_uploads(session, settings.upload_ttl)
        gone = registry.collect(session, settings.blobs)
        gone += registry.collect_orphans(session, settings.blobs, older_than=UNFINISHED)
    blobs.clean_new(settings.blobs, older_than=UNFINISHED, now=time.time())
    return gone
