"""An evaluate shard: what the library finds of each input, as messages."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rs_core.certify.of_mix import mix_of, voting
from rs_core.evaluate.records import Working
from rs_core.evaluate.search import Subject
from rs_core.evaluate.table import EVALUATIONS, evaluation_function
from rs_core.fields import Bound
from rs_core.spec import DEFAULT_BATCH, EvaluateSpec, parse_spec
from worker.run.task import Task


def run(task: Task) -> Iterator[dict[str, Any]]:
    """Messages ``progress``, which say what is worked on and hold no votes, and ``evaluated``; then ``done``."""
    spec = parse_spec(task.spec)
    assert isinstance(spec, EvaluateSpec)
    noisy = EVALUATIONS[spec.evaluation.name].noisy
    rows = (task.resume or {}).get("rows") or task.execution.get("batch_size") or DEFAULT_BATCH
    mixed = getattr(spec.evaluation, "target", None) == "mix"
    bound: Bound = "mixed" if mixed else "one_sided"
    subject = Subject(
        model=voting(task.model(), bound),
        sampler=task.sampler(bound) if noisy else None,
        mix=mix_of(task.model()) if mixed else None,
        seed=spec.seed,
        device=task.device,
        batch_size=rows,
    )
    evaluate = evaluation_function(spec.evaluation.name)
    for record in evaluate(subject, task.inputs(), spec.evaluation):
        if isinstance(record, Working):
            yield {"type": "progress", **asdict(record), "votes": {}, "seconds": 0.0}
        else:
            yield {"type": "evaluated", **asdict(record)}
    yield {"type": "done"}
