"""A conversion: uploaded files, opened behind walls (``sandbox``), become the one form that the worker keeps."""

import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import Any

from worker import sandbox
from worker.run.task import Task
from worker.run.train import sealed
from worker.store import blobs

SECONDS_BETWEEN_RECORDS = 1.0


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``step`` while the converter works; then ``done`` with the file and what it turned out to be."""
    source = task.spec["source"]
    out = blobs.new_path(task.blobs)
    request = {
        **source,
        "what": "dataset" if "dataset" in task.spec else "checkpoint",
        "files": {file["name"]: str(blobs.path_of(task.blobs, file["sha256"])) for file in source.get("files", [])},
        "out": str(out),
    }
    answers: Queue[Any] = Queue()
    threading.Thread(target=_convert, args=(request, task.limits, answers), daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=SECONDS_BETWEEN_RECORDS)
            break
        except Empty:
            yield {"type": "step", "work_done": 0}
    if isinstance(answer, BaseException):
        out.unlink(missing_ok=True)
        raise answer
    yield {"type": "done", "made": {"sealed": sealed(out), "columns": answer["columns"]}}


def _convert(request: dict[str, Any], limits: dict[str, float], answers: "Queue[Any]") -> None:
    try:
        answers.put(sandbox.convert(request, seconds=limits["convert"], memory=int(limits["convert_memory"])))
    except BaseException as error:
        answers.put(error)
