"""Jobs that audit a certify job: which job, and which of its inputs are drawn again."""

import random
import secrets
from collections.abc import Sequence
from dataclasses import replace

from radii.rs_core.errors import Mismatch
from radii.rs_core.specs.jobs import VerifySpec
from radii.service.errors import Rejected
from radii.service.kinds import planning
from radii.service.kinds.kind import JobFacts, SubmittedKind
from radii.service.kinds.planned_job import PlannedJob, PlanningContext, named_job
from radii.worker.kinds.verify import VERIFY as WORKER
from radii.worker.store import certificate_rows, resources
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import AuditPlan, as_kind

FEW = 100_000
"""Certificates of which all are in the draw, wherever they lie; of more, those at random places are."""


class Verify(SubmittedKind[VerifySpec]):
    """See ``VerifySpec``."""

    worker = WORKER
    template = "kinds/verify.html"
    done_as = "certified"

    def plan(self, context: PlanningContext, spec: VerifySpec) -> PlannedJob:
        """The audit; raises the problem where there is no such job, or nothing to draw again from."""
        return plan_audit(context, spec)

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """The job that it audits."""
        return {"audited": f"/v1/jobs/{as_kind(job.spec, VerifySpec).job}"}


VERIFY = Verify()


def plan_audit(context: PlanningContext, spec: VerifySpec) -> PlannedJob:
    """The plan of an audit."""
    audited = named_job(context, spec.job, "certify", "job")
    dataset = context.session.get_one(Dataset, audited.dataset_id)
    checkpoint = context.session.get_one(Checkpoint, audited.checkpoint_id)
    for row in (dataset, checkpoint):
        if row.state not in (resources.READY, resources.ATTACHED):
            got = f"{row.id}, which was deleted"
            raise Rejected(expected="a job whose model and data are still there", got=got, where="job", problem=None)
    seed = secrets.randbits(62) if spec.seed is None else spec.seed
    chosen = _chosen(context, audited, dataset, spec.inputs, seed)
    if not chosen:
        raise Mismatch(expected="a job with certificates", got=f"{audited.id}, which has none yet", where="job")
    work = sum(
        row.n0 + row.n for row in certificate_rows.each_at(context.session, audited.id, chosen, without_counts=True)
    )
    seconds = work / planning.rate_of(checkpoint)
    planning.admit(seconds, context.settings.max_job_seconds, f"{work} noise samples", "inputs")
    new = NewJob(
        tenant_id=context.tenant_id,
        spec=replace(spec, seed=seed),
        plan=AuditPlan(chosen=tuple(chosen), certify=audited.certify, execution=audited.execution or {}),
        shards=[(0, len(chosen))],
        total=len(chosen),
        work_total=max(1, work),
        dataset_id=dataset.id,
        checkpoint_id=checkpoint.id,
    )
    return PlannedJob(spec=spec, new=new, seconds=seconds, inputs=len(chosen), dataset_name=dataset.name)


def _chosen(context: PlanningContext, audited: Job, dataset: Dataset, inputs: int, seed: int) -> list[int]:
    """Indices of certificates, at random."""
    draw = random.Random(seed)
    places: Sequence[int] = audited.certify.inputs.indices(dataset.count or 0)
    if len(places) > FEW:
        places = draw.sample(places, min(len(places), 50 * inputs))
    else:
        draw.shuffle(places := list(places))
    found = certificate_rows.each_at(context.session, audited.id, places, without_counts=True)
    there = {row.index for row in found if row.error is None}
    return sorted([index for index in places if index in there][:inputs])
