"""Jobs that evaluate. An attack whose answers are compared with certificates names the job that has them."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from radii.rs_core.errors import Mismatch
from radii.rs_core.reports.evaluation import require_same_classifier, require_shared_inputs
from radii.rs_core.reports.procedure_text import made_of
from radii.rs_core.specs.composition import mixed_weight
from radii.rs_core.specs.evaluations import FEWEST_CLASSES
from radii.rs_core.specs.jobs import Attack, AutoAttack, EvaluateSpec
from radii.service.kinds import forecast, planning, warnings
from radii.service.kinds.forecast import EarlierJobs
from radii.service.kinds.kind import JobFacts, NoiseKind, plan_of, share
from radii.service.kinds.planned_job import PlannedJob, PlanningContext, named_job, plan_one
from radii.service.kinds.planning import INPUT_PASS, Estimate, JobResources, Pace, check_model, cut, rate_of, resolve
from radii.service.schemas import responses
from radii.worker.kinds.evaluate import EVALUATE as WORKER
from radii.worker.store import content_keys
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import as_kind

WHERE = "evaluation.certificates"


class Evaluate(NoiseKind[EvaluateSpec]):
    """See ``EvaluateSpec``."""

    worker = WORKER
    template = "kinds/evaluate.html"
    done_as = "evaluated"
    work_unit = "passes"
    grows_with = "inputs, evaluation"

    def plan(self, context: PlanningContext, spec: EvaluateSpec) -> PlannedJob:
        """One job, which fits its model and the certificates that it is compared with."""
        resources = self.resources(context, spec)
        assert resources.checkpoint is not None
        check_evaluation(context, spec, resources.dataset, resources.checkpoint)
        return plan_one(context, spec, resources)

    def known(self, context: PlanningContext, spec: EvaluateSpec, resources: JobResources) -> EarlierJobs:
        """Nothing: noise samples say little about passes."""
        return forecast.NOTHING

    def estimate(self, spec: EvaluateSpec, resources: JobResources, pace: Pace) -> Estimate:
        """Its passes of the network."""
        chosen = len(resources.chosen(spec.inputs))
        check_model(spec, resources)
        forward, to_the_input = spec.evaluation.passes
        seconds = chosen * (forward + INPUT_PASS * to_the_input) / rate_of(resources.checkpoint)
        return Estimate(
            total=chosen,
            work=chosen * (forward + to_the_input),
            seconds=seconds,
            shards=cut(chosen, seconds / chosen, pace.shard_seconds, spec.evaluation.together),
            plan=plan_of(resolve(spec, resources.checkpoint)),
            radii=spec.evaluation.points,
        )

    def summary(self, job: Job, facts: JobFacts) -> responses.Summary:
        """The inputs that are right at each point."""
        row = facts.summary
        return responses.EvaluateSummary(
            evaluation=as_kind(job.spec, EvaluateSpec).evaluation.name,
            partial=row.done < row.total,
            inputs_total=row.total,
            inputs_done=row.done,
            errors=row.errors,
            right=[
                responses.PointCount(
                    point=point, count=count, share=count / row.total, share_over_done=share(count, row.done)
                )
                for point, count in zip(row.radii, row.correct_at, strict=True)
            ],
        )

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """Rows, report and plot."""
        return {
            "evaluations": f"{base}/evaluations",
            "report": f"{base}/report",
            "report_html": f"{base}/report.html",
            "plot": f"{base}/plots/evaluation.svg",
        }

    def warnings(self, session: Session, job: Job, summary: JobSummary, dataset: Dataset) -> Sequence[str]:
        """Of the first point, where that is the input itself."""
        return warnings.of_points(summary, dataset)

    def title(self, job: responses.Job) -> str:
        """With the name of the evaluation."""
        return f"evaluate: {job.spec['evaluation']['name'].replace('_', '-')}"


EVALUATE = Evaluate()


def check_evaluation(context: PlanningContext, spec: EvaluateSpec, dataset: Dataset, checkpoint: Checkpoint) -> None:
    """Raises the problem where the certificates that an attack is to be held against are none, or of something else."""
    asked = spec.evaluation
    if isinstance(asked, Attack) and asked.target == "mix":
        composition = (checkpoint.info or {}).get("composition")
        mixed_weight(asked.robust_weight, composition, checkpoint.id, "target = mix", "evaluation.target")
    if isinstance(asked, AutoAttack):
        _check_autoattack(asked, checkpoint)
    if not isinstance(asked, Attack) or asked.certificates is None:
        return
    job = named_job(context, asked.certificates, "certify", WHERE)
    theirs = (
        content_keys.content_of(context.session.get_one(Checkpoint, job.checkpoint_id)),
        content_keys.content_of(context.session.get_one(Dataset, job.dataset_id)),
    )
    if theirs != (content_keys.content_of(checkpoint), content_keys.content_of(dataset)):
        raise Mismatch(expected="certificates of the same model and data set", got=f"{job.id}, of others", where=WHERE)
    sigma = planning.resolve(spec, checkpoint).sigma
    theirs_spec = job.certify
    if theirs_spec.sigma != sigma:
        got = f"{job.id}, of sigma = {theirs_spec.sigma:g}"
        raise Mismatch(expected=f"certificates of sigma = {sigma:g}", got=got, where=WHERE)
    composition = (checkpoint.info or {}).get("composition")
    require_same_classifier(asked, composition, made_of(job.certify), job.id, WHERE)
    certified = theirs_spec.inputs.indices(dataset.count or 0)
    require_shared_inputs(spec.inputs.indices(dataset.count or 0), certified, job.id, WHERE)


def _check_autoattack(asked: AutoAttack, checkpoint: Checkpoint) -> None:
    if "apgd-t" in asked.attacks and (checkpoint.num_classes or 0) < FEWEST_CLASSES:
        expected = f"a model of at least {FEWEST_CLASSES} classes for apgd-t"
        raise Mismatch(expected=expected, got=f"one of {checkpoint.num_classes}", where="evaluation.attacks")
    composition = (checkpoint.info or {}).get("composition") or {}
    if asked.adaptive and not composition.get("mixing"):
        got = f"{checkpoint.id}, {checkpoint.architecture}"
        raise Mismatch(expected="a model with a mixing network", got=got, where="evaluation.adaptive")
