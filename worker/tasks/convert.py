"""A conversion: uploaded files, opened by a confined process (``sandbox.converter``), become the one form that the worker keeps; so does a
stored data set whose images are corrupted, and stored checkpoints become one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radii.rs_core.data.dataset_header import read_labels
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.models import registry
from radii.rs_core.results.photographs import check_photographs, repeat_of
from radii.worker.sandbox import converter, converter_answer
from radii.worker.store.blobs import blob_files
from radii.worker.store.specifications import ConvertSpec, dump_spec
from radii.worker.tasks.task import Task
from radii.worker.tasks.train import sealed


def run(task: Task[ConvertSpec]) -> Iterator[dict[str, Any]]:
    """Messages ``step`` while the converter works, with the images made so far where they are counted; then ``done`` with
    the file and what it turned out to be."""
    spec = task.spec
    source = dump_spec(spec.source)
    out = blob_files.new_path(task.blobs)
    request = {
        **source,
        **({} if task.class_names is None else {"class_names": task.class_names}),
        "what": "dataset" if spec.dataset is not None else "checkpoint",
        "files": {name: str(blob_files.local_path(task.blobs, sha256)) for name, sha256 in _files(spec).items()},
        "out": str(out),
        "max_dataset": int(task.limits["max_dataset"]),
        "architectures": registry.registered_file(),
    }
    seconds, memory = task.limits["convert"], int(task.limits["convert_memory"])
    uid = int(task.limits["sandbox_uid"])
    try:
        for answer in converter.steps(request, seconds=seconds, memory=memory, uid=uid):
            if isinstance(answer, int):
                yield {"type": "step", "work_done": answer}
            else:
                converter_answer.check(answer)
                if request["what"] == "dataset":
                    answer = with_photographs(answer, out, source.get("photographs"))
                yield {"type": "done", "made": {"sealed": sealed(out), **answer}}
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def with_photographs(answer: dict[str, Any], out: Path, photographs: int | None) -> dict[str, Any]:
    """The converter's answer on a dataset, with what the labels say of photographs that are shown several times.

    Args:
        answer: See ``sandbox.converter.steps``.
        out: The converted file.
        photographs: How many photographs the user says there are, if any.

    Returns:
        The answer; ``source`` has ``label_period`` where nobody says which images show the same photograph, and labels repeat.

    Raises:
        InvalidDataset: The images cannot show that number of photographs.
    """
    source = answer.get("source") or {}
    if corrupted := source.get("corrupted"):
        if photographs is not None:
            known = f"none, since the files say which images are corrupted ({len(corrupted['groups'])} groups)"
            raise InvalidDataset(expected=known, got=f"{photographs:,}", where="photographs")
        return answer
    labels = read_labels(out)
    if photographs is not None:
        check_photographs(labels, photographs, "photographs")
        return answer
    period = repeat_of(labels)
    return answer if period is None else answer | {"source": source | {"label_period": period}}


def _files(spec: ConvertSpec) -> dict[str, str]:
    """What is read, by the names that messages speak of: the SHA-256 of each, in order."""
    parts = {f"part {place}, {part.id}": part.sha256 for place, part in enumerate(spec.parts)}
    return parts | {file.name: file.sha256 for file in spec.files}
