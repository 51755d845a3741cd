"""What is known about a job before it runs: the rate of earlier jobs with such a model, and what a certification would draw
and certify, from the votes of an earlier one.
"""

from dataclasses import asdict, dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rs_core.certify.decision import argmax
from rs_core.certify.forecast import Seen, averaged, forecast
from rs_core.certify.procedure import Procedure, procedure_of
from rs_core.spec import CertifySpec, PredictSpec, Selection, SoftLabelSpec, TrainSpec
from service import schemas
from worker.store import jobs, planning, results
from worker.store.tables import Checkpoint, Dataset, Job, JobSummary

ENOUGH_SECONDS = 5.0
"""Device time from which on earlier jobs tell a rate; in less, starting has its share."""
LOOKED_AT = 100
"""Certificates of an earlier job that a forecast is computed from."""
LEAST_VOTES = 100


@dataclass(frozen=True, kw_only=True)
class Known:
    """``rate`` in noise samples a second."""

    rate: float | None = None
    forecast: schemas.Forecast | None = None


NOTHING = Known()


def known(
    session: Session,
    tenant_id: str,
    spec: TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec,
    dataset: Dataset,
    checkpoint: Checkpoint | None,
    *,
    look_ahead: bool,
) -> Known:
    """What earlier jobs of the tenant tell about this one; only with ``look_ahead`` what it would certify, which takes a
    moment."""
    if isinstance(spec, TrainSpec) or checkpoint is None:
        return NOTHING
    rate = _rate(session, tenant_id, checkpoint, getattr(spec, "precision", "fp32"))
    if not look_ahead or not isinstance(spec, CertifySpec) or not spec.inputs.indices(dataset.count or 0):
        return Known(rate=rate)
    sigma = planning.resolve_sigma(spec, checkpoint)
    spec = replace(spec, sigma=sigma)
    procedure = procedure_of(spec, inputs=len(spec.inputs.indices(dataset.count or 0)))
    return Known(rate=rate, forecast=_forecast(session, tenant_id, procedure, dataset, checkpoint, spec.seed))


def _rate(session: Session, tenant_id: str, checkpoint: Checkpoint, precision: str) -> float | None:
    """Of jobs with the same architecture, shape and precision."""
    query = (
        select(func.sum(JobSummary.work_done), func.sum(JobSummary.device_seconds))
        .join(Job, Job.id == JobSummary.job_id)
        .join(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .where(
            Job.tenant_id == tenant_id,
            Job.kind.in_(("certify", "predict", "soft_labels")),
            Job.state == jobs.SUCCEEDED,
            Checkpoint.architecture == checkpoint.architecture,
            func.coalesce(Job.spec["precision"].as_string(), "fp32") == precision,
        )
    )
    work, seconds = session.execute(query).one()
    return float(work) / float(seconds) if seconds and seconds >= ENOUGH_SECONDS and work else None


def _forecast(
    session: Session, tenant_id: str, procedure: Procedure, dataset: Dataset, checkpoint: Checkpoint, seed: int
) -> schemas.Forecast:
    """From a job of another seed alone: who chose by votes that the new job counts again would void its bound."""
    plain = schemas.Forecast(
        cap=procedure.cap, inputs_like=[schemas.TypicalInput(**asdict(row)) for row in forecast(procedure)]
    )
    earlier = session.scalars(
        select(Job)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.kind == "certify",
            Job.dataset_id == dataset.id,
            Job.checkpoint_id == checkpoint.id,
            Job.spec["sigma"].as_float() == procedure.sigma,
            Job.spec["seed"].as_integer() != seed,
            JobSummary.done > 0,
        )
        .order_by(JobSummary.done.desc(), Job.id.desc())
        .limit(1)
    ).first()
    if earlier is None:
        return plain
    indices = Selection(**earlier.spec["inputs"]).indices(dataset.count or 0)
    some = indices[:: max(1, len(indices) // LOOKED_AT)]
    rows = [row for row in results.certificates_at(session, earlier.id, some) if row.n >= LEAST_VOTES]
    if not rows:
        return plain
    seen = [Seen.of(row.counts, argmax(row.counts0)) for row in rows]
    correct = [argmax(row.counts0) == row.label for row in rows]
    samples, acr = averaged(procedure, seen, correct)
    return plain.model_copy(update={"samples_per_input": samples, "acr": acr, "basis": earlier.id})
