"""Jobs that train, with the pending checkpoint that each of them makes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from radii.rs_core.checkpoints.checkpoint_info import make_info
from radii.rs_core.methods.registry import method
from radii.rs_core.specs.jobs import Normalization, TrainSpec
from radii.rs_core.specs.training import trains_a_mix
from radii.rs_core.training import compatibility, start_compatibility
from radii.rs_core.training.compatibility import DatasetSummary
from radii.service.kinds import planning, prerequisites, warnings
from radii.service.kinds.kind import EstimatedKind, JobFacts
from radii.service.kinds.planned_job import PlannedJob, PlanningContext, plan_one, ready
from radii.service.kinds.planning import FULL_PASS, INPUT_PASS, Estimate, JobResources, Pace, rate, rate_of
from radii.service.schemas import requests, responses
from radii.worker.kinds.train import TRAIN as WORKER
from radii.worker.store import resources
from radii.worker.store.models.result_tables import EpochMetric, JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job


@dataclass(frozen=True, kw_only=True)
class LastEpochs:
    """The last epoch of a training, and the last one that was certified."""

    epoch: EpochMetric | None
    certified: EpochMetric | None


class Train(EstimatedKind[TrainSpec]):
    """See ``TrainSpec``. The facts of a job are its :class:`LastEpochs`."""

    worker = WORKER
    template = "kinds/train.html"
    done_as = "trained"
    unit = "epochs"
    work_unit = "optimiser steps"
    grows_with = "inputs, epochs"
    makes_checkpoint = True

    def plan(self, context: PlanningContext, spec: TrainSpec) -> PlannedJob:
        """The training and, for CAT-RS, the jobs of its soft labels."""
        data = JobResources(
            dataset=ready(context.session, Dataset, context.tenant_id, spec.dataset, "dataset"),
            test_dataset=None
            if spec.test_dataset is None
            else ready(context.session, Dataset, context.tenant_id, spec.test_dataset, "test_dataset"),
        )
        alone = plan_one(context, spec, data)
        needed = prerequisites.needed(context, spec, data)
        key = prerequisites.train_key(context, spec, data, needed)
        whole = replace(alone, needs=needed, new=replace(alone.new, content_key=key))
        steps = [step for step in [whole, *whole.chain] if isinstance(step, PlannedJob)]
        seconds = sum(step.seconds for step in steps)
        parts = " and ".join(f"{step.seconds:.0f} s ({step.spec.kind})" for step in steps)
        planning.admit(seconds, context.settings.max_job_seconds, f"with what it needs: {parts}", self.grows_with)
        return whole

    def estimate(self, spec: TrainSpec, resources: JobResources, pace: Pace) -> Estimate:
        """Its optimizer steps, and the certifications on the way. One shard."""
        chosen, row = len(resources.chosen(spec.inputs)), method(spec.method.name)
        full, of_input = row.passes(spec.method)
        units = FULL_PASS * full + INPUT_PASS * of_input
        speed = rate_of(resources.start) if spec.architecture is None else rate(spec.architecture)
        check_training(spec, resources.dataset, resources.test_dataset, resources.start)
        return Estimate(
            total=spec.epochs,
            work=spec.epochs * math.ceil(chosen / spec.batch_size) * row.chunks(spec.method),
            seconds=units * spec.epochs * chosen / speed + _certified_samples(spec, resources.test_dataset) / speed,
            shards=[(0, chosen)],
        )

    def submitted(self, session: Session, job: Job, planned: PlannedJob, request: requests.RequestOptions) -> None:
        """The pending checkpoint, which says from which preset it is."""
        made = resources.create_trained(session, job.tenant_id, request.name or _checkpoint_name(planned), job.id)
        made.source = made.source | ({"preset": request.preset} if request.preset else {})

    def facts(self, session: Session, jobs: Sequence[Job]) -> Mapping[str, LastEpochs]:
        """The last epochs."""
        ids = [job.id for job in jobs]
        epochs = _last_epochs(session, ids)
        certified = _last_epochs(session, ids, EpochMetric.certification.is_not(None))
        return {each: LastEpochs(epoch=epochs.get(each), certified=certified.get(each)) for each in ids}

    def summary(self, job: Job, facts: JobFacts) -> responses.Summary:
        """Loss and accuracy of the last epoch."""
        row, known = facts.summary, facts.more
        last = {name: getattr(known.epoch, name, None) for name in ("loss", "accuracy", "test_accuracy")}
        certification = (known.certified.certification if known.certified else None) or {}
        return responses.TrainSummary(
            partial=row.done < row.total,
            epochs_total=row.total,
            epochs_done=row.done,
            acr=certification.get("acr"),
            **last,
        )

    def links(self, job: Job, base: str, facts: JobFacts) -> dict[str, str]:
        """The epochs."""
        return {"epochs": f"{base}/epochs"}

    def warnings(self, session: Session, job: Job, summary: JobSummary, dataset: Dataset) -> Sequence[str]:
        """Of the last epoch, on the test dataset."""
        return warnings.of_epochs(session, job)


TRAIN = Train()


def check_training(
    spec: TrainSpec, dataset: Dataset, test_dataset: Dataset | None, start: Checkpoint | None = None
) -> None:
    """Raises where the architecture cannot be built for the images, where test set or starting weights are of another
    kind, or where a batch is too small for the method."""
    known_data = _known(dataset)
    compatibility.check_training(spec, known_data, _known(test_dataset) if test_dataset is not None else None)
    if start is not None and trains_a_mix(spec.method):
        start_compatibility.check_start_of(spec, make_info("start_from", start.record), known_data)
    elif start is not None:
        constants = (start.info or {}).get("normalization")
        known = None if constants is None else Normalization(**constants)
        compatibility.check_start(spec, start.architecture or "unknown", known)


def _known(dataset: Dataset) -> DatasetSummary:
    channels, height, width = dataset.shape or (0, 0, 0)
    return DatasetSummary(
        count=dataset.count or 0,
        shape=(channels, height, width),
        num_classes=dataset.num_classes or 0,
        class_names=tuple(dataset.class_names or ()),
    )


def _certified_samples(spec: TrainSpec, test_dataset: Dataset | None) -> float:
    """Noise samples of all the small certifications during a training."""
    plan = spec.certification
    if plan is None or test_dataset is None:
        return 0.0
    inputs = len(plan.indices(test_dataset.count or 0))
    return math.ceil(spec.epochs / plan.every) * inputs * (plan.n0 + plan.n)


def _checkpoint_name(planned: PlannedJob) -> str:
    spec: Any = planned.spec
    made_by = ", ".join([spec.method.name, *([f"trained at sigma {spec.sigma:g}"] if spec.sigma else [])])
    return f"{spec.architecture or 'mixed'} ({made_by}, {planned.dataset_name})"[:200]


def _last_epochs(session: Session, ids: Sequence[str], *conditions: Any) -> dict[str, EpochMetric]:
    """The last epoch of each job, among those that meet the conditions."""
    # By job, so that of each the last epoch is looked up and the others are not read.
    of_job = select(func.max(EpochMetric.epoch)).where(EpochMetric.job_id == Job.id, *conditions).scalar_subquery()
    last = select(Job.id, of_job.label("epoch")).where(Job.id.in_(ids)).subquery()
    condition = (EpochMetric.job_id == last.c.id) & (EpochMetric.epoch == last.c.epoch)
    return {row.job_id: row for row in session.scalars(select(EpochMetric).join(last, condition))}
