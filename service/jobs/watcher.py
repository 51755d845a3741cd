"""Waiting for jobs to go on or to end: one reader per process for all who wait, however many they are.

Who waits holds a future: no thread, no connection. One task asks the database, and only while somebody waits. Urgent jobs
have a reader of their own, which asks the more often the shorter somebody has waited.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from radii.service.limits.request_turns import noticing_disconnect, waiting
from radii.service.schemas import responses
from radii.worker.store.database import Database
from radii.worker.store.jobs import TERMINAL
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job

INTERVAL = 0.3
"""Seconds between two looks."""
SHORTEST = 0.01
"""The same for urgent jobs, at least."""
SHARE = 0.1
"""Of the time that somebody has waited for an urgent job: so much later than it happens he hears of it."""
IDLE = 4
"""Times as long as a look for urgent jobs took, the reader rests after it."""
CHUNK = 500

log = logging.getLogger("radii.service")


@dataclass(frozen=True, kw_only=True)
class JobSnapshot:
    """How a job stood at a look: the number of its last event, whether it has ended, and how much of it was done."""

    revision: int
    over: bool
    progress: responses.EventProgress


WakeCondition = Callable[[JobSnapshot | None], bool]
"""Whether somebody waits no longer, now that the job stands so; None: it is gone."""


@dataclass(frozen=True, eq=False)
class _Waiter:
    wakes: WakeCondition
    future: "asyncio.Future[JobSnapshot | None]"


class JobWatcher:
    """The waiting requests of one event loop, and the task that reads for them; ``eager`` for those of urgent jobs."""

    def __init__(self, database: Database, *, eager: bool = False) -> None:
        self._database, self._eager = database, eager
        self._another, self._latest = asyncio.Event(), 0.0
        self._waiting: dict[str, set[_Waiter]] = {}
        self._reader: asyncio.Task[None] | None = None
        self.closed = False

    async def ended(self, job_id: str, seconds: float) -> None:
        """Returns when the job has ended or is gone, or after ``seconds``."""
        with contextlib.suppress(TimeoutError):
            await self.until(job_id, lambda standing: standing is None or standing.over, seconds)

    async def until(self, job_id: str, wakes: WakeCondition, seconds: float) -> JobSnapshot | None:
        """How the job stands as soon as ``wakes`` is true of that, None where it is gone, the client is, or nobody reads any more;
        raises TimeoutError after ``seconds``."""
        if self.closed:
            return None
        waiter = _Waiter(wakes, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(job_id, set()).add(waiter)
        self._latest = monotonic()
        self._another.set()
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            async with waiting(without_body=True), noticing_disconnect(lambda: _release(waiter, None)):
                return await asyncio.wait_for(waiter.future, seconds)
        finally:
            self._forget(job_id, waiter)

    def close(self) -> None:
        """Lets everybody go."""
        self.closed = True
        for waiters in self._waiting.values():
            for waiter in waiters:
                _release(waiter, None)
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        took = 0.0
        while self._waiting:
            await self._pause(took)
            asked, began = list(self._waiting), monotonic()
            try:
                found = await run_in_threadpool(self._standings, asked)
            except SQLAlchemyError as error:
                log.warning("cannot look how jobs stand: %s", error)
                continue
            for job_id in asked:
                standing = found.get(job_id)
                for waiter in list(self._waiting.get(job_id, ())):
                    if waiter.wakes(standing):
                        _release(waiter, standing)
            took = monotonic() - began

    async def _pause(self, took: float) -> None:
        """Rests until the next look, after one that took so many seconds; somebody who comes meanwhile shortens it."""
        if not self._eager:
            await asyncio.sleep(INTERVAL)
            return
        looked = monotonic()
        while True:
            soon = max(SHORTEST, IDLE * took, SHARE * (monotonic() - self._latest))
            left = looked + min(INTERVAL, soon) - monotonic()
            self._another.clear()
            try:
                await asyncio.wait_for(self._another.wait(), max(0.0, left))
            except TimeoutError:
                return

    def _standings(self, asked: Sequence[str]) -> dict[str, JobSnapshot]:
        query = select(Job.id, Job.revision, Job.state, JobSummary).join(JobSummary, JobSummary.job_id == Job.id)
        with self._database.read() as session:
            chunks = [asked[start : start + CHUNK] for start in range(0, len(asked), CHUNK)]
            rows = [row for chunk in chunks for row in session.execute(query.where(Job.id.in_(chunk)))]
        return {
            job_id: JobSnapshot(
                revision=revision,
                over=state in TERMINAL,
                progress=responses.EventProgress(
                    done=summary.done,
                    total=summary.total,
                    work_done=summary.work_done,
                    work_total=summary.work_total,
                ),
            )
            for job_id, revision, state, summary in rows
        }

    def _forget(self, job_id: str, waiter: _Waiter) -> None:
        waiters = self._waiting.get(job_id, set())
        waiters.discard(waiter)
        if not waiters:
            self._waiting.pop(job_id, None)


def _release(waiter: _Waiter, standing: JobSnapshot | None) -> None:
    if not waiter.future.done():
        waiter.future.set_result(standing)
