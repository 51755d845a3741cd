"""What is known about a job before it runs: the rate of earlier jobs with such a model, and what a certification would draw
and certify, from the votes of an earlier one.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from radii.rs_core.certify.certificates import argmax
from radii.rs_core.certify.forecast import LikelyProbabilities, averaged, forecast, largest
from radii.rs_core.certify.procedure import USUAL_SAVING, Procedure, procedure_of
from radii.rs_core.specs.jobs import CertifySpec
from radii.service.kinds import planning
from radii.service.schemas import plans
from radii.worker.kinds.registry import KINDS
from radii.worker.store import certificate_rows, jobs
from radii.worker.store.models.index_conditions import unindexed
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job

ENOUGH_SECONDS = 5.0
"""Device time from which on earlier jobs tell a rate; in less, starting has its share."""
LATEST = 50
"""Earlier jobs that a rate is taken from."""
LOOKED_AT = 50
"""Certificates of an earlier job that a forecast is computed from."""
FEW = 20
"""Inputs below which a job tells less than any other."""
LEAST_VOTES = 100
COUNTING_SAMPLES = tuple(name for name, kind in KINDS.items() if kind.keeps_votes)
"""Kinds of jobs whose work is counted in noise samples."""


@dataclass(frozen=True, kw_only=True)
class EarlierJobs:
    """``rate`` in noise samples a second."""

    rate: float | None = None
    forecast: plans.Forecast | None = None


NOTHING = EarlierJobs()


def forecast_of(
    session: Session,
    tenant_id: str,
    asked: CertifySpec,
    dataset: Dataset,
    checkpoint: Checkpoint,
    *,
    rate: float | None,
    budget: float | None = None,
) -> plans.Forecast:
    """What a certification with a noise level would draw and certify; it takes a moment. With ``budget`` (seconds of device
    time), also the largest n that the budget is enough for."""
    inputs = len(asked.inputs.indices(dataset.count or 0))
    procedure = procedure_of(asked, inputs=inputs)
    basis = _basis(session, tenant_id, procedure, dataset, checkpoint, asked)
    found = _forecast(procedure, basis)
    if budget is None:
        return found
    per_second = rate or planning.rate_of(checkpoint)
    return found.model_copy(update={"within_budget": _within(budget, procedure, basis, per_second / inputs)})


def rate_of_earlier_jobs(session: Session, tenant_id: str, checkpoint: Checkpoint, precision: str) -> float | None:
    """Of the latest jobs with the same architecture, shape and precision, on the type of device that had the last one."""
    query = (
        select(Job.device_type, Checkpoint.input_shape, JobSummary.work_done, JobSummary.device_seconds)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .join(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .where(
            Job.tenant_id == tenant_id,
            unindexed(Job.kind).in_(COUNTING_SAMPLES),
            Job.state == jobs.SUCCEEDED,
            Job.priority < jobs.URGENT,  # very many and very small
            Checkpoint.architecture == checkpoint.architecture,
            func.coalesce(Job.spec["precision"].as_string(), "fp32") == precision,
        )
        .order_by(Job.id.desc())
        .limit(LATEST)
    )
    rows = [row for row in session.execute(query).all() if row.input_shape == checkpoint.input_shape]
    like_the_last = [row for row in rows if row.device_type == rows[0].device_type]
    work, seconds = (sum(row[place] for row in like_the_last) for place in (2, 3))
    return work / seconds if work and seconds >= ENOUGH_SECONDS else None


@dataclass(frozen=True, kw_only=True)
class ForecastBasis:
    """Votes of an earlier job, input by input, and whether their class is the label; ``share`` is the ACR of all of its
    inputs, over that of those."""

    job_id: str
    votes: int
    share: float
    seen: tuple[tuple[LikelyProbabilities, ...], ...]
    correct: tuple[bool, ...]


def _forecast(procedure: Procedure, basis: ForecastBasis | None) -> plans.Forecast:
    found = plans.Forecast(
        cap=procedure.cap, inputs_like=[plans.TypicalInput(**asdict(row)) for row in forecast(procedure)]
    )
    if basis is None:
        return found
    samples, acr = averaged(procedure, basis.seen, basis.correct)
    acr *= basis.share
    of = {"basis": basis.job_id, "basis_inputs": len(basis.seen), "basis_votes": basis.votes}
    return found.model_copy(update={"samples_per_input": samples, "acr": acr, **of})


def _within(budget: float, procedure: Procedure, basis: ForecastBasis | None, rate: float) -> plans.WithinBudget | None:
    """What so many seconds are enough for, at ``rate`` samples a second for each input."""

    def samples(tried: Procedure) -> float:
        if basis is None:
            return (tried.n0 + tried.n) / USUAL_SAVING[tried.sampling]
        return averaged(tried, basis.seen, basis.correct)[0]

    fitting = largest(procedure, samples, budget * rate)
    if fitting is None:
        return None
    return plans.WithinBudget(
        n=fitting.n,
        samples_per_input=samples(fitting),
        estimated_seconds=samples(fitting) / rate,
        cap=fitting.cap,
        acr=None if basis is None else averaged(fitting, basis.seen, basis.correct)[1] * basis.share,
    )


class _Known(NamedTuple):
    """What one input of an earlier job tells, without its class counts."""

    seen: tuple[LikelyProbabilities, ...]
    correct: bool
    votes: int
    certified_radius: float


def _basis(
    session: Session, tenant_id: str, procedure: Procedure, dataset: Dataset, checkpoint: Checkpoint, spec: CertifySpec
) -> ForecastBasis | None:
    """From a job of another seed alone: who chose by votes that the new job counts again would void its bound. The same
    precision goes first, then the job that tells of many inputs, each with many votes."""
    told = func.coalesce(Job.spec["sampling"].as_string(), "fixed")
    inputs = case((JobSummary.done > LOOKED_AT, LOOKED_AT), else_=JobSummary.done)
    earlier = session.scalars(
        select(Job)
        .join(JobSummary, JobSummary.job_id == Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.kind == "certify",
            Job.dataset_id == dataset.id,
            Job.checkpoint_id == checkpoint.id,
            func.coalesce(Job.plan["sigma"].as_float(), Job.spec["sigma"].as_float()) == procedure.sigma,
            Job.spec["seed"].as_integer() != spec.seed,
            func.coalesce(Job.spec["bound"].as_string(), "one_sided") != "mixed",
            JobSummary.done > 0,
        )
        .order_by(
            func.coalesce(Job.spec["precision"].as_string(), "fp32") != spec.precision,
            (inputs < FEW),
            told != "fixed",
            (inputs * Job.spec["n"].as_integer()).desc(),
            Job.id.desc(),
        )
        .limit(1)
    ).first()
    if earlier is None:
        return None
    indices = earlier.certify.inputs.indices(dataset.count or 0)
    some = indices[:: max(1, len(indices) // LOOKED_AT)]
    known: list[_Known] = []
    for row in certificate_rows.each_at(session, earlier.id, some):
        # Where a pilot found an input not worth certifying, its own votes are all that there is.
        counts = row.counts if row.n >= row.n0 else row.counts0
        if row.error is None and sum(counts) >= LEAST_VOTES:
            top = argmax(row.counts0)
            radius = row.radius if row.correct else 0.0
            known.append(_Known(LikelyProbabilities.likely(counts, top), top == row.label, sum(counts), radius))
    if not known:
        return None
    summary = session.get_one(JobSummary, earlier.id)
    of_these = sum(each.certified_radius for each in known) / len(known)
    return ForecastBasis(
        job_id=earlier.id,
        share=summary.radius_sum / max(1, summary.done) / of_these if of_these and summary.done else 1.0,
        votes=sum(each.votes for each in known) // len(known),
        seen=tuple(each.seen for each in known),
        correct=tuple(each.correct for each in known),
    )
