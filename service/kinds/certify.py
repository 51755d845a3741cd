"""Jobs that certify."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import procedure_of
from radii.rs_core.reports.certification_of_spec import radii_of
from radii.rs_core.specs.fields import Sampling
from radii.rs_core.specs.jobs import CertifySpec
from radii.service.kinds import forecast, warnings
from radii.service.kinds.forecast import EarlierJobs
from radii.service.kinds.kind import JobFacts, NoiseKind, share
from radii.service.kinds.planned_job import PlanningContext
from radii.service.kinds.planning import Estimate, JobResources, Pace, check_grid, resolve
from radii.service.schemas import responses
from radii.worker.kinds.certify import CERTIFY as WORKER
from radii.worker.store import corruption_groups
from radii.worker.store.jobs import URGENT
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Dataset, Job


class Certify(NoiseKind[CertifySpec]):
    """See ``CertifySpec``. The facts of a job are whether its images are corrupted."""

    worker = WORKER
    template = "kinds/certify.html"
    done_as = "certified"

    def known(self, context: PlanningContext, spec: CertifySpec, resources: JobResources) -> EarlierJobs:
        """The rate; where it is asked for, also what would be certified."""
        known, checkpoint = super().known(context, spec, resources), resources.checkpoint
        inputs = spec.inputs.indices(resources.dataset.count or 0)
        if not context.look_ahead or checkpoint is None or not inputs or spec.bound == "mixed":
            return known  # of a mix it depends on the standard classifier, input by input
        found = forecast.forecast_of(
            context.session,
            context.tenant_id,
            resolve(spec, checkpoint),
            resources.dataset,
            checkpoint,
            rate=known.rate,
            budget=context.budget,
        )
        return replace(known, forecast=found)

    def estimate(self, spec: CertifySpec, resources: JobResources, pace: Pace) -> Estimate:
        """The most that its procedure may draw; the time of what it usually draws."""
        estimate = super().estimate(spec, resources, pace)
        check_grid(spec, resources.dataset)
        resolved = resolve(spec, resources.checkpoint)
        procedure = procedure_of(resolved, inputs=estimate.total)
        return replace(estimate, work=estimate.total * procedure.most, radii=radii_of(resolved, procedure.cap))

    def facts(self, session: Session, jobs: Sequence[Job]) -> Mapping[str, bool]:
        """Whether the images are corrupted ones."""
        found = corruption_groups.corrupted_among(session, [job.dataset_id for job in jobs if job.dataset_id])
        return {job.id: job.dataset_id in found for job in jobs}

    def chooses_sizes(self, spec: CertifySpec) -> bool:
        """A pilot and ``at_radii`` do."""
        return spec.sampling in ("pilot", "at_radii")

    def summary(self, job: Job, facts: JobFacts) -> responses.Summary:
        """ACR and certified accuracy so far."""
        return certify_summary(facts.summary, job.certify.sampling)

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """Certificates, report and plots."""
        return {
            "certificates": f"{base}/certificates",
            "report": f"{base}/report",
            "report_html": f"{base}/report.html",
            "certified_accuracy": f"{base}/plots/certified-accuracy.svg",
            "radius_histogram": f"{base}/plots/radius-histogram.svg",
            "compare": f"/v1/compare.html?job={job.id}",
            **({"corruptions": f"{base}/plots/corruptions.svg"} if facts.more else {}),
            **({"weights": f"{base}/plots/weights.svg"} if job.certify.bound == "mixed" else {}),
        }

    def warnings(self, session: Session, job: Job, summary: JobSummary, dataset: Dataset) -> Sequence[str]:
        """Of the sums; those of ``anytime`` say little while its inputs grow."""
        if job.certify.sampling == "anytime" and summary.done < summary.total:
            return ()
        return warnings.of_sums(job, summary, dataset, at_cap=summary.at_cap)

    def title(self, job: responses.Job) -> str:
        """Requests for predictions have a title of their own."""
        return "certify: prediction" if job.priority >= URGENT else job.kind


CERTIFY = Certify()


def certify_summary(row: JobSummary, sampling: Sampling = "fixed") -> responses.CertifySummary:
    """ACR and certified accuracy so far, over all inputs and over those that are done; of ``anytime``, where inputs count
    with their present bound before they are done, only the first."""
    done = 0 if sampling == "anytime" and row.done < row.total else row.done
    return responses.CertifySummary(
        sampling=sampling,
        partial=row.done < row.total,
        inputs_total=row.total,
        inputs_done=row.done,
        acr=row.radius_sum / row.total,
        acr_over_done=share(row.radius_sum, done),
        correct=row.correct,
        abstained=row.abstained,
        at_cap=row.at_cap,
        errors=row.errors,
        certified_accuracy=[
            responses.RadiusCount(
                radius=radius,
                count=count,
                certified_accuracy=count / row.total,
                certified_accuracy_over_done=share(count, done),
            )
            for radius, count in zip(row.radii, row.correct_at, strict=True)
        ],
    )
