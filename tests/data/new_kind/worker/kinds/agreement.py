"""Jobs that measure agreement."""

from radii.rs_core.records import Agreement
from radii.rs_core.specs.jobs import AgreementSpec
from radii.worker.kinds.kind import NoiseKind, ResultRows
from radii.worker.store import agreement_rows
from radii.worker.store.models.result_tables import AgreementRow


class AgreementJobs(NoiseKind):
    """See ``AgreementSpec``."""

    spec = AgreementSpec
    records = "radii.rs_core.runs.agreement:records"
    rows = ResultRows(
        table=AgreementRow,
        record=Agreement,
        store=agreement_rows.store,
        failure=agreement_rows.failure,
    )
    keeps_votes = True


AGREEMENT = AgreementJobs()
