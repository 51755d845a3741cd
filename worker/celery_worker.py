"""A worker that a broker calls: a Celery process with one slot in a thread of its own.

It prefetches nothing, and looks for ready shards by a timer as well, so that a deaf connection to the broker costs
seconds. The counterpart without a broker is ``embedded``.
"""

import logging
import os
import signal
import sys
import threading
from typing import Any

from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from radii.worker import library_caches, logs
from radii.worker.embedded import run_process
from radii.worker.housekeeping import HousekeepingThreads, WorkerHeartbeat
from radii.worker.loop import CannotStart, WorkerSlot, end
from radii.worker.processes import launch
from radii.worker.queue import broker
from radii.worker.settings import Settings
from radii.worker.store.database import Database

log = logging.getLogger("radii.remote")


def run_worker(settings: Settings) -> None:
    """Runs a Celery worker with one slot until it is told to stop (SIGTERM, SIGINT)."""
    if settings.broker_url is None:
        raise CannotStart("expected RADII_BROKER_URL, the broker that calls the worker; got none")
    slot = WorkerSlot(settings, Database(settings.url, patience=settings.patience))
    slot.start()
    turn = threading.Lock()
    celery = broker.app(settings.broker_url, settings.queue)

    @celery.task(name=broker.TASK)  # type: ignore[untyped-decorator]
    def work() -> None:
        _work(slot, turn)

    rounds = WorkerHeartbeat(slot)
    slot.tick = rounds.go_if_due
    signals.worker_shutting_down.connect(lambda **_: slot.stop.set(), weak=False)
    # Not when the worker is ready: it never is while the broker is away, and there is work all the same.
    threading.Thread(target=_look_around, args=(slot, turn, rounds), daemon=True).start()
    signal.signal(signal.SIGTERM, _end_before_celery_handles_signals)
    try:
        with HousekeepingThreads(settings):
            celery.worker_main(
                [
                    "--quiet",
                    "worker",
                    "--pool=threads",
                    "--concurrency=1",
                    "--loglevel=WARNING",
                    "--without-gossip",
                    "--without-mingle",
                ]
            )
    finally:
        slot.stop.set()
        with turn:
            end(slot)
        if rounds.refused is not None:
            raise rounds.refused


def _end_before_celery_handles_signals(*_: object) -> None:
    """Ends the process in order while Celery is still starting; Celery installs its own handler later."""
    raise SystemExit(0)


def _work(slot: WorkerSlot, turn: Any) -> None:
    """Works until nothing is ready; where the slot is busy already, its holder goes on until nothing is."""
    if not turn.acquire(blocking=False):
        return
    try:
        while not slot.stop.is_set() and slot.work_once():
            pass
    except SQLAlchemyError as error:
        log.warning("database away, trying again", extra={"error": str(error)[:300]})
    except CannotStart as error:
        slot.pause(str(error))  # until its next try
    except Exception:
        log.exception("a shard could not be worked on; housekeeping brings it back")
    finally:
        turn.release()


def _look_around(slot: WorkerSlot, turn: Any, rounds: WorkerHeartbeat) -> None:
    """Makes the rounds, and works where a wake-up was lost."""
    logs.name_thread("timer")
    while not slot.stop.wait(slot.settings.broker_poll_seconds):
        if turn.acquire(blocking=False):
            turn.release()
            slot.tick()
        _work(slot, turn)
    if rounds.refused is not None:
        # Celery would continue to take wake-ups that other workers need, for a slot that has stopped.
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """One worker process."""
    launch.protect()
    settings = Settings()
    logs.configure(settings)
    library_caches.keep_in(settings)
    code = run_process(lambda: run_worker(settings), settings)
    sys.exit(code)


if __name__ == "__main__":
    main()
