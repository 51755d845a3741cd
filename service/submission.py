"""From a request to a job: the data and the model that it names must be the tenant's, ready, and fit each other."""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from rs_core.spec import CertifySpec, PredictSpec, TrainSpec
from service import requests, schemas
from service.dependencies import WORDS, find, shown
from service.errors import NotReady, Rejected, UnknownResource
from service.job_views import UNITS
from worker.settings import Settings
from worker.store import jobs, planning, registry
from worker.store.jobs import NewJob
from worker.store.tables import Checkpoint, Dataset, Job

Resource = TypeVar("Resource", Dataset, Checkpoint)
Spec = TrainSpec | CertifySpec | PredictSpec
SPECS: dict[str, type[Any]] = {"train": TrainSpec, "certify": CertifySpec, "predict": PredictSpec}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job that could be submitted."""

    spec: Spec
    new: NewJob
    seconds: float
    inputs: int
    dataset_name: str


def spec_of(request: requests.TrainJob | requests.CertifyJob | requests.PredictJob) -> Spec:
    """The specification in a request, without the request's own fields."""
    kind = SPECS[request.kind]
    spec: Spec = kind(**{name: getattr(request, name) for name in kind.__dataclass_fields__})
    return spec


def plan(session: Session, tenant_id: str, spec: Spec, settings: Settings) -> Planned:
    """What would be submitted. Raises the problem where names, shapes, classes or the amount of work do not fit."""
    dataset = ready(session, Dataset, tenant_id, spec.dataset, "dataset")
    test_dataset, checkpoint = None, None
    if isinstance(spec, TrainSpec):
        if spec.test_dataset is not None:
            test_dataset = ready(session, Dataset, tenant_id, spec.test_dataset, "test_dataset")
    else:
        checkpoint = ready(session, Checkpoint, tenant_id, spec.checkpoint, "checkpoint")
    new, seconds = planning.plan(
        spec,
        tenant_id=tenant_id,
        dataset=dataset,
        test_dataset=test_dataset,
        checkpoint=checkpoint,
        shard_seconds=settings.shard_seconds,
        max_job_seconds=settings.max_job_seconds,
    )
    inputs = len(spec.inputs.indices(dataset.count or 0))
    return Planned(spec=spec, new=new, seconds=seconds, inputs=inputs, dataset_name=dataset.name)


def ready(session: Session, kind: type[Resource], tenant_id: str, identifier: str, field: str) -> Resource:
    """The tenant's data set or checkpoint, if it can be used now."""
    row, word = find(session, kind, tenant_id, identifier), WORDS[kind]
    if row is None:
        raise UnknownResource(expected=f"the identifier of a {word} of yours", got=shown(identifier), where=field)
    if row.state == registry.PENDING:
        raise NotReady(expected=f"a {word} that is ready", got=f"{identifier}, which is pending", where=field)
    if row.state == registry.REJECTED:
        reason = (row.problem or {}).get("detail", "no reason was kept")
        got = f"{identifier}, which was rejected ({str(reason).rstrip('.')})"
        raise Rejected(expected=f"a {word} that is ready", got=got, where=field, problem=row.problem)
    return row


def submit(session: Session, planned: Planned, name: str | None) -> Job:
    """Writes the job and, for a training job, the pending checkpoint that it will make."""
    job = jobs.submit(session, planned.new)
    if isinstance(planned.spec, TrainSpec):
        registry.create_trained(session, job.tenant_id, name or _checkpoint_name(planned), job.id)
    return job


def plan_view(planned: Planned) -> schemas.Plan:
    """The plan as an answer."""
    return schemas.Plan(
        kind=planned.spec.kind,
        spec=planned.new.spec,
        inputs=planned.inputs,
        work=planned.new.work_total,
        work_unit=UNITS[planned.spec.kind][1],
        shards=len(planned.new.shards),
        estimated_seconds=planned.seconds,
    )


def _checkpoint_name(planned: Planned) -> str:
    spec = planned.spec
    assert isinstance(spec, TrainSpec)
    return f"{spec.architecture} ({spec.method.name}, sigma {spec.sigma:g}, {planned.dataset_name})"[:200]
