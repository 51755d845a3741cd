"""The pipe of the embedded mode wakes a worker that waits, and never blocks a writer."""

import threading
import time
from pathlib import Path

from radii.worker.queue import broker, fifo
from radii.worker.queue.fifo import WakeupPipe
from radii.worker.settings import Settings


def waited(heard: WakeupPipe, seconds: float, stop: threading.Event | None = None) -> float:
    begun = time.monotonic()
    heard.wait(stop or threading.Event(), seconds)
    return time.monotonic() - begun


def test_a_worker_that_waits_is_woken_at_once(tmp_path: Path) -> None:
    with WakeupPipe(tmp_path) as heard:
        threading.Timer(0.2, broker.wake_workers, [Settings(data=tmp_path)]).start()
        assert waited(heard, 30.0) < 5.0


def test_what_was_rung_before_the_wait_is_heard(tmp_path: Path) -> None:
    with WakeupPipe(tmp_path) as heard:
        fifo.wake(tmp_path)
        assert waited(heard, 30.0) < 5.0
        assert waited(heard, 0.3) >= 0.3, "once"


def test_one_ring_wakes_one_worker(tmp_path: Path) -> None:
    with WakeupPipe(tmp_path) as first, WakeupPipe(tmp_path) as second:
        fifo.wake(tmp_path)
        times = sorted(waited(heard, 0.3) for heard in (first, second))
        assert times[0] < 0.3 <= times[1]


def test_who_is_to_end_waits_no_longer(tmp_path: Path) -> None:
    stop = threading.Event()
    with WakeupPipe(tmp_path) as heard:
        threading.Timer(0.1, stop.set).start()
        assert waited(heard, 30.0, stop) < 5.0


def test_nobody_waits_for_somebody_to_hear(tmp_path: Path) -> None:
    fifo.wake(tmp_path)
    with WakeupPipe(tmp_path):
        pass
    fifo.wake(tmp_path)
    with WakeupPipe(tmp_path):
        fifo.wake(tmp_path, 64)
        ringing = threading.Thread(target=lambda: [fifo.wake(tmp_path, 64) for _ in range(2_000)], daemon=True)
        ringing.start()
        ringing.join(30.0)
        assert not ringing.is_alive(), "nobody waits, though the pipe is full"


def test_where_there_is_no_pipe_the_time_is_waited(tmp_path: Path) -> None:
    (tmp_path / fifo.NAME).write_text("not a pipe")
    with WakeupPipe(tmp_path) as heard:
        assert waited(heard, 0.2) >= 0.2
    with WakeupPipe(tmp_path / "there is no such folder") as heard:
        assert waited(heard, 0.2) >= 0.2
