"""Real worker processes, started and ended by a test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import func, select

from radii.worker.settings import Settings
from radii.worker.settings_environment import variables
from radii.worker.store import jobs
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.models.tables import Job


class Fleet:
    """Worker processes of one module (``radii.worker.embedded`` or ``radii.worker.celery_worker``)."""

    def __init__(self, settings: Settings, module: str) -> None:
        self._settings, self._module = settings, module
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> "subprocess.Popen[bytes]":
        """One more worker."""
        process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            env=os.environ | variables(self._settings),
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """kill -9 of the loop's process; its child sees its input close and goes."""
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.processes.remove(process)

    def stop(self) -> None:
        """Ends all of them in order; those that do not go are killed."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def fleet(settings: Settings, module: str, count: int) -> Iterator[Fleet]:
    """``count`` workers, ended with the block."""
    workers = Fleet(settings, module)
    try:
        for _ in range(count):
            workers.start()
        yield workers
    finally:
        workers.stop()


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for a condition; fails loudly when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def ended(database: Database, job_id: str) -> bool:
    """Whether the job is in a final state."""
    with database.read() as session:
        return session.get_one(Job, job_id).state in jobs.TERMINAL


def stored(database: Database, job_id: str) -> int:
    """How many certificates the job has."""
    with database.read() as session:
        query = select(func.count()).select_from(CertificateRow).where(CertificateRow.job_id == job_id)
        return session.scalar(query) or 0
