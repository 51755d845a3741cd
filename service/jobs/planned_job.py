"""Validates one job and estimates its cost, without storing it.

Jobs that must run before it are in ``prerequisites``; checking and submitting a whole request is in ``submission``.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy.orm import Session

from radii.rs_core.results.plausibility import too_few_samples
from radii.rs_core.specs.jobs import (
    CertifySpec,
    EvaluateSpec,
    PredictSpec,
    SoftLabelSpec,
    TrainSpec,
    VerifySpec,
)
from radii.service.errors import NotReady, Rejected, UnknownResource
from radii.service.jobs import forecast, planning
from radii.service.lookup import WORDS, find, shown
from radii.worker.settings import Settings
from radii.worker.store import resources
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import resolved

Resource = TypeVar("Resource", Dataset, Checkpoint)
Spec = TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec | VerifySpec | EvaluateSpec


@dataclass(frozen=True, kw_only=True)
class PlanningContext:
    """Where planning is done: for whom, within which settings, and whether somebody wants to know what would come of it,
    and of the largest n that ``budget`` seconds are enough for."""

    session: Session
    tenant_id: str
    settings: Settings
    look_ahead: bool = False
    budget: float | None = None


@dataclass(frozen=True, kw_only=True)
class JobDatasets:
    """The data sets of a job."""

    dataset: Dataset
    test_dataset: Dataset | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job that could be submitted; ``needs`` is one that is there already, or one that would be made first."""

    spec: Spec
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
    spec: TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec | EvaluateSpec,
    data: JobDatasets,
    *,
    checkpoint: Checkpoint | None = None,
    maker: TrainSpec | None = None,
    key: str | None = None,
    needs: PlannedJob | Job | None = None,
) -> PlannedJob:
    """The plan of one job; raises the problem where names, shapes, classes or the amount of work do not fit.

    ``maker`` is the training that makes the checkpoint, where it is not ready.
    """
    known = forecast.known(
        context.session,
        context.tenant_id,
        spec,
        data.dataset,
        checkpoint,
        look_ahead=context.look_ahead,
        budget=context.budget,
    )
    start_from = spec.start_from if isinstance(spec, TrainSpec) else None
    start = ready(context.session, Checkpoint, context.tenant_id, start_from, "start_from") if start_from else None
    new, seconds = planning.plan(
        spec,
        tenant_id=context.tenant_id,
        dataset=data.dataset,
        test_dataset=data.test_dataset,
        checkpoint=checkpoint,
        maker=maker,
        start=start,
        shard_seconds=context.settings.shard_seconds,
        max_job_seconds=context.settings.max_job_seconds,
        measured=known.rate,
        samples=known.forecast.samples_per_input if known.forecast else None,
    )
    inputs = len(spec.inputs.indices(data.dataset.count or 0))
    return PlannedJob(
        spec=spec,
        known=known,
        new=replace(new, content_key=key),
        seconds=seconds,
        inputs=inputs,
        warnings=too_few_samples(resolved(new.spec, new.plan), inputs, data.dataset.num_classes or 2),
        dataset_name=data.dataset.name,
        needs=needs,
    )


def ready(session: Session, kind: type[Resource], tenant_id: str, identifier: str, field: str) -> Resource:
    """The tenant's data set or checkpoint, if it can be used now."""
    row, word = find(session, kind, tenant_id, identifier), WORDS[kind]
    if row is None:
        raise UnknownResource(expected=f"the identifier of a {word} of yours", got=shown(identifier), where=field)
    if row.state == resources.PENDING:
        raise NotReady(expected=f"a {word} that is ready", got=f"{identifier}, which is pending", where=field)
    if row.state == resources.REJECTED:
        reason = (row.problem or {}).get("detail", "no reason was kept")
        got = f"{identifier}, which was rejected ({str(reason).rstrip('.')})"
        raise Rejected(expected=f"a {word} that is ready", got=got, where=field, problem=row.problem)
    return row
