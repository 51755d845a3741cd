"""Jobs that certify: votes are kept, and with ``anytime`` all inputs advance together, turn by turn."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import CertifySpec
from radii.worker.kinds.kind import NoiseKind, ResultRows
from radii.worker.store import certificate_rows
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.shards import Claim
from radii.worker.store.specifications import as_kind

ROWS = ResultRows(
    table=CertificateRow,
    record=Certificate,
    store=certificate_rows.store,
    failure=certificate_rows.failure,
)


class Certify(NoiseKind):
    """See ``CertifySpec``."""

    spec = CertifySpec
    task = "radii.worker.tasks.certify"
    rows = ROWS
    keeps_votes = True

    def reached(
        self, session: Session, claim: Claim, indices: Sequence[int]
    ) -> tuple[set[int], dict[int, dict[str, Any]]]:
        """Of ``anytime`` the inputs that have come as far as this turn goes, and the votes in the rows of the others."""
        spec = as_kind(claim.spec, CertifySpec)
        if spec.sampling == "anytime":
            return certificate_rows.standing(session, claim, spec.n, indices)
        return super().reached(session, claim, indices)


CERTIFY = Certify()
