"""Jobs that evaluate."""

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.specs.jobs import EvaluateSpec
from radii.worker.kinds.kind import Message, NoiseKind, ResultRows, tuples
from radii.worker.store import evaluation_rows
from radii.worker.store.models.result_tables import EvaluationRow


def _load(fields: Message) -> EvaluationRecord:
    found = tuple(PointResult(**tuples(at)) for at in fields["found"])
    return EvaluationRecord(**fields | {"found": found})


class Evaluate(NoiseKind):
    """See ``EvaluateSpec``. An input that was begun is begun again."""

    spec = EvaluateSpec
    records = "radii.rs_core.runs.evaluate:records"
    rows = ResultRows(table=EvaluationRow, load=_load, store=evaluation_rows.store, failure=evaluation_rows.failure)
    too_large = ("activations that fit: give a smaller batch_size, or evaluation.together", "batch_size")


EVALUATE = Evaluate()
