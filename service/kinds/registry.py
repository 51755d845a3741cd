"""The kinds of jobs that the service knows, by name."""

import math
from collections.abc import Mapping
from typing import Any

from radii.rs_core.specs.jobs import NoiseJob, TrainSpec
from radii.service.kinds.certify import CERTIFY
from radii.service.kinds.convert import CONVERT
from radii.service.kinds.evaluate import EVALUATE
from radii.service.kinds.kind import EstimatedKind, Kind, SubmittedKind
from radii.service.kinds.planned_job import new_job
from radii.service.kinds.planning import JobResources, Pace
from radii.service.kinds.predict import PREDICT, SOFT_LABELS
from radii.service.kinds.train import TRAIN
from radii.service.kinds.verify import VERIFY
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Dataset

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind for kind in (CERTIFY, PREDICT, SOFT_LABELS, EVALUATE, VERIFY, TRAIN, CONVERT)
}
SUBMITTED: Mapping[str, SubmittedKind[Any]] = {
    name: kind for name, kind in KINDS.items() if isinstance(kind, SubmittedKind)
}
"""Those that requests for jobs ask for."""
ESTIMATED: Mapping[str, EstimatedKind[Any]] = {
    name: kind for name, kind in KINDS.items() if isinstance(kind, EstimatedKind)
}
"""Those whose amount of work follows from specification and resources."""


def plan(
    spec: NoiseJob | TrainSpec,
    *,
    tenant_id: str,
    dataset: Dataset,
    test_dataset: Dataset | None = None,
    checkpoint: Checkpoint | None = None,
    maker: TrainSpec | None = None,
    start: Checkpoint | None = None,
    shard_seconds: float = 60.0,
    max_job_seconds: float = math.inf,
) -> tuple[NewJob, float]:
    """The job that ``spec`` asks for and its estimated seconds, from rows that are at hand. See ``planned_job.new_job``."""
    used = JobResources(dataset=dataset, test_dataset=test_dataset, checkpoint=checkpoint, maker=maker, start=start)
    pace = Pace(shard_seconds=shard_seconds)
    return new_job(ESTIMATED[spec.kind], spec, used, tenant_id=tenant_id, pace=pace, max_job_seconds=max_job_seconds)
