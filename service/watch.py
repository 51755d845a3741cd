"""Waiting for jobs to end: one reader per process for all who wait, however many they are.

Who waits holds a future: no thread, no connection. One task asks the database, and only while somebody waits.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from worker.store.jobs import ACTIVE
from worker.store.session import Database
from worker.store.tables import Job

INTERVAL = 0.3
"""Seconds between two looks."""
CHUNK = 500

log = logging.getLogger("radii.service")


class Watch:
    """The waiting requests of one event loop, and the task that reads for them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def ended(self, job_id: str, seconds: float) -> None:
        """Returns when the job has ended or is gone, or after ``seconds``."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(future)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(future, seconds)
        finally:
            self._forget(job_id, future)

    def close(self) -> None:
        """Lets everybody go."""
        for futures in self._waiting.values():
            _release(futures)
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        while self._waiting:
            await asyncio.sleep(INTERVAL)
            asked = list(self._waiting)
            try:
                active = await run_in_threadpool(self._active, asked)
            except SQLAlchemyError as error:
                log.warning("cannot look whether jobs have ended: %s", error)
                continue
            for job_id in set(asked) - active:
                _release(self._waiting.get(job_id, set()))

    def _active(self, asked: Sequence[str]) -> set[str]:
        with self._database.read() as session:
            chunks = [asked[start : start + CHUNK] for start in range(0, len(asked), CHUNK)]
            return {
                job_id
                for chunk in chunks
                for job_id in session.scalars(select(Job.id).where(Job.id.in_(chunk), Job.state.in_(ACTIVE)))
            }

    def _forget(self, job_id: str, future: asyncio.Future[None]) -> None:
        futures = self._waiting.get(job_id, set())
        futures.discard(future)
        if not futures:
            self._waiting.pop(job_id, None)


def _release(futures: set[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
