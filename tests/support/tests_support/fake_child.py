"""A child that speaks the protocol of ``radii.worker.child`` without torch, and misbehaves as FAKE_CHILD tells it to.

FAKE_CHILD is a comma-separated list of ``index:act``; the act is done when the input of that index begins: ``die``
(a segfault), ``die-loud`` (the same after a line on stderr), ``killed`` (by the system), ``die-late`` (always after the same progress), ``die-further`` (after new progress), ``hang`` (silence), ``fail`` (a problem), ``busy`` (one
that may pass), ``full`` (a full disk), ``large`` (an
input that does not fit into memory), ``smaller`` (work that fits only with fewer activations).
``start:die`` and ``start:hang`` misbehave at once, ``all:slow`` and ``all:slower`` take their time, ``together:yes`` has all inputs of a shard
on their way at once, unless it is told to take them alone.
"""

import json
import os
import signal
import sys
import threading
import time

ACTS = dict(part.split(":") for part in os.environ.get("FAKE_CHILD", "").split(",") if part)

PROBLEM = {"type": "urn:radii:problem:test", "title": "No.", "status": 422, "detail": "It does not work."}


def main() -> None:
    """Serves tasks until the input closes."""
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    stop = threading.Event()
    tasks: list[dict] = []
    arrived = threading.Condition()

    def say(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")

    def listen() -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "stop":
                stop.set()
            else:
                with arrived:
                    tasks.append(message)
                    arrived.notify()
        os._exit(0)

    _act(ACTS.get("start", ""), say)
    say(type="ready", provenance={"device": "fake"}, device_type="cpu")
    threading.Thread(target=listen, daemon=True).start()
    while True:
        with arrived:
            arrived.wait_for(lambda: tasks)
            task = tasks.pop()
        stop.clear()
        _serve(task, say, stop)


def _serve(task: dict, say, stop: threading.Event) -> None:  # type: ignore[no-untyped-def]
    spec = task["spec"]
    start = spec["inputs"]["start"]
    left = [index for index in range(start + task["first"], start + task["stop"]) if index not in task["done"]]
    begun = {progress["index"]: progress for progress in task["progress"]}
    if "together" in ACTS and not task["alone"]:
        for index in left:
            say(type="progress", index=index, label=7, votes={}, seconds=0.0)
    for index in left:
        say(type="progress", index=index, label=7, votes={}, seconds=0.0)
        if ACTS.get(str(index)) == "smaller" and "forward_batch" not in task["execution"]:
            say(type="failed", problem=PROBLEM, retry=True, out_of_memory=True)
            return
        if _act(ACTS.get(str(index), ""), say, index, begun.get(index)):
            return
        time.sleep({"slow": 0.3, "slower": 2.5}.get(ACTS.get("all", ""), 0.01))
        if stop.is_set() and ACTS.get("all") != "deaf":
            say(type="stopped")
            return
        if spec["kind"] == "evaluate":
            say(type="record", index=index, label=7, found=_found(spec["evaluation"]), seed=0, seconds=0.1)
            continue
        evidence = {"index": index, "label": 7, "prediction": 7, "radius": 0.1, "p_lower": 0.9, "seconds": 0.1}
        evidence |= {"counts0": [0] * 7 + [10], "counts": [0] * 7 + [100], "error": None}
        evidence |= {name: spec[name] for name in ("n0", "n", "sigma", "alpha", "seed")}
        say(type="record", **evidence)
    say(type="done")


def _found(asked: dict) -> list[dict]:
    return [{"point": at, "distance": at, "prediction": 7, "counts": []} for at in (0.0, asked["epsilon"])]


def _act(act: str, say, index: int = 0, progress: dict | None = None) -> bool:  # type: ignore[no-untyped-def]
    if act == "die-loud":
        print("the last thing that it wrote", file=sys.stderr, flush=True)
    if act in ("die", "die-loud"):
        os.kill(os.getpid(), signal.SIGSEGV)
    elif act == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif act in ("die-late", "die-further"):
        before = progress["votes"]["0"]["drawn"] if progress and act == "die-further" else 0
        say(type="progress", index=index, label=7, votes={"0": {"drawn": before + 5, "counts": [5]}}, seconds=0.1)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif act == "hang":
        time.sleep(3600)
    elif act in ("fail", "busy", "full", "large"):
        retry, full = act in ("busy", "full"), act == "full"
        say(type="failed", problem=PROBLEM, retry=retry, no_room=full, input=act == "large")
        return True
    return False


if __name__ == "__main__":
    main()
