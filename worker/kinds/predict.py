"""Jobs that predict, and jobs that vote: both store predictions."""

from radii.rs_core.records import Prediction
from radii.rs_core.specs.jobs import PredictSpec, SoftLabelSpec
from radii.worker.kinds.kind import NoiseKind, ResultRows
from radii.worker.store import prediction_rows
from radii.worker.store.models.result_tables import PredictionRow

ROWS = ResultRows(
    table=PredictionRow,
    record=Prediction,
    store=prediction_rows.store,
    failure=prediction_rows.failure,
)


class Predict(NoiseKind):
    """See ``PredictSpec``."""

    spec = PredictSpec
    records = "radii.rs_core.runs.predict:records"
    rows = ROWS
    keeps_votes = True


class SoftLabels(NoiseKind):
    """See ``SoftLabelSpec``."""

    spec = SoftLabelSpec
    records = "radii.rs_core.runs.soft_labels:records"
    rows = ROWS
    keeps_votes = True


PREDICT, SOFT_LABELS = Predict(), SoftLabels()
