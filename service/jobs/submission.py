"""From a request to a job: the data and the model that it names must be the tenant's, ready, and fit each other."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.specs.jobs import NoiseJob, Spec
from radii.service.jobs import quotas
from radii.service.kinds.planned_job import PlannedJob, PlanningContext
from radii.service.kinds.registry import ESTIMATED, KINDS, SUBMITTED
from radii.service.schemas import plans, requests
from radii.worker.settings import Settings
from radii.worker.store import jobs, storage_usage
from radii.worker.store.models.tables import Dataset, Job
from radii.worker.store.specifications import shown


def spec_of(request: requests.AnyJobRequest) -> Spec:
    """The specification in a request, without the request's own fields."""
    record = KINDS[request.kind].worker.spec
    spec: Spec = record(**{name: getattr(request, name) for name in record.__dataclass_fields__})
    return spec


def plan(
    session: Session,
    tenant_id: str,
    spec: Spec,
    settings: Settings,
    *,
    look_ahead: bool = False,
    budget: float | None = None,
) -> PlannedJob:
    """What would be submitted, with the jobs that it needs; with ``look_ahead`` what would come of it, too, and of the
    largest n that ``budget`` seconds are enough for. Raises the problem where names, shapes, classes or the amount of work
    do not fit, or where the queue would never take it."""
    context = PlanningContext(
        session=session,
        tenant_id=tenant_id,
        settings=settings,
        kinds=ESTIMATED,
        look_ahead=look_ahead,
        budget=budget,
    )
    planned = SUBMITTED[spec.kind].plan(context, spec)
    count, seconds = _amount(planned)
    quotas.fit(settings, jobs=count, seconds=seconds)
    return planned


def _amount(planned: PlannedJob) -> tuple[int, float]:
    """How many jobs would be made, and their estimated seconds."""
    steps = [step for step in [planned, *planned.chain] if isinstance(step, PlannedJob)]
    return len(steps), sum(step.seconds for step in steps)


def submit(session: Session, planned: PlannedJob, request: requests.AnyJobRequest, settings: Settings) -> Job:
    """Writes the job that was planned for the request, and those that it needs first. Raises :class:`QuotaExceeded` and what
    :func:`store.storage_usage.require` raises."""
    count, seconds = _amount(planned)
    tenant_id = planned.new.tenant_id
    quotas.require(session, tenant_id, settings, jobs=count, seconds=seconds)
    _require_storage(session, tenant_id, planned, settings)
    return _submit(session, planned, request)


def _require_storage(session: Session, tenant_id: str, planned: PlannedJob, settings: Settings) -> None:
    """Raises the problem where the results, or the checkpoints, of all the jobs do not fit into the tenant's storage."""
    steps = [step for step in [planned, *planned.chain] if isinstance(step, PlannedJob)]
    made = sum(KINDS[step.new.kind].makes_checkpoint for step in steps)
    if made:
        storage_usage.require_count(session, tenant_id, settings, storage_usage.CHECKPOINTS, made)
    classes = session.scalar(select(Dataset.num_classes).where(Dataset.id == planned.new.dataset_id)) or 0
    rows = sum(
        storage_usage.rows_of(step.new.total, 0 if KINDS[step.new.kind].worker.rows is None else classes)
        for step in steps
    )
    needed = rows + sum(jobs.stored_size(step.new) for step in steps)
    storage_usage.require(session, tenant_id, settings, needed)


def _submit(session: Session, planned: PlannedJob, request: requests.AnyJobRequest, *, auto: bool = False) -> Job:
    """One of its jobs, and the jobs that it needs first, which have no deadline: they stop when nobody needs them any more."""
    needed = (
        _submit(session, planned.needs, request, auto=True) if isinstance(planned.needs, PlannedJob) else planned.needs
    )
    new = replace(
        planned.new,
        auto=auto,
        needs_id=needed.id if needed else None,
        priority=request.priority,
        seconds_to_end=None if auto else request.deadline_seconds,
        estimated_seconds=planned.seconds,
    )
    if needed is not None and KINDS[needed.kind].makes_checkpoint:
        made = needed.checkpoint_id
        assert isinstance(new.spec, NoiseJob) and made is not None
        new = replace(new, checkpoint_id=made, spec=replace(new.spec, checkpoint=made))
    job = jobs.submit(session, new)
    KINDS[job.kind].submitted(session, job, planned, requests.RequestOptions() if auto else request)
    return job


def claimable_shards(planned: PlannedJob) -> int:
    """How many shards can be claimed as soon as the plan is submitted."""
    *_, first = [planned, *planned.chain]
    if isinstance(first, PlannedJob):
        return len(first.new.shards)
    *_, waiting = [step for step in [planned, *planned.chain] if isinstance(step, PlannedJob)]
    return len(waiting.new.shards) if first.state == jobs.SUCCEEDED else 0


def plan_view(planned: PlannedJob) -> plans.Plan:
    """The plan as an answer."""
    known = {"rate": planned.known.rate, "forecast": planned.known.forecast}
    return plans.Plan(
        **_view(planned), inputs=planned.inputs, needs=list(_needs(planned)), warnings=list(planned.warnings), **known
    )


def _needs(planned: PlannedJob) -> Iterator[plans.PlannedNeed]:
    for step in planned.chain:
        if isinstance(step, PlannedJob):
            yield plans.PlannedNeed(**_view(step))
        else:
            yield plans.PlannedNeed(kind=step.kind, job=step.id, state=step.state, spec=shown(step.spec, step.plan))


def _view(planned: PlannedJob) -> dict[str, Any]:
    return {
        "kind": planned.spec.kind,
        "spec": shown(planned.new.spec, planned.new.plan),
        "work": planned.new.work_total,
        "work_unit": KINDS[planned.spec.kind].work_unit,
        "shards": len(planned.new.shards),
        "estimated_seconds": planned.seconds,
    }
