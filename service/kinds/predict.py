"""Jobs that predict, and jobs that vote for soft labels."""

from collections.abc import Sequence
from typing import Literal

from sqlalchemy.orm import Session

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.jobs import PredictSpec, SoftLabelSpec
from radii.service.kinds import prerequisites, warnings
from radii.service.kinds.kind import JobFacts, N, NoiseKind, share
from radii.service.kinds.planned_job import PlannedJob, PlanningContext, plan_one
from radii.service.kinds.planning import Estimate, JobResources, Pace, resolve
from radii.service.schemas import responses
from radii.worker.kinds import predict as worker
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Dataset, Job


class PredictingKind(NoiseKind[N]):
    """A kind whose results are predictions."""

    template = "kinds/predict.html"
    shown_as: Literal["predict", "soft_labels"]

    def summary(self, job: Job, facts: JobFacts) -> responses.Summary:
        """Accuracy so far."""
        row = facts.summary
        return responses.PredictSummary(
            kind=self.shown_as,
            partial=row.done < row.total,
            inputs_total=row.total,
            inputs_done=row.done,
            correct=row.correct,
            accuracy=row.correct / row.total,
            accuracy_over_done=share(row.correct, row.done),
            abstained=row.abstained,
            errors=row.errors,
        )

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """The predictions."""
        return {"predictions": f"{base}/predictions"}

    def warnings(self, session: Session, job: Job, summary: JobSummary, dataset: Dataset) -> Sequence[str]:
        """Of the sums."""
        return warnings.of_sums(job, summary, dataset)


class Predict(PredictingKind[PredictSpec]):
    """See ``PredictSpec``."""

    worker = worker.PREDICT
    shown_as = "predict"
    done_as = "predicted"


class SoftLabels(PredictingKind[SoftLabelSpec]):
    """See ``SoftLabelSpec``. Equal votes are found again by their content key."""

    worker = worker.SOFT_LABELS
    shown_as = "soft_labels"
    done_as = "votes"

    def plan(self, context: PlanningContext, spec: SoftLabelSpec) -> PlannedJob:
        """One job with the content key of its votes."""
        resources = self.resources(context, spec)
        assert resources.checkpoint is not None
        spec = resolve(spec, resources.checkpoint)
        key = prerequisites.vote_key(spec, resources, prerequisites.of_file(resources.checkpoint))
        return plan_one(context, spec, resources, key=key)

    def estimate(self, spec: SoftLabelSpec, resources: JobResources, pace: Pace) -> Estimate:
        """Its votes."""
        if spec.crop_size is not None and spec.augmentation != "resized_crop_flip":
            wanted = "a crop_size only with resized_crop_flip"
            raise InvalidSpec(expected=wanted, got=str(spec.crop_size), where="crop_size")
        return super().estimate(spec, resources, pace)


PREDICT, SOFT_LABELS = Predict(), SoftLabels()
