"""A conversion: uploaded files, opened behind walls (``sandbox``), become the one form that the worker keeps."""

from collections.abc import Iterator
from typing import Any

from rs_core.models import table
from worker import sandbox
from worker.run.task import Task
from worker.run.train import sealed
from worker.store import blobs


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``step`` while the converter works; then ``done`` with the file and what it turned out to be."""
    source = task.spec["source"]
    out = blobs.new_path(task.blobs)
    request = {
        **source,
        "what": "dataset" if "dataset" in task.spec else "checkpoint",
        "files": {file["name"]: str(blobs.local_path(task.blobs, file["sha256"])) for file in source.get("files", [])},
        "out": str(out),
        "max_dataset": int(task.limits["max_dataset"]),
        "architectures": table.registered_file(),
    }
    seconds, memory = task.limits["convert"], int(task.limits["convert_memory"])
    try:
        for answer in sandbox.steps(request, seconds=seconds, memory=memory):
            if answer is None:
                yield {"type": "step", "work_done": 0}
            else:
                yield {"type": "done", "made": {"sealed": sealed(out), "columns": answer["columns"]}}
    except BaseException:
        out.unlink(missing_ok=True)
        raise
