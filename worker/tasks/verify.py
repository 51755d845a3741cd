"""A verify shard: the noise of some certificates drawn again, as the audited job drew it."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.replay import redraw
from radii.rs_core.records import ABSTAIN, Certificate
from radii.worker.tasks.certify import progress
from radii.worker.tasks.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``certificate``; then ``done``, with what the loop has found before."""
    audited = replace(task, spec=task.spec["certify"])
    for record in redraw(audited.sampler(), _chosen(audited), audited.standard()):
        yield progress(record) if isinstance(record, Progress) else {"type": "certificate", **asdict(record)}
    yield {"type": "done", "recomputed": task.recomputed}


def _chosen(task: Task) -> Iterator[tuple[Input, Certificate]]:
    """The inputs that are not drawn again yet, each with what its certificate says of how it was drawn."""
    data, spec = task.dataset(), task.spec
    for row in task.evidence or ():
        index = row["index"]
        if index in task.done:
            continue
        label = int(data.labels[index])
        certificate = Certificate(
            index=index,
            label=label,
            prediction=ABSTAIN,
            radius=0.0,
            p_lower=0.0,
            counts0=(),
            counts=(),
            n0=row["n0"],
            n=row["n"],
            sigma=spec["sigma"],
            alpha=row["alpha"],
            seed=spec["seed"],
            sampling=spec.get("sampling", "fixed"),
            bound=spec.get("bound", "one_sided"),
            robust_weight=spec.get("robust_weight"),
        )
        yield (index, data.image(index), label), certificate
