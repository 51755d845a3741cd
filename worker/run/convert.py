"""A conversion: uploaded files, opened by a confined process (``sandbox``), become the one form that the worker keeps; so does a
stored data set whose images are corrupted, and stored checkpoints become one.
"""

from collections.abc import Iterator
from typing import Any

from rs_core.models import table
from worker import sandbox
from worker.run.task import Task
from worker.run.train import sealed
from worker.store import blobs


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``step`` while the converter works, with the images made so far where they are counted; then ``done`` with
    the file and what it turned out to be."""
    source = task.spec["source"]
    out = blobs.new_path(task.blobs)
    request = {
        **source,
        "what": "dataset" if "dataset" in task.spec else "checkpoint",
        "files": {name: str(blobs.local_path(task.blobs, sha256)) for name, sha256 in _files(source).items()},
        "out": str(out),
        "max_dataset": int(task.limits["max_dataset"]),
        "architectures": table.registered_file(),
    }
    seconds, memory = task.limits["convert"], int(task.limits["convert_memory"])
    uid = int(task.limits["sandbox_uid"])
    try:
        for answer in sandbox.steps(request, seconds=seconds, memory=memory, uid=uid):
            if isinstance(answer, int):
                yield {"type": "step", "work_done": answer}
            else:
                yield {"type": "done", "made": {"sealed": sealed(out), **answer}}
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _files(source: dict[str, Any]) -> dict[str, str]:
    """What is read, by the names that messages speak of: the SHA-256 of each, in order."""
    parts = {f"part {place}, {part['id']}": part["sha256"] for place, part in enumerate(source.get("parts", []))}
    return parts | {file["name"]: file["sha256"] for file in source.get("files", [])}
