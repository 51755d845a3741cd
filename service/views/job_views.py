"""Jobs as they are shown: state, progress, rate, remaining time, running sums. A few indexed queries for any number of
jobs; no result row is read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.results.plausibility import too_few_samples
from radii.service.kinds.kind import JobFacts
from radii.service.kinds.registry import KINDS
from radii.service.lookup import etag_of
from radii.service.schemas import responses
from radii.service.views import deleted_references
from radii.service.views.resource_views import brief_source, problem, time, with_first_names
from radii.worker.store.clock import clock
from radii.worker.store.jobs import RUNNING, TERMINAL, URGENT
from radii.worker.store.models.result_tables import JobSummary, SampleProgress
from radii.worker.store.models.tables import Dataset, Job, Shard
from radii.worker.store.specifications import ConvertSpec, shown


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


def warnings_of(session: Session, job: Job) -> list[str]:
    """What a reader should know first, the most important first: that the job cannot find anything, or that what it has found is
    implausible."""
    summary, dataset = session.get(JobSummary, job.id), session.get(Dataset, job.dataset_id or "")
    if summary is None or dataset is None:
        return []
    try:
        found = too_few_samples(job.resolved, summary.total, dataset.num_classes or 2)
    except InvalidSpec:  # written by another version
        found = ()
    return [*found, *KINDS[job.kind].warnings(session, job, summary, dataset)]


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
    more: dict[str, Any] = {}
    for name in {job.kind for job in jobs}:
        more |= KINDS[name].facts(session, [job for job in jobs if job.kind == name])
    now = session.scalar(select(clock())) or 0.0
    return {
        job_id: JobFacts(
            summary=summary,
            drawn=int(drawn.get(job_id) or 0),
            leased=leased.get(job_id, 0),
            now=now,
            more=more.get(job_id),
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
        summary=KINDS[job.kind].summary(job, facts),
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
    row, kind = facts.summary, KINDS[job.kind]
    work = min(row.work_done + facts.drawn, row.work_total)
    rate = _rate(job, facts, row.work_done + facts.drawn)
    share = row.done / row.total if kind.chooses_sizes(job.spec) else work / row.work_total
    return responses.Progress(
        done=row.done,
        total=row.total,
        unit=kind.unit,
        work_done=work,
        work_total=row.work_total,
        work_unit=kind.work_unit_of(job.spec),
        fraction=1.0 if job.state == "succeeded" else share,
        rate=rate,
        eta_seconds=work * (1 / share - 1) / rate if rate and share and job.state == RUNNING else None,
        device_seconds=row.device_seconds,
    )


def _rate(job: Job, facts: JobFacts, work: int) -> float | None:
    """Work units per second: while it runs, per second of device time and worker; in the end, over the whole time."""
    if job.started is None or work == 0:
        return None
    if job.state == RUNNING and facts.summary.device_seconds > 0:
        return work / facts.summary.device_seconds * facts.leased or None
    elapsed = (job.finished or facts.now) - job.started
    return work / elapsed if elapsed > 0 else None


def links(job: Job, facts: JobFacts) -> dict[str, str]:
    """Where the job's parts are."""
    base = f"/v1/jobs/{job.id}"
    parts = KINDS[job.kind].links(job, base, facts)
    if job.priority >= URGENT:
        parts = parts | {"predictions": f"/v1/predictions/{job.id}"}
    cancel = {} if job.state in TERMINAL else {"cancel": f"{base}/cancel"}
    return {"self": base, "page": f"/jobs/{job.id}"} | cancel | parts


def _by_job(session: Session, table: type[Any], value: Any, *conditions: Any) -> dict[str, Any]:
    rows = session.execute(select(table.job_id, value).where(*conditions).group_by(table.job_id))
    return {job_id: found for job_id, found in rows}
