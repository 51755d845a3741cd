"""What the service knows of a kind of job: how it is planned, and what is shown of it. Each kind has a module here with one instance,
and a row in ``registry``; what queue and worker know of it is in ``radii.worker.kinds``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import USUAL_SAVING
from radii.rs_core.specs.jobs import NoiseJob
from radii.service.kinds import forecast
from radii.service.kinds.forecast import EarlierJobs
from radii.service.kinds.planned_job import PlannedJob, PlanningContext, plan_one, ready
from radii.service.kinds.planning import Estimate, JobResources, Pace, check_model, cut, rate, rate_of, resolve
from radii.service.schemas import requests, responses
from radii.worker.kinds.kind import Kind as WorkerKind
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import NoisePlan, Plan

S = TypeVar("S", bound=Any)
N = TypeVar("N", bound=NoiseJob)


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What there is to say about a job in addition to its own row; ``more`` is what :meth:`Kind.facts` found."""

    summary: JobSummary
    drawn: int
    leased: int
    now: float
    more: Any = None


class Kind(Generic[S]):
    """A kind of job.

    Attributes:
        worker: What queue and worker know of it.
        unit: What ``done`` counts.
        work_unit: What ``work`` counts.
        grows_with: The fields that its work grows with.
        template: Of the parts of pages that are about this kind, see ``templates/kinds/plain.html``.
        done_as: What a job has done at its noise level, in a list: "certified".
        makes_checkpoint: Whether it makes a checkpoint, which counts against the tenant's quota.
    """

    worker: ClassVar[WorkerKind]
    unit: ClassVar[str] = "inputs"
    work_unit: ClassVar[str] = "noise samples"
    grows_with: ClassVar[str] = "inputs"
    template: ClassVar[str] = "kinds/plain.html"
    done_as: ClassVar[str] = ""
    makes_checkpoint: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """As in ``Job.kind``."""
        return self.worker.name

    def submitted(self, session: Session, job: Job, planned: PlannedJob, request: requests.RequestOptions) -> None:
        """Writes what a new job needs in addition to its own row. Of a job that another one needs, ``request`` has only defaults."""

    def facts(self, session: Session, jobs: Sequence[Job]) -> Mapping[str, Any]:
        """What is looked up for jobs of this kind, all at once: by identifier, what the other methods need as ``facts.more``."""
        return {}

    def work_unit_of(self, spec: S) -> str:
        """What the work of this job counts."""
        return self.work_unit

    def chooses_sizes(self, spec: S) -> bool:
        """Whether inputs get numbers of samples of their own, so that the work is only the most that there may be."""
        return False

    def summary(self, job: Job, facts: JobFacts) -> responses.Summary | None:
        """The running sums."""
        return None

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """Where the results are, by what they are called."""
        return {}

    def warnings(self, session: Session, job: Job, summary: JobSummary, dataset: Dataset) -> Sequence[str]:
        """What makes the results so far implausible."""
        return ()

    def title(self, job: responses.Job) -> str:
        """What it is called on pages."""
        return job.kind


class SubmittedKind(Kind[S], ABC):
    """A kind that requests for jobs ask for."""

    @abstractmethod
    def plan(self, context: PlanningContext, spec: S) -> PlannedJob:
        """What would be submitted, with the jobs that it needs. Raises the problem where names, shapes, classes or the amount of
        work do not fit."""


class EstimatedKind(SubmittedKind[S]):
    """A kind whose amount of work follows from its specification and from the resources that it names."""

    def known(self, context: PlanningContext, spec: S, resources: JobResources) -> EarlierJobs:
        """What earlier jobs of the tenant tell about this one."""
        return forecast.NOTHING

    @abstractmethod
    def estimate(self, spec: S, resources: JobResources, pace: Pace) -> Estimate:
        """How much work it is. Raises :class:`Mismatch` or :class:`InvalidSpec` where specification, data and model do not fit."""


class NoiseKind(EstimatedKind[N]):
    """A kind whose specification is a ``NoiseJob``: a checkpoint on chosen inputs of a dataset."""

    grows_with = "inputs, n"

    def plan(self, context: PlanningContext, spec: N) -> PlannedJob:
        """One job."""
        return plan_one(context, spec, self.resources(context, spec))

    def resources(self, context: PlanningContext, spec: N) -> JobResources:
        """The dataset and the checkpoint that it names, which must be ready."""
        return JobResources(
            dataset=ready(context.session, Dataset, context.tenant_id, spec.dataset, "dataset"),
            checkpoint=ready(context.session, Checkpoint, context.tenant_id, spec.checkpoint, "checkpoint"),
        )

    def known(self, context: PlanningContext, spec: N, resources: JobResources) -> EarlierJobs:
        """The rate of earlier jobs with such a model."""
        if resources.checkpoint is None:
            return forecast.NOTHING
        rate = forecast.rate_of_earlier_jobs(context.session, context.tenant_id, resources.checkpoint, spec.precision)
        return EarlierJobs(rate=rate)

    def estimate(self, spec: N, resources: JobResources, pace: Pace) -> Estimate:
        """All of its noise samples; in shards of some inputs."""
        chosen = len(resources.chosen(spec.inputs))
        check_model(spec, resources)
        resolved = resolve(spec, resources.checkpoint)
        maker = resources.maker
        known = rate(maker.architecture) if maker is not None else rate_of(resources.checkpoint)
        seconds = chosen * (pace.samples or spec.samples / USUAL_SAVING[spec.sampling]) / (pace.rate or known)
        return Estimate(
            total=chosen,
            work=chosen * spec.samples,
            seconds=seconds,
            shards=cut(chosen, seconds / chosen, pace.shard_seconds),
            plan=plan_of(resolved),
        )


def plan_of(resolved: NoiseJob) -> Plan:
    """What planning has chosen."""
    return NoisePlan(sigma=resolved.sigma, robust_weight=resolved.robust_weight)


def share(value: float, done: int) -> float | None:
    """A share of the inputs that are done; None before the first."""
    return value / done if done else None
