"""Redis and Postgres that are flushed, restarted and away in the middle of jobs: scenarios 4 and 5."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from redis import Redis

from radii.worker.store import jobs
from tests_support.durability.asking import Asker
from tests_support.durability.house import HOUSEKEEPING, LEASE, House, house, light
from tests_support.durability.outcome import Figures, add, clean, none, worst
from tests_support.durability.waiting import until
from tests_support.servers import OwnRedis

NEVER = 120.0
"""Seconds between two rounds of housekeeping, or two polls of the broker, that nobody is to wait for."""
HEARD = 2.0
"""Seconds from a submission to its first lease where a wake-up message arrives, at most."""
BROKER_POLL = 5 * HOUSEKEEPING
"""Seconds between two polls of a worker: so long that what begins earlier was begun by a wake-up message of housekeeping."""
SLACK = 1.5
"""Seconds that a bound may be missed by on a busy machine."""
MARGIN = 12.0
"""Seconds of work that are left when a server is back."""
PACE = 0.05
"""Seconds that a worker takes for an input."""


def redis_away(*, times: int, long: float = 0.0, without: str = "") -> Figures:
    """4. A submission is heard at once by workers who are idle. With Redis flushed while it is made, it is begun one housekeeping interval
    later, and while Redis is away one poll later; jobs that are at work then, through a restart, 10 s away and ``long`` away,
    complete, and the API answers throughout."""
    total = none("times", "submitted", "other_statuses", "over_too_early")
    total |= {"heard_s": 0.0, "after_flush_s": 0.0, "while_away_s": 0.0, "slowest_answer_s": 0.0}
    with house("postgresql", shard_seconds=0.5) as here:
        _undisturbed(here, 1 + times // 4, total, without)
        if not without:
            here.change(housekeeping_seconds=HOUSEKEEPING, broker_poll_seconds=BROKER_POLL)
            _disturbed(here, times, total)
            if long:
                _long_away(here, long, total)
    kept = total["heard_s"] <= HEARD and total["after_flush_s"] <= HOUSEKEEPING + SLACK
    kept = kept and total["while_away_s"] <= BROKER_POLL + SLACK
    return total | {"passed": clean(total, "other_statuses", "over_too_early") and kept}


def _undisturbed(here: House, times: int, total: Figures, without: str) -> None:
    """Without housekeeping and polls for two minutes, only the wake-up message of the submission can start the job."""
    here.change(housekeeping_seconds=NEVER, broker_poll_seconds=NEVER)
    with here.api(PROOF_WITHOUT=without) as address:
        first = _submitted(address, here.light_body(8), total)
        _two_workers(here)  # whose housekeeping at the start finds the first job
        _see_through(here, first, 8, 0, total)
        for number in range(times):
            began = time.monotonic()
            job_id = _submitted(address, here.light_body(8, seed=number), total)
            if not _begun(here, job_id, 5 * HEARD):
                worst(total, heard_s=time.monotonic() - began)
                total["unfinished"] += 1
                break
            worst(total, heard_s=time.monotonic() - began)
            _see_through(here, job_id, 8, number, total)
    _end_workers(here)


def _disturbed(here: House, times: int, total: Figures) -> None:
    """A flush, a restart and 10 s away, in turn."""
    with here.api() as address:
        _two_workers(here, PACE)
        _see_through(here, _submitted(address, here.light_body(8), total), 8, 0, total)
        for number in range(times):
            if number % 3 == 0:
                _flushed(here, address, number, total)
            else:
                _away(here, address, 10.0 * (number % 3 - 1), number, PACE, total)
            total["times"] += 1
    _end_workers(here)


def _long_away(here: House, seconds: float, total: Figures) -> None:
    """With workers so slow that a job lasts as long."""
    with here.api() as address:
        pace = 2 * (seconds + MARGIN) / 1_500
        _two_workers(here, pace)
        _away(here, address, seconds, 98, pace, total)
        total["times"] += 1


def _flushed(here: House, address: str, number: int, total: Figures) -> None:
    """Redis forgets everything while the job is submitted, over and over; and once more in the middle of its work."""
    assert here.redis is not None
    inputs = 160
    with _forgetting(here.redis):
        job_id = _submitted(address, here.light_body(inputs, seed=number), total)
    began = time.monotonic()
    with Asker(address, [f"/v1/jobs/{job_id}"]).asking() as asker:
        _begun(here, job_id, 60.0)
        worst(total, after_flush_s=time.monotonic() - began)
        here.until_more(job_id, 0, 60.0)
        here.redis.flush()
        _see_through(here, job_id, inputs, number, total)
    total["other_statuses"] += asker.other_than(200)
    worst(total, slowest_answer_s=asker.slowest)


def _away(here: House, address: str, seconds: float, number: int, pace: float, total: Figures) -> None:
    """Redis is away from before a first job is submitted, which idle workers begin all the same; and once more in the middle
    of that job, which is at work when it is back. One that is submitted then completes, too."""
    assert here.redis is not None
    inputs = min(1_700, round(2 * (seconds + MARGIN) / pace))
    here.redis.end()
    began = time.monotonic()
    job_id = _submitted(address, here.light_body(inputs, seed=number), total)
    with Asker(address, [f"/v1/jobs/{job_id}"]).asking() as asker:
        _begun(here, job_id, 60.0)
        worst(total, while_away_s=time.monotonic() - began)
        here.redis.start()
        here.until_more(job_id, 0, 60.0)
        here.redis.end()
        second = _submitted(address, here.light_body(8, seed=number), total)
        time.sleep(seconds)
        here.redis.start()
        total["over_too_early"] += here.ended(job_id)
        _see_through(here, job_id, inputs, number, total)
        _see_through(here, second, 8, number, total)
    total["other_statuses"] += asker.other_than(200)
    worst(total, slowest_answer_s=asker.slowest)


def postgres_away(*, times: int, long: float = 0.0, restart: float = 0.0) -> Figures:
    """5. An immediate restart, as after a crash, and 10 s away: nothing is lost, every job that was promised is done, work goes
    on within a lease and a housekeeping interval, and the API says 503 with Retry-After whatever it is asked. ``restart``: seconds that a
    restart takes longer than it has to, so that somebody notices it."""
    total = none("times", "answers", "unavailable", "promised", "server_errors", "without_retry") | {
        "resumed_s": 0.0,
        "slowest_answer_s": 0.0,
    }
    with house("postgresql", shard_seconds=0.5) as here, here.api() as address:
        _two_workers(here, PACE)
        # Starts the process that makes documents: a client that waits for that would not ask for anything in a short outage.
        assert httpx.get(f"{address}/v1/jobs/none/report", timeout=60).status_code == 404
        outages = [restart, 10.0] * (times // 2) + [restart] * (times % 2) + ([long] if long else [])
        for number, seconds in enumerate(outages):
            _crashed(here, address, number, seconds, total)
            total["times"] += 1
    kept = total["unavailable"] > 0 and total["resumed_s"] <= LEASE + HOUSEKEEPING + 2 * SLACK
    return total | {"passed": clean(total, "server_errors", "without_retry") and kept}


def _crashed(here: House, address: str, number: int, seconds: float, total: Figures) -> None:
    """One job, in the middle of which Postgres is away, while the API is asked for this and that."""
    assert here.postgres is not None
    inputs = 200
    job_id = _submitted(address, here.light_body(inputs, seed=number), None)
    pages = [f"/v1/jobs/{job_id}", "/v1/jobs", f"/v1/jobs/{job_id}/report", "/readyz"]
    with Asker(address, pages, here.light_body(1, seed=number)).asking() as asker:
        here.until_more(job_id, 5, 60.0)
        here.postgres.end(signal.SIGQUIT)
        time.sleep(seconds)
        here.postgres.start()
        began, before = time.monotonic(), here.stored(job_id)
        here.until_more(job_id, before, 60.0)
        worst(total, resumed_s=time.monotonic() - began)
        _see_through(here, job_id, inputs, number, total)
    worst(total, slowest_answer_s=asker.slowest)
    for promised in asker.taken:
        _see_through(here, promised, 1, number, total)
    counted = {"answers": asker.statuses.total(), "unavailable": asker.statuses[503], "promised": len(asker.taken)}
    counted |= {"server_errors": asker.other_than(200, 202, 503), "without_retry": asker.without_retry}
    for name, count in counted.items():
        total[name] += count


def _two_workers(here: House, pace: float = 0.02) -> None:
    before = here.workers()
    for _ in range(2):
        here.worker(PROOF_CHILD="light", PROOF_PACE=str(pace))
    assert until(lambda: here.workers() == before + 2, 60.0)


def _end_workers(here: House) -> None:
    for process in list(here.processes):
        here.kill(process)


def _submitted(address: str, body: dict[str, Any], total: Figures | None) -> str:
    """Submits a job over HTTP, which has to be taken; its identifier."""
    answer = httpx.post(f"{address}/v1/jobs", json=body, timeout=30)
    assert answer.status_code == 202, (answer.status_code, answer.text)
    if total is not None:
        total["submitted"] += 1
    return str(answer.json()["id"])


def _begun(here: House, job_id: str, seconds: float) -> bool:
    """Waits for a job's first lease."""
    return until(lambda: here.state(job_id) != jobs.QUEUED, seconds, pause=0.005)


def _see_through(here: House, job_id: str, inputs: int, seed: int, total: Figures) -> None:
    """Waits for the job's end, and adds what came of it."""
    here.until_ended(job_id, 180.0)
    add(total, here.compared(job_id, inputs, light(seed)))


@contextmanager
def _forgetting(redis: OwnRedis) -> Iterator[None]:
    """Inside, Redis is flushed all the time."""
    stop, client = threading.Event(), Redis.from_url(redis.url)

    def forget() -> None:
        while not stop.is_set():
            client.flushall()

    thread = threading.Thread(target=forget, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)
