"""From a request to a job: the data and the model that it names must be the tenant's, ready, and fit each other."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, PredictSpec, SoftLabelSpec, TrainSpec, VerifySpec
from radii.service.jobs import planning, prerequisites, quotas
from radii.service.jobs.evaluate import check_evaluation
from radii.service.jobs.planned_job import JobDatasets, PlannedJob, PlanningContext, Spec, plan_one, ready
from radii.service.jobs.verify import plan_audit
from radii.service.schemas import plans, requests
from radii.service.views.job_views import UNITS
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, storage_usage
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import shown

SPECS: dict[str, type[Any]] = {
    "train": TrainSpec,
    "certify": CertifySpec,
    "predict": PredictSpec,
    "soft_labels": SoftLabelSpec,
    "verify": VerifySpec,
    "evaluate": EvaluateSpec,
}


def spec_of(request: requests.JobRequest) -> Spec:
    """The specification in a request, without the request's own fields."""
    kind = SPECS[request.kind]
    spec: Spec = kind(**{name: getattr(request, name) for name in kind.__dataclass_fields__})
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
        session=session, tenant_id=tenant_id, settings=settings, look_ahead=look_ahead, budget=budget
    )
    planned = _plan(context, spec)
    count, seconds = _amount(planned)
    quotas.fit(settings, jobs=count, seconds=seconds)
    return planned


def _plan(context: PlanningContext, spec: Spec) -> PlannedJob:
    """What would be submitted, however full the queue is."""
    if isinstance(spec, VerifySpec):
        return plan_audit(context, spec)
    dataset = ready(context.session, Dataset, context.tenant_id, spec.dataset, "dataset")
    if isinstance(spec, TrainSpec):
        return _training(context, spec, dataset)
    checkpoint = ready(context.session, Checkpoint, context.tenant_id, spec.checkpoint, "checkpoint")
    data = JobDatasets(dataset=dataset)
    if isinstance(spec, EvaluateSpec):
        check_evaluation(context, spec, dataset, checkpoint)
    if not isinstance(spec, SoftLabelSpec):
        return plan_one(context, spec, data, checkpoint=checkpoint)
    spec = planning.resolve(spec, checkpoint)
    return plan_one(
        context,
        spec,
        data,
        checkpoint=checkpoint,
        key=prerequisites.vote_key(spec, data, prerequisites.of_file(checkpoint)),
    )


def _amount(planned: PlannedJob) -> tuple[int, float]:
    """How many jobs would be made, and their estimated seconds."""
    steps = [step for step in [planned, *planned.chain] if isinstance(step, PlannedJob)]
    return len(steps), sum(step.seconds for step in steps)


def submit(session: Session, planned: PlannedJob, request: requests.JobRequest, settings: Settings) -> Job:
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
    trainings = sum(step.new.kind == "train" for step in steps)
    if trainings:
        storage_usage.require_count(session, tenant_id, settings, storage_usage.CHECKPOINTS, trainings)
    classes = session.scalar(select(Dataset.num_classes).where(Dataset.id == planned.new.dataset_id)) or 0
    rows = sum(storage_usage.rows_of(step.new.kind, step.new.total, classes) for step in steps)
    needed = rows + sum(jobs.stored_size(step.new) for step in steps)
    storage_usage.require(session, tenant_id, settings, needed)


def _submit(session: Session, planned: PlannedJob, request: requests.JobRequest, *, auto: bool = False) -> Job:
    """One of its jobs and, for a training job, the pending checkpoint that it will make, which says from which preset it
    is; the jobs that it needs first, which have no deadline: they stop when nobody needs them any more."""
    needed = (
        _submit(session, planned.needs, request, auto=True) if isinstance(planned.needs, PlannedJob) else planned.needs
    )
    name, preset = (
        (request.name, request.preset) if isinstance(request, requests.TrainJob) and not auto else (None, None)
    )
    new = replace(
        planned.new,
        auto=auto,
        needs_id=needed.id if needed else None,
        priority=request.priority,
        seconds_to_end=None if auto else request.deadline_seconds,
        estimated_seconds=planned.seconds,
    )
    if needed is not None and needed.kind == "train":
        voter = needed.checkpoint_id
        assert isinstance(new.spec, SoftLabelSpec) and voter is not None
        new = replace(new, checkpoint_id=voter, spec=replace(new.spec, checkpoint=voter))
    job = jobs.submit(session, new)
    if isinstance(planned.spec, TrainSpec):
        made = resources.create_trained(session, job.tenant_id, name or _checkpoint_name(planned), job.id)
        made.source = made.source | ({"preset": preset} if preset else {})
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


def _training(context: PlanningContext, spec: TrainSpec, dataset: Dataset) -> PlannedJob:
    test_dataset = None
    if spec.test_dataset is not None:
        test_dataset = ready(context.session, Dataset, context.tenant_id, spec.test_dataset, "test_dataset")
    data = JobDatasets(dataset=dataset, test_dataset=test_dataset)
    alone = plan_one(context, spec, data)
    needed = prerequisites.needed(context, spec, data)
    whole = replace(
        alone, needs=needed, new=replace(alone.new, content_key=prerequisites.train_key(context, spec, data, needed))
    )
    steps = [step for step in [whole, *whole.chain] if isinstance(step, PlannedJob)]
    seconds = sum(step.seconds for step in steps)
    parts = " and ".join(f"{step.seconds:.0f} s ({step.spec.kind})" for step in steps)
    planning.admit(seconds, context.settings.max_job_seconds, f"with what it needs: {parts}", "inputs, epochs")
    return whole


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
        "work_unit": UNITS[planned.spec.kind][1],
        "shards": len(planned.new.shards),
        "estimated_seconds": planned.seconds,
    }


def _checkpoint_name(planned: PlannedJob) -> str:
    spec = planned.spec
    assert isinstance(spec, TrainSpec)
    made_by = ", ".join([spec.method.name, *([f"trained at sigma {spec.sigma:g}"] if spec.sigma else [])])
    return f"{spec.architecture or 'mixed'} ({made_by}, {planned.dataset_name})"[:200]
