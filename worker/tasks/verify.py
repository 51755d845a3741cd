"""A verify shard: some certificates of the audited job, drawn again."""

from collections.abc import Iterator
from typing import Any

from radii.rs_core.runs import verify
from radii.rs_core.specs.jobs import VerifySpec
from radii.worker.store.specifications import AuditPlan
from radii.worker.tasks.messages import messages
from radii.worker.tasks.task import Task


def run(task: Task[VerifySpec]) -> Iterator[dict[str, Any]]:
    """Messages ``progress`` and ``record``; then ``done``, with what the loop has found before."""
    assert isinstance(task.plan, AuditPlan)
    drawn = [verify.DrawnInput(**each) for each in task.evidence or ()]
    yield from messages(verify.records(task.run_of(task.plan.certify), drawn))
    yield {"type": "done", "recomputed": task.recomputed}
