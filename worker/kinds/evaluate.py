"""Jobs that evaluate."""

from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.specs.jobs import EvaluateSpec
from radii.worker.kinds.kind import NoiseKind, ResultRows
from radii.worker.store import evaluation_rows
from radii.worker.store.models.result_tables import EvaluationRow


class Evaluate(NoiseKind):
    """See ``EvaluateSpec``. An input that was begun is begun again."""

    spec = EvaluateSpec
    records = "radii.rs_core.runs.evaluate:records"
    rows = ResultRows(
        table=EvaluationRow, record=EvaluationRecord, store=evaluation_rows.store, failure=evaluation_rows.failure
    )
    too_large = ("activations that fit: give a smaller batch_size, or evaluation.together", "batch_size")


EVALUATE = Evaluate()
