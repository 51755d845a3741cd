"""A worker that hangs while it holds locks, and a database that hangs instead of refusing: scenario 14."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

from radii.worker.store.database import BUSY_TIMEOUT_MS
from tests_support import system
from tests_support.durability.asking import Asker
from tests_support.durability.house import HOUSEKEEPING, LEASE, House, Kind, house, light
from tests_support.durability.outcome import Figures, add, clean, none, worst
from tests_support.durability.waiting import until

SLACK = 2.0
FEW_INTERVALS = 3 * HOUSEKEEPING
INPUTS = 160
LONG = 480
"""Inputs that keep a worker at work while another one starts, however busy the machine is."""
PACE = {"PROOF_CHILD": "light", "PROOF_PACE": "0.05"}


def hanging(*, sqlite: bool = True, server: bool = True) -> Figures:
    """14. A worker is frozen inside a transaction, for longer than its lease. On Postgres it holds rows: lost leases of others
    are taken back within a lease and a few housekeeping intervals, and another job is done meanwhile. On SQLite it holds the whole database,
    longer than anybody waits for it: nobody ends of that, and all goes on afterwards. ``server``: Postgres itself is frozen."""
    total = none("frozen", "gone_on", "workers_ended", "other_statuses", "without_retry") | {
        "taken_back_s": 0.0,
        "slowest_answer_s": 0.0,
    }
    _rows_held(total)
    if sqlite:
        _database_held(total)
    if server:
        _server_frozen(total)
    kept = total["gone_on"] == total["frozen"] == 1 + sqlite + server
    kept = kept and total["taken_back_s"] <= LEASE + FEW_INTERVALS + SLACK
    return total | {"passed": clean(total, "workers_ended", "other_statuses", "without_retry") and kept}


def _rows_held(total: Figures) -> None:
    """One worker is frozen with the rows of its part and its job; of two others, at another job, one is killed."""
    with house("postgresql") as here:
        first, frozen = _one_at_work(here)
        second = here.light_job(INPUTS, 8, seed=1)
        killed, _ = here.worker(**PACE), here.worker(**PACE)
        assert until(lambda: here.leased(second) == 2, 60.0)
        _freeze(here, frozen, total)
        here.kill(killed)
        began, deadline = time.monotonic(), LEASE + FEW_INTERVALS + SLACK
        here.worker(**PACE)
        until(lambda: here.told(second, "lease_expired") > 0, 2 * deadline)
        worst(total, taken_back_s=time.monotonic() - began)
        total["gone_on"] += here.until_ended(second, INPUTS * 0.05 + deadline)
        os.kill(frozen.pid, signal.SIGCONT)
        _see_through(here, {first: 0, second: 1}, total)


def _database_held(total: Figures) -> None:
    """Longer than others wait for the lock, and longer than a lease."""

    def hold(here: House, worker: "subprocess.Popen[bytes]") -> None:
        _freeze(here, worker, total)
        time.sleep(max(BUSY_TIMEOUT_MS / 1000, LEASE) + FEW_INTERVALS)
        os.kill(worker.pid, signal.SIGCONT)

    _asked_meanwhile("sqlite", hold, total)


def _server_frozen(total: Figures) -> None:
    """All processes of Postgres stand still for two leases, and go on."""

    def hold(here: House, _: "subprocess.Popen[bytes]") -> None:
        assert here.postgres is not None
        here.postgres.freeze()
        time.sleep(2 * LEASE + HOUSEKEEPING)
        here.postgres.thaw()
        total["frozen"] += 1

    _asked_meanwhile("postgresql", hold, total)


def _asked_meanwhile(kind: Kind, hold: "Callable[[House, subprocess.Popen[bytes]], None]", total: Figures) -> None:
    """Two workers have parts of two jobs while the database is held, and the service is asked; after it all goes on.
    ``hold`` is given the worker of the first job, and returns when the database is free again."""
    with house(kind) as here, here.api() as address:
        first, worker = _one_at_work(here, LONG)
        second = here.light_job(LONG, 8, seed=1)
        body = here.light_body(1, seed=2)
        here.worker(**PACE)
        assert until(lambda: here.leased(second) > 0, 60.0)
        with Asker(address, [f"/v1/jobs/{second}"], body).asking() as asker:
            hold(here, worker)
            total["gone_on"] += here.until_more(second, here.stored(second), LEASE + FEW_INTERVALS + SLACK)
        _add_answers(asker, total)
        _see_through(here, {first: 0, second: 1}, total, inputs=LONG)
        _see_through(here, dict.fromkeys(asker.taken, 2), total, inputs=1)


def _one_at_work(here: House, inputs: int = INPUTS) -> "tuple[str, subprocess.Popen[bytes]]":
    """A job in one part, and the worker that has it and can be frozen."""
    job_id = here.light_job(inputs, 1)
    worker = here.worker(**PACE, PROOF_FREEZE=str(here.folder / "freeze"))
    assert until(lambda: here.leased(job_id) == 1, 60.0)
    return job_id, worker


def _freeze(here: House, worker: "subprocess.Popen[bytes]", total: Figures) -> None:
    """Waits until the worker has stopped itself inside of its next commit."""
    (here.folder / "freeze").touch()
    assert until(lambda: system.stopped(worker.pid), 30.0)
    total["frozen"] += 1


def _add_answers(asker: Asker, total: Figures) -> None:
    """An answer may be late or a 503, but no other error."""
    total["other_statuses"] += asker.other_than(200, 202, 503)
    total["without_retry"] += asker.without_retry
    worst(total, slowest_answer_s=asker.slowest)


def _see_through(here: House, seeds: dict[str, int], total: Figures, inputs: int = INPUTS) -> None:
    """All jobs complete, and no worker has ended but those that were killed."""
    for job_id, seed in seeds.items():
        here.until_ended(job_id, 120.0)
        add(total, here.compared(job_id, inputs, light(seed)))
    total["workers_ended"] += sum(process.poll() is not None for process in here.processes)
