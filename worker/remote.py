"""A worker that a broker calls: a Celery process with one slot in a thread of its own.

It prefetches nothing, and looks for ready shards by a timer as well, so that a deaf connection to the broker costs
seconds. The counterpart without a broker is ``local``.
"""

import logging
import sys
import threading
from typing import Any

from celery import signals

from worker import broker, logs
from worker.loop import REFUSED, CannotStart, Slot, end
from worker.settings import Settings
from worker.store.schema import WrongSchema
from worker.store.session import Database
from worker.sweep import Sweeper

log = logging.getLogger("radii.remote")


def run_worker(settings: Settings) -> None:
    """Runs a Celery worker with one slot until it is told to stop (SIGTERM, SIGINT)."""
    if settings.broker_url is None:
        raise CannotStart("expected RADII_BROKER_URL, the broker that calls the worker; got none")
    slot = Slot(settings, Database(settings.url))
    slot.start()
    turn = threading.Lock()
    celery = broker.app(settings.broker_url, settings.queue)

    @celery.task(name=broker.TASK)  # type: ignore[untyped-decorator]
    def work() -> None:
        _work(slot, turn)

    sweeper = Sweeper(slot.database, settings)
    timer = threading.Thread(target=_look_around, args=(slot, turn, sweeper), daemon=True)
    signals.worker_ready.connect(lambda **_: timer.start(), weak=False)
    signals.worker_shutting_down.connect(lambda **_: slot.stop.set(), weak=False)
    try:
        celery.worker_main(
            [
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


def _work(slot: Slot, turn: Any) -> None:
    """Works until nothing is ready; where the slot is busy already, its holder goes on until nothing is."""
    if not turn.acquire(blocking=False):
        return
    try:
        while not slot.stop.is_set() and slot.work_once():
            pass
    except Exception:
        log.exception("a shard could not be worked on; the sweep brings it back")
    finally:
        turn.release()


def _look_around(slot: Slot, turn: Any, sweeper: Sweeper) -> None:
    """Sweeps, shows that the worker is there, and works where a bell was missed."""
    logs.name_thread("timer")
    while not slot.stop.wait(slot.settings.look):
        sweeper.sweep_if_due()
        try:
            slot.register()
        except Exception as error:
            log.warning("not seen", extra={"error": str(error)[:300]})
        _work(slot, turn)


def main() -> None:
    """One worker process."""
    settings = Settings()
    logs.configure(settings)
    try:
        run_worker(settings)
    except (WrongSchema, CannotStart) as error:
        log.error("%s", error)
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
