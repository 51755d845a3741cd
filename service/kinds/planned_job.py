"""Validates one job and estimates its cost, without storing it.

Jobs that must run before it are in ``prerequisites``; ``radii.service.jobs.submission`` checks and submits a whole request.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy.orm import Session

from radii.rs_core.errors import Mismatch
from radii.rs_core.results.plausibility import too_few_samples
from radii.rs_core.specs.jobs import NoiseJob, TrainSpec, VerifySpec
from radii.service.errors import NotReady, Rejected, UnknownResource
from radii.service.kinds import forecast
from radii.service.kinds.planning import Estimate, JobResources, Pace, admit
from radii.service.lookup import WORDS, find, shown
from radii.worker.settings import Settings
from radii.worker.store import resources as store_resources
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import resolved

Resource = TypeVar("Resource", Dataset, Checkpoint)


@dataclass(frozen=True, kw_only=True)
class PlanningContext:
    """Where planning is done: for whom, within which settings, by which kinds of jobs, and whether somebody wants to know what would
    come of it, and of the largest n that ``budget`` seconds are enough for."""

    session: Session
    tenant_id: str
    settings: Settings
    kinds: "Mapping[str, PlannableKind]"
    look_ahead: bool = False
    budget: float | None = None


class PlannableKind(Protocol):
    """What planning needs of a kind of job; ``kind.Kind`` has more."""

    work_unit: ClassVar[str]
    grows_with: ClassVar[str]

    def known(self, context: PlanningContext, spec: Any, resources: JobResources) -> forecast.EarlierJobs:
        """What earlier jobs tell about this one."""

    def estimate(self, spec: Any, resources: JobResources, pace: Pace) -> Estimate:
        """How much work it is."""


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job that could be submitted; ``needs`` is one that is there already, or one that would be made first."""

    spec: NoiseJob | TrainSpec | VerifySpec
    new: NewJob
    seconds: float
    inputs: int
    dataset_name: str
    needs: "PlannedJob | Job | None" = None
    known: forecast.EarlierJobs = forecast.NOTHING
    warnings: tuple[str, ...] = ()

    @property
    def chain(self) -> "list[PlannedJob | Job]":
        """The job that it needs, the one that that one needs, and so on, as far as they would be made."""
        if self.needs is None:
            return []
        return [self.needs, *(self.needs.chain if isinstance(self.needs, PlannedJob) else [])]


def plan_one(
    context: PlanningContext,
    spec: NoiseJob | TrainSpec,
    resources: JobResources,
    *,
    key: str | None = None,
    needs: PlannedJob | Job | None = None,
) -> PlannedJob:
    """The plan of one job; raises the problem where names, shapes, classes or the amount of work do not fit."""
    kind, dataset = context.kinds[spec.kind], resources.dataset
    if spec.start_from:
        start = ready(context.session, Checkpoint, context.tenant_id, spec.start_from, "start_from")
        resources = replace(resources, start=start)
    known = kind.known(context, spec, resources)
    pace = Pace(
        shard_seconds=context.settings.shard_seconds,
        rate=known.rate,
        samples=known.forecast.samples_per_input if known.forecast else None,
    )
    most = context.settings.max_job_seconds
    new, seconds = new_job(kind, spec, resources, tenant_id=context.tenant_id, pace=pace, max_job_seconds=most)
    inputs = len(spec.inputs.indices(dataset.count or 0))
    return PlannedJob(
        spec=spec,
        known=known,
        new=replace(new, content_key=key),
        seconds=seconds,
        inputs=inputs,
        warnings=too_few_samples(resolved(new.spec, new.plan), inputs, dataset.num_classes or 2),
        dataset_name=dataset.name,
        needs=needs,
    )


def new_job(
    kind: PlannableKind,
    spec: NoiseJob | TrainSpec,
    resources: JobResources,
    *,
    tenant_id: str,
    pace: Pace,
    max_job_seconds: float = math.inf,
) -> tuple[NewJob, float]:
    """The job that ``spec`` asks for and its estimated seconds. Raises :class:`Mismatch` or :class:`InvalidSpec`."""
    estimate = kind.estimate(spec, resources, pace)
    admit(estimate.seconds, max_job_seconds, f"{estimate.work} {kind.work_unit}", kind.grows_with)
    job = NewJob(
        tenant_id=tenant_id,
        spec=spec,  # type: ignore[arg-type]
        plan=estimate.plan,
        shards=estimate.shards,
        total=estimate.total,
        work_total=estimate.work,
        radii=estimate.radii,
        dataset_id=resources.dataset.id,
        test_dataset_id=resources.test_dataset.id if resources.test_dataset else None,
        checkpoint_id=resources.checkpoint.id if resources.checkpoint else None,
    )
    return job, estimate.seconds


def named_job(context: PlanningContext, identifier: str, kind: str, field: str) -> Job:
    """The tenant's job of this kind that a request names; raises the problem where there is none."""
    job = find(context.session, Job, context.tenant_id, identifier)
    article = "an" if kind[0] in "aeiou" else "a"
    if job is None:
        wanted = f"the identifier of {article} {kind} job of yours"
        raise UnknownResource(expected=wanted, got=shown(identifier), where=field)
    if job.kind != kind:
        raise Mismatch(expected=f"{article} {kind} job", got=f"{job.id}, of kind {job.kind}", where=field)
    return job


def ready(session: Session, kind: type[Resource], tenant_id: str, identifier: str, field: str) -> Resource:
    """The tenant's data set or checkpoint, if it can be used now."""
    row, word = find(session, kind, tenant_id, identifier), WORDS[kind]
    if row is None:
        raise UnknownResource(expected=f"the identifier of a {word} of yours", got=shown(identifier), where=field)
    if row.state == store_resources.PENDING:
        raise NotReady(expected=f"a {word} that is ready", got=f"{identifier}, which is pending", where=field)
    if row.state == store_resources.REJECTED:
        reason = (row.problem or {}).get("detail", "no reason was kept")
        got = f"{identifier}, which was rejected ({str(reason).rstrip('.')})"
        raise Rejected(expected=f"a {word} that is ready", got=got, where=field, problem=row.problem)
    return row
