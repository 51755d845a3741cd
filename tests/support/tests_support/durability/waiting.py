"""Waiting for a condition."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Waits for a condition; False where it does not come in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
