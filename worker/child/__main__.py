"""The process that does the work: ``python -m radii.worker.child FD``, kept warm between shards.

It reads one task a line from its standard input and writes messages, one a line, to the file descriptor FD. It knows
blobs and the library, no database. A task runs in the main thread; a second thread reads the input, so that a request
to stop is seen between two records and the end of the loop's process ends this one.
"""

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from radii.rs_core.errors import InputOutOfMemory, OutOfMemory, RadiiError, no_room
from radii.rs_core.exception_text import cause_of
from radii.rs_core.models import registry
from radii.rs_core.out_of_memory import ran_out
from radii.worker import logs
from radii.worker.processes.parent_death import die_with_parent
from radii.worker.settings import Settings
from radii.worker.tasks.environment import MemoryGauge, configure, provenance, resolve_device, share_memory
from radii.worker.tasks.task import Task

Message = dict[str, Any]

log = logging.getLogger("radii.child")

VOTES = ("progress", "record", "turn")
"""Types of messages after which a task that keeps votes is not interrupted: it stops by itself after at most one batch."""


def main() -> None:
    """Serves tasks until the standard input closes."""
    die_with_parent()
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)

    def say(message: Message) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    settings = Settings()
    logs.configure(settings)
    registry.use(settings.architectures)
    device = resolve_device(settings.device, worker_number=settings.worker_number)
    in_turn = settings.device == "auto"
    share_memory(device, workers=settings.local_workers, share=settings.gpu_share, in_turn=in_turn)
    say({"type": "ready", "provenance": provenance(device), "device_type": device.type})
    tasks: queue.Queue[Message] = queue.Queue()
    replies: queue.SimpleQueue[Message] = queue.SimpleQueue()
    stop, gauge = threading.Event(), MemoryGauge(device)
    threading.Thread(target=_listen, args=(tasks, replies, stop), daemon=True).start()
    while True:
        task = tasks.get()
        stop.clear()
        job, shard, _ = task["claim"].split()
        with logs.about(job=job, shard=int(shard)):
            _serve(task | {"replies": replies, "asked_to_stop": stop}, device, say, stop, gauge)


def _serve(
    task: Message, device: Any, say: Callable[[Message], None], stop: threading.Event, gauge: MemoryGauge
) -> None:
    """Says what comes of a task, up to its last message or a request to stop."""
    for message in _work(task, device):
        say(message)
        if (taken := gauge.due()) is not None:
            say({"type": "memory", "memory": taken})
        by_itself = task["keeps_votes"] and message["type"] in VOTES
        if stop.is_set() and message["type"] not in ("done", "failed", "stopped") and not by_itself:
            say({"type": "stopped"})
            break


def _work(body: Message, device: Any) -> Iterator[Message]:
    """A task's messages; whatever goes wrong becomes the last one."""
    try:
        task = Task.read(body, device)
        configure(task.execution)
        yield from import_module(task.task).run(task)
    except RadiiError as error:
        alone = isinstance(error, InputOutOfMemory)
        # What takes the memory may be another process, and pass.
        short = isinstance(error, OutOfMemory) and not alone
        yield {"type": "failed", "problem": error.problem(), "input": alone, "retry": short}
    except OSError as error:
        yield {"type": "failed", "problem": _unexpected(error), "retry": True, "no_room": no_room(error)}
    except Exception as error:
        if ran_out(error):
            expected, where = body["too_large"]
            problem = OutOfMemory(expected=expected, got=cause_of(error), where=where).problem()
            yield {"type": "failed", "problem": problem, "retry": True, "out_of_memory": True}
            return
        log.exception("the work failed")
        yield {"type": "failed", "problem": _unexpected(error)}


def _unexpected(error: Exception) -> Message:
    return {
        "type": "urn:radii:problem:unexpected",
        "title": "The work failed in a way that radii does not know.",
        "status": 500,
        "detail": f"{cause_of(error)}.",
    }


def _listen(tasks: "queue.Queue[Message]", replies: "queue.SimpleQueue[Message]", stop: threading.Event) -> None:
    """Sorts what the loop says; the end of the input is the end of the loop, and of this process."""
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "stop":
            stop.set()
        elif message["type"] == "execution":
            replies.put(message)
        else:
            tasks.put(message)
    os._exit(0)


if __name__ == "__main__":
    main()
