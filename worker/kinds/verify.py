"""Audits of certify jobs: the loop computes all radii again, and the child draws the noise of some inputs again."""

from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.specs.jobs import VerifySpec
from radii.worker import audits
from radii.worker.kinds import certify
from radii.worker.kinds.kind import Beat, Kind, Message, Standing
from radii.worker.settings import Settings
from radii.worker.store import result_rows
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.models.tables import Job
from radii.worker.store.shards import Claim


class Verify(Kind):
    """See ``VerifySpec``."""

    spec = VerifySpec
    task = "radii.worker.tasks.verify"
    rows = certify.ROWS
    too_large = ("noisy copies that fit, as where the audited job ran", "job")

    def prepared(self, database: Database, settings: Settings, job: Job, beat: Beat) -> Message:
        """What is to be drawn again, and what was found when all certificates were computed again."""
        with database.read() as session:
            evidence = audits.evidence(session, job)
        return {"evidence": evidence, "recomputed": audits.recomputed(database, settings.blobs, job, beat)}

    def standing(self, session: Session, claim: Claim) -> Standing:
        """The inputs that were drawn again."""
        job = session.get_one(Job, claim.job_id)
        return result_rows.done_among(session, CertificateRow, claim.job_id, job.audit.chosen), []

    def output(self, session: Session, job: Job, done: Message) -> dict[str, Any]:
        """What the audit has found."""
        return audits.outcome(session, job, done["recomputed"])


VERIFY = Verify()
