"""Jobs as they are shown: state, progress, rate, remaining time, running sums. A few indexed queries for any number of
jobs; no result row is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from radii.rs_core.specs.fields import Sampling
from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, VerifySpec
from radii.service.lookup import etag_of
from radii.service.schemas import responses
from radii.service.views import deleted_references
from radii.service.views.job_warnings import warnings_of
from radii.service.views.resource_views import brief_source, problem, time, with_first_names
from radii.worker.store import corruption_groups
from radii.worker.store.clock import clock
from radii.worker.store.jobs import RUNNING, TERMINAL, URGENT
from radii.worker.store.models.result_tables import EpochMetric, JobSummary, SampleProgress
from radii.worker.store.models.tables import Job, Shard
from radii.worker.store.results import PREDICTING
from radii.worker.store.specifications import ConvertSpec, CorruptedDataset, shown

UNITS: dict[str, tuple[str, str]] = {
    "certify": ("inputs", "noise samples"),
    "predict": ("inputs", "noise samples"),
    "soft_labels": ("inputs", "noise samples"),
    "verify": ("inputs", "noise samples"),
    "evaluate": ("inputs", "passes"),
    "train": ("epochs", "optimiser steps"),
    "convert": ("conversions", "conversions"),
}
"""By kind of job: what ``done`` counts and what ``work`` counts."""


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What there is to say about a job in addition to its own row."""

    summary: JobSummary
    drawn: int
    leased: int
    on_corrupted: bool
    epoch: EpochMetric | None
    certified: EpochMetric | None
    now: float


def view(session: Session, job: Job) -> responses.Job:
    """One job, with its warnings."""
    return views(session, [job])[0].model_copy(update={"warnings": warnings_of(session, job)})


def views(session: Session, jobs: Sequence[Job], *, brief: bool = False) -> list[responses.Job]:
    """Jobs, in the given order; ``brief``, as a list shows them, without what may be large."""
    needed = _needed(session, jobs)
    facts = _facts(session, [*jobs, *needed.values()])
    found = [
        _view(job, facts[job.id], _brief(needed.get(job.needs_id or ""), needed, facts), _spec(job, brief))
        for job in jobs
    ]
    if not jobs:
        return found
    named = [
        [shown(job.spec, job.plan), job.dataset_id, job.test_dataset_id, job.checkpoint_id, job.output] for job in jobs
    ]
    gone = deleted_references.deleted(session, jobs[0].tenant_id, named)
    return [view.model_copy(update={"deleted": names}) for view, names in zip(found, gone, strict=True)]


def _spec(job: Job, brief: bool) -> dict[str, Any]:
    """What was asked for; of a conversion, without what may be large."""
    body = shown(job.spec, job.plan)
    if not isinstance(job.spec, ConvertSpec):
        return body
    return body | {"source": brief_source(body["source"])} if brief else dict(with_first_names(body))


def _facts(session: Session, jobs: Sequence[Job]) -> dict[str, JobFacts]:
    """By job."""
    ids = [job.id for job in jobs]
    summaries = {row.job_id: row for row in session.scalars(select(JobSummary).where(JobSummary.job_id.in_(ids)))}
    drawn = _by_job(session, SampleProgress, func.sum(SampleProgress.drawn), SampleProgress.job_id.in_(ids))
    leased = _by_job(session, Shard, func.count(), Shard.job_id.in_(ids), Shard.state == "leased")
    trained = [job.id for job in jobs if job.kind == "train"]
    epochs = _last_epochs(session, trained)
    certified = _last_epochs(session, trained, EpochMetric.certification.is_not(None))
    on_corrupted = _on_corrupted(session, jobs)
    now = session.scalar(select(clock())) or 0.0
    return {
        job_id: JobFacts(
            summary=summary,
            drawn=int(drawn.get(job_id) or 0),
            leased=leased.get(job_id, 0),
            on_corrupted=job_id in on_corrupted,
            epoch=epochs.get(job_id),
            certified=certified.get(job_id),
            now=now,
        )
        for job_id, summary in summaries.items()
    }


def _needed(session: Session, jobs: Sequence[Job]) -> dict[str, Job]:
    """The jobs that these need, those that these need in turn, and so on, by identifier."""
    found: dict[str, Job] = {}
    wanted = {job.needs_id for job in jobs if job.needs_id is not None}
    while wanted:
        rows = list(session.scalars(select(Job).where(Job.id.in_(wanted))))
        found |= {row.id: row for row in rows}
        wanted = {row.needs_id for row in rows if row.needs_id is not None} - found.keys()
    return found


def _brief(job: Job | None, needed: Mapping[str, Job], facts: Mapping[str, JobFacts]) -> responses.JobBrief | None:
    if job is None:
        return None
    return responses.JobBrief(
        id=job.id,
        kind=job.kind,
        state=job.state,
        auto=job.auto,
        fraction=progress(job, facts[job.id]).fraction,
        needs=_brief(needed.get(job.needs_id or ""), needed, facts),
    )


def etag(body: responses.Job) -> str:
    """Changes with everything that a job's answer says, the estimates of speed and time excepted."""
    return etag_of(body.model_dump_json(exclude={"progress": {"rate", "eta_seconds"}}))


def _view(job: Job, facts: JobFacts, needs: responses.JobBrief | None, spec: dict[str, Any]) -> responses.Job:
    return responses.Job(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created=time(job.created),
        started=None if job.started is None else time(job.started),
        finished=None if job.finished is None else time(job.finished),
        priority=job.priority,
        deadline=None if job.deadline is None else time(job.deadline),
        spec=spec,
        dataset=job.dataset_id,
        test_dataset=job.test_dataset_id,
        checkpoint=job.checkpoint_id,
        progress=progress(job, facts),
        summary=summary(job, facts),
        execution=job.execution,
        provenance=job.provenance,
        output=job.output,
        problem=problem(job.problem),
        auto=job.auto,
        needs=needs,
        links=links(job, facts),
    )


def progress(job: Job, facts: JobFacts) -> responses.Progress:
    """Done and still to do; the rate is that of the workers that hold a part of the job now."""
    row = facts.summary
    work = min(row.work_done + facts.drawn, row.work_total)
    rate = _rate(job, facts, row.work_done + facts.drawn)
    unit, work_unit = UNITS[job.kind]
    work_unit = "images" if _makes_images(job) else work_unit
    share = row.done / row.total if _chooses_sizes(job) else work / row.work_total
    return responses.Progress(
        done=row.done,
        total=row.total,
        unit=unit,
        work_done=work,
        work_total=row.work_total,
        work_unit=work_unit,
        fraction=1.0 if job.state == "succeeded" else share,
        rate=rate,
        eta_seconds=work * (1 / share - 1) / rate if rate and share and job.state == RUNNING else None,
        device_seconds=row.device_seconds,
    )


def _makes_images(job: Job) -> bool:
    """Whether it is the conversion that corrupts images, which are counted."""
    return isinstance(job.spec, ConvertSpec) and isinstance(job.spec.source, CorruptedDataset)


def _chooses_sizes(job: Job) -> bool:
    """Whether inputs get numbers of samples of their own, so that ``work_total`` is only the most there may be."""
    return isinstance(job.spec, CertifySpec) and job.spec.sampling in ("pilot", "at_radii")


def _rate(job: Job, facts: JobFacts, work: int) -> float | None:
    """Work units per second: while it runs, per second of device time and worker; in the end, over the whole time."""
    if job.started is None or work == 0:
        return None
    if job.state == RUNNING and facts.summary.device_seconds > 0:
        return work / facts.summary.device_seconds * facts.leased or None
    elapsed = (job.finished or facts.now) - job.started
    return work / elapsed if elapsed > 0 else None


def summary(job: Job, facts: JobFacts) -> responses.Summary | None:
    """The running sums of the job's kind."""
    row = facts.summary
    partial = row.done < row.total
    if isinstance(job.spec, CertifySpec):
        return certify_summary(row, job.spec.sampling)
    if job.kind in PREDICTING:
        return responses.PredictSummary(
            kind="predict" if job.kind == "predict" else "soft_labels",
            partial=partial,
            inputs_total=row.total,
            inputs_done=row.done,
            correct=row.correct,
            accuracy=row.correct / row.total,
            accuracy_over_done=_over(row.correct, row.done),
            abstained=row.abstained,
            errors=row.errors,
        )
    if isinstance(job.spec, EvaluateSpec):
        return responses.EvaluateSummary(
            evaluation=job.spec.evaluation.name,
            partial=partial,
            inputs_total=row.total,
            inputs_done=row.done,
            errors=row.errors,
            right=[
                responses.PointCount(
                    point=point, count=count, share=count / row.total, share_over_done=_over(count, row.done)
                )
                for point, count in zip(row.radii, row.correct_at, strict=True)
            ],
        )
    if job.kind == "train":
        last = {name: getattr(facts.epoch, name, None) for name in ("loss", "accuracy", "test_accuracy")}
        certification = (facts.certified.certification if facts.certified else None) or {}
        return responses.TrainSummary(
            partial=partial, epochs_total=row.total, epochs_done=row.done, acr=certification.get("acr"), **last
        )
    return None


def certify_summary(row: JobSummary, sampling: Sampling = "fixed") -> responses.CertifySummary:
    """ACR and certified accuracy so far, over all inputs and over those that are done; of ``anytime``, where inputs count
    with their present bound before they are done, only the first."""
    done = 0 if sampling == "anytime" and row.done < row.total else row.done
    return responses.CertifySummary(
        sampling=sampling,
        partial=row.done < row.total,
        inputs_total=row.total,
        inputs_done=row.done,
        acr=row.radius_sum / row.total,
        acr_over_done=_over(row.radius_sum, done),
        correct=row.correct,
        abstained=row.abstained,
        at_cap=row.at_cap,
        errors=row.errors,
        certified_accuracy=[
            responses.RadiusCount(
                radius=radius,
                count=count,
                certified_accuracy=count / row.total,
                certified_accuracy_over_done=_over(count, done),
            )
            for radius, count in zip(row.radii, row.correct_at, strict=True)
        ],
    )


def links(job: Job, facts: JobFacts) -> dict[str, str]:
    """Where the job's parts are."""
    base = f"/v1/jobs/{job.id}"
    parts = {
        "certify": {
            "certificates": f"{base}/certificates",
            "report": f"{base}/report",
            "report_html": f"{base}/report.html",
            "certified_accuracy": f"{base}/plots/certified-accuracy.svg",
            "radius_histogram": f"{base}/plots/radius-histogram.svg",
            "compare": f"/v1/compare.html?job={job.id}",
        },
        **{kind: {"predictions": f"{base}/predictions"} for kind in PREDICTING},
        "evaluate": {
            "evaluations": f"{base}/evaluations",
            "report": f"{base}/report",
            "report_html": f"{base}/report.html",
            "plot": f"{base}/plots/evaluation.svg",
        },
        "train": {"epochs": f"{base}/epochs"},
        "verify": {"audited": f"/v1/jobs/{job.spec.job}"} if isinstance(job.spec, VerifySpec) else {},
    }.get(job.kind, {})
    if job.kind == "certify" and facts.on_corrupted:
        parts = parts | {"corruptions": f"{base}/plots/corruptions.svg"}
    if isinstance(job.spec, CertifySpec) and job.spec.bound == "mixed":
        parts = parts | {"weights": f"{base}/plots/weights.svg"}
    if job.priority >= URGENT:
        parts = parts | {"predictions": f"/v1/predictions/{job.id}"}
    cancel = {} if job.state in TERMINAL else {"cancel": f"{base}/cancel"}
    return {"self": base, "page": f"/jobs/{job.id}"} | cancel | parts


def _over(value: float, done: int) -> float | None:
    return value / done if done else None


def _by_job(session: Session, table: type[Any], value: Any, *conditions: Any) -> dict[str, Any]:
    rows = session.execute(select(table.job_id, value).where(*conditions).group_by(table.job_id))
    return {job_id: found for job_id, found in rows}


def _on_corrupted(session: Session, jobs: Sequence[Job]) -> set[str]:
    """The jobs whose data set is one of corrupted images."""
    found = corruption_groups.corrupted_among(session, [job.dataset_id for job in jobs if job.dataset_id is not None])
    return {job.id for job in jobs if job.dataset_id in found}


def _last_epochs(session: Session, ids: Sequence[str], *conditions: Any) -> dict[str, EpochMetric]:
    """The last epoch of each job, among those that meet the conditions."""
    # By job, so that of each the last epoch is looked up and the others are not read.
    of_job = select(func.max(EpochMetric.epoch)).where(EpochMetric.job_id == Job.id, *conditions).scalar_subquery()
    last = select(Job.id, of_job.label("epoch")).where(Job.id.in_(ids)).subquery()
    condition = (EpochMetric.job_id == last.c.id) & (EpochMetric.epoch == last.c.epoch)
    return {row.job_id: row for row in session.scalars(select(EpochMetric).join(last, condition))}
