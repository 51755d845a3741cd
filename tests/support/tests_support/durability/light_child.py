"""A child without torch whose votes follow from seed and index, so that hundreds of workers can be started and killed.

Speaks the protocol of ``radii.worker.child``. ``PROOF_PACE`` is the seconds that an input takes.
"""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

CLASSES = 10


def counts(seed: int, index: int, n0: int, n: int) -> tuple[list[int], list[int]]:
    """The votes of an input, the same whenever and by whomever they are counted."""
    stream = random.Random(f"{seed} {index}")
    top, share = stream.randrange(CLASSES), 0.5 + stream.random() / 2
    votes = []
    for total in (n0, n):
        first = round(total * share)
        rest = [0] * CLASSES
        rest[top], rest[(top + 1) % CLASSES] = first, total - first
        votes.append(rest)
    return votes[0], votes[1]


def certificate(spec: dict[str, Any], index: int) -> dict[str, Any]:
    """The message about an input."""
    first, second = counts(spec["seed"], index, spec["n0"], spec["n"])
    known = {name: spec[name] for name in ("n0", "n", "sigma", "alpha", "seed")}
    prediction = second.index(max(second))
    return {
        "index": index,
        "label": index % CLASSES,
        "prediction": prediction,
        "radius": max(second) / spec["n"] / 2,
        "p_lower": max(second) / spec["n"],
        "counts0": first,
        "counts": second,
        "seconds": 0.0,
        "error": None,
        **known,
    }


def main() -> None:
    """Serves tasks until the input closes."""
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    stop, pace = threading.Event(), float(os.environ.get("PROOF_PACE", "0.02"))
    tasks: list[dict[str, Any]] = []
    arrived = threading.Condition()

    def say(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")

    def listen() -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "stop":
                stop.set()
            elif message["type"] == "task":
                with arrived:
                    tasks.append(message)
                    arrived.notify()
        os._exit(0)

    say(type="ready", provenance={"device": "light"}, device_type="cpu")
    threading.Thread(target=listen, daemon=True).start()
    while True:
        with arrived:
            arrived.wait_for(lambda: tasks)
            task = tasks.pop()
        stop.clear()
        _serve(task, say, stop, pace)


def _serve(task: dict[str, Any], say: Callable[..., None], stop: threading.Event, pace: float) -> None:
    spec, done = task["spec"], set(task["done"])
    start = spec["inputs"]["start"]
    for index in range(start + task["first"], start + task["stop"]):
        if index in done:
            continue
        say(type="progress", index=index, label=index % CLASSES, votes={}, seconds=0.0)
        time.sleep(pace)
        say(type="record", **certificate(spec, index))
        if stop.is_set():
            say(type="stopped")
            return
    say(type="done")


if __name__ == "__main__":
    main()
