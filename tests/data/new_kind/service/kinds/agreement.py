"""Jobs that measure agreement."""

from collections.abc import Mapping, Sequence

from radii.worker.kinds.agreement import AGREEMENT as WORKER
from sqlalchemy.orm import Session

from radii.rs_core.specs.jobs import AgreementSpec
from radii.service.kinds.kind import JobFacts, NoiseKind
from radii.service.schemas import responses
from radii.worker.store import agreement_rows
from radii.worker.store.models.tables import Job


class AgreementJobs(NoiseKind[AgreementSpec]):
    """See ``AgreementSpec``. The facts of a job are its mean share."""

    worker = WORKER
    template = "kinds/agreement.html"
    done_as = "compared"

    def facts(self, session: Session, jobs: Sequence[Job]) -> Mapping[str, float]:
        """The mean shares so far."""
        return agreement_rows.shares(session, [job.id for job in jobs])

    def summary(self, job: Job, facts: JobFacts) -> responses.Summary:
        """The mean share so far."""
        row = facts.summary
        return responses.AgreementSummary(
            partial=row.done < row.total, inputs_total=row.total, inputs_done=row.done, share=facts.more
        )

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """The rows and the report."""
        return {"agreements": f"{base}/agreements", "report": f"{base}/report"}


AGREEMENT = AgreementJobs()
