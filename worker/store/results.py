"""Results as rows, and the summary that grows with them in the same transaction.

A result is inserted once: where its row is there already, nothing is counted again. Functions take a session and never
commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import Procedure, turn_end
from radii.rs_core.records import ABSTAIN, Certificate, Prediction
from radii.rs_core.results.aggregate import row_sums
from radii.rs_core.results.codec import of_values
from radii.rs_core.soft_labels.labels import ALPHA
from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, PredictSpec, SoftLabelSpec, VerifySpec
from radii.worker.store import evaluations, result_rows, row_statistics
from radii.worker.store.models.result_tables import (
    CertificateRow,
    EpochMetric,
    JobSummary,
    PredictionRow,
    SampleProgress,
)
from radii.worker.store.models.tables import Dataset, Job
from radii.worker.store.shards import Claim
from radii.worker.store.specifications import AuditPlan, as_kind, resolved

AT_ONCE = 10_000
"""Parameters of one query."""
PREDICTING = ("predict", "soft_labels")
"""Kinds of jobs whose results are predictions."""


def store_certificates(session: Session, job_id: str, certificates: Sequence[Certificate]) -> int:
    """Inserts those that are new, puts those that know more in the place of older ones, and brings the summary up to
    date; returns how many were stored."""
    new = result_rows.insert_new(session, CertificateRow, job_id, certificates)
    inserted = {certificate.index for certificate in new}
    again = [row for row in certificates if row.sampling == "anytime" and row.index not in inserted]
    older, newer = _replaced(session, job_id, again)
    if new or newer:
        summary = _locked_summary(session, job_id)
        finished = _final(session, job_id, [*new, *newer])
        spec = session.get_one(Job, job_id).spec
        n = spec.n if isinstance(spec, CertifySpec) else 0
        _add(summary, [*new, *newer], n, +1)
        _add(summary, older, n, -1)
        summary.done += len(finished)
        row_statistics.update(session, summary, [*new, *newer], older, everything=lambda: [*_all(session, job_id)])
    return len(new) + len(newer)


def _replaced(
    session: Session, job_id: str, certificates: Sequence[Certificate]
) -> tuple[list[Certificate], list[Certificate]]:
    """Puts certificates of more samples where those of fewer are; returns the ones before, and the ones now."""
    if not certificates:
        return [], []
    wanted = {certificate.index: certificate for certificate in certificates}
    before = [row for row in certificates_at(session, job_id, list(wanted)) if row.n < wanted[row.index].n]
    for row in before:
        values = result_rows.columns_of(wanted[row.index])
        session.execute(
            update(CertificateRow)
            .where(CertificateRow.job_id == job_id, CertificateRow.index == row.index)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
    return before, [wanted[row.index] for row in before]


def _all(session: Session, job_id: str) -> Iterator[Certificate]:
    return certificates(session, job_id)


def _final(session: Session, job_id: str, certificates: Sequence[Certificate]) -> list[Certificate]:
    """Those that no later one will take the place of."""
    if not certificates or certificates[0].sampling != "anytime":
        return list(certificates)
    spec = session.get_one(Job, job_id).spec
    if isinstance(spec, VerifySpec):
        return list(certificates)
    n = as_kind(spec, CertifySpec).n
    return [row for row in certificates if row.n >= n or row.error is not None]


def _add(summary: JobSummary, certificates: Sequence[Certificate], n: int, sign: int) -> None:
    """Adds certificates of a job of ``n`` samples at most to the summary, or takes them from it; ``done`` is left to the
    caller."""
    of_fixed = all(row.sampling == "fixed" or row.error is not None for row in certificates)
    sums = row_sums(certificates, summary.radii, cap=None if of_fixed or not n else _cap(certificates[0], n))
    summary.work_done += sign * sum(certificate.n0 + certificate.n for certificate in certificates)
    summary.correct += sign * sums.correct
    summary.abstained += sign * sums.abstained
    summary.errors += sign * sums.errors
    summary.radius_sum += sign * sums.radius_sum
    summary.at_cap += sign * (sums.at_cap or 0)
    summary.correct_at = [before + sign * more for before, more in zip(summary.correct_at, sums.counts, strict=True)]


def _cap(row: Certificate, n: int) -> float:
    """The largest radius that a job of ``n`` samples an input at most can certify."""
    return _cap_of(
        Procedure(
            sigma=row.sigma,
            n=n,
            alpha=row.alpha,
            sampling=row.sampling,
            bound=row.bound,
            robust_weight=row.robust_weight,
        )
    )


@lru_cache(maxsize=1_000)
def _cap_of(procedure: Procedure) -> float:
    return procedure.cap


def store_predictions(session: Session, job_id: str, predictions: Sequence[Prediction]) -> int:
    """Inserts those that are new and adds them to the summary; returns how many were."""
    new = result_rows.insert_new(session, PredictionRow, job_id, predictions)
    if new:
        summary = _locked_summary(session, job_id)
        summary.done += len(new)
        summary.work_done += sum(prediction.n for prediction in new)
        summary.correct += sum(prediction.correct for prediction in new)
        summary.abstained += sum(prediction.prediction == ABSTAIN for prediction in new)
        summary.errors += sum(prediction.error is not None for prediction in new)
    return len(new)


def store_epoch(session: Session, job_id: str, metric: dict[str, Any]) -> None:
    """Inserts one epoch's metrics, once; ``done`` of the summary counts epochs."""
    inserted = result_rows.insert(session, EpochMetric, [{"job_id": job_id, **metric}], ["job_id", "epoch"])
    if inserted:
        _locked_summary(session, job_id).done += 1


def store_failure(session: Session, job_id: str, index: int, label: int, error: str) -> None:
    """Stores an input that could not be worked on: not certified, with the reason, and in the denominator."""
    drop_progress(session, job_id, [index])
    job = session.get_one(Job, job_id)
    spec = job.resolved
    if isinstance(spec, EvaluateSpec):
        evaluations.store_failure(session, job_id, spec, index, label, error)
        return
    known: dict[str, Any] = {"index": index, "label": label, "prediction": ABSTAIN, "counts": (), "error": error}
    if isinstance(spec, PredictSpec | SoftLabelSpec):
        alpha = spec.alpha if isinstance(spec, PredictSpec) else ALPHA
        known |= {"n": spec.n, "sigma": spec.sigma, "seed": spec.seed, "alpha": alpha}
        store_predictions(session, job_id, [Prediction(**known, p_value=1.0)])
    else:
        certified = certified_as(job)
        known |= {name: getattr(certified, name) for name in ("n0", "n", "sigma", "alpha", "seed")}
        known |= _of_the_job(certified)
        store_certificates(session, job_id, [Certificate(**known, counts0=(), radius=0.0, p_lower=0.0)])


def certified_as(job: Job) -> CertifySpec:
    """How the certificates of a certify job, or of an audit of one, are made."""
    return job.plan.certify if isinstance(job.plan, AuditPlan) else as_kind(job.resolved, CertifySpec)


def count_failure(session: Session, job_id: str) -> int:
    """Notes that an input is to be given up; returns how many are since the last one that was done."""
    summary = _locked_summary(session, job_id)
    summary.given_up += 1
    return summary.given_up


def forget_failures(session: Session, job_id: str) -> None:
    """An input was done: those before it that were not are to blame themselves."""
    summary = _locked_summary(session, job_id)
    if summary.given_up:
        summary.given_up = 0


def finish_work(session: Session, job_id: str) -> None:
    """All of the job's work is behind it."""
    summary = _locked_summary(session, job_id)
    summary.work_done = summary.work_total


def set_work(session: Session, job_id: str, work_done: int) -> None:
    """How many optimiser steps a training job has behind it, at the furthest: those that it does again after it has gone
    back to a snapshot are no new ones. A count beyond the whole work, which a hostile file can write, is the whole work."""
    summary = _locked_summary(session, job_id)
    summary.work_done = max(summary.work_done, min(work_done, summary.work_total))


def add_device_seconds(session: Session, job_id: str, seconds: float) -> None:
    """Adds time that a worker spent on the job."""
    summary = _locked_summary(session, job_id)
    summary.device_seconds += seconds


def store_progress(
    session: Session, job_id: str, index: int, votes: dict[str, Any], seconds: float, batch_size: int | None = None
) -> None:
    """Keeps the votes of an unfinished input; ``drawn`` counts those that no certificate of it counts already."""
    counted = select(CertificateRow.n0 + CertificateRow.n).where(
        CertificateRow.job_id == job_id, CertificateRow.index == index
    )
    drawn = sum(stage["drawn"] for stage in votes.values()) - (session.scalar(counted) or 0)
    row = session.get(SampleProgress, (job_id, index))
    if row is None:
        row = SampleProgress(job_id=job_id, index=index, deaths=0)
        session.add(row)
    row.votes, row.drawn, row.seconds, row.batch_size = votes, drawn, seconds, batch_size
    row.deaths = 0  # it can be worked on
    session.flush()


def count_death(session: Session, job_id: str, index: int) -> int:
    """Notes that an input ended the child that worked on it; returns how often it did."""
    row = session.get(SampleProgress, (job_id, index))
    if row is None:
        row = SampleProgress(job_id=job_id, index=index, votes={}, drawn=0, seconds=0.0, deaths=0)
        session.add(row)
    row.deaths += 1
    session.flush()
    return row.deaths


def drop_progress(session: Session, job_id: str, indices: Iterable[int]) -> None:
    """Forgets the progress of inputs that are finished."""
    session.execute(
        delete(SampleProgress).where(SampleProgress.job_id == job_id, SampleProgress.index.in_(list(indices)))
    )


def progress_of(session: Session, job_id: str, indices: Sequence[int]) -> list[SampleProgress]:
    """The unfinished inputs among ``indices``."""
    query = select(SampleProgress).where(
        SampleProgress.job_id == job_id, *result_rows.between(SampleProgress.index, indices)
    )
    return list(session.scalars(query))


def standing(session: Session, claim: Claim) -> tuple[set[int], list[dict[str, Any]]]:
    """Which inputs of a claimed shard have their result of this turn, and how far the unfinished ones have come."""
    if claim.kind == "verify":
        chosen = claim.plan.chosen if isinstance(claim.plan, AuditPlan) else ()
        return done_among(session, claim.job_id, claim.kind, chosen), []
    if not isinstance(claim.spec, CertifySpec | EvaluateSpec | PredictSpec | SoftLabelSpec):
        return set(), []
    count = session.scalar(select(Dataset.count).join(Job, Job.dataset_id == Dataset.id).where(Job.id == claim.job_id))
    indices = claim.spec.inputs.indices(count or 0)[claim.first : claim.stop]
    if isinstance(claim.spec, CertifySpec) and claim.spec.sampling == "anytime":
        done, begun = _turned(session, claim, claim.spec.n, indices)
    else:
        done, begun = done_among(session, claim.job_id, claim.kind, indices), {}
    for row in progress_of(session, claim.job_id, indices):
        if row.drawn and row.index not in done:
            begun[row.index] = {"index": row.index, "votes": row.votes, "seconds": row.seconds}
            begun[row.index]["batch_size"] = row.batch_size
    return done, list(begun.values())


def _turned(
    session: Session, claim: Claim, n: int, indices: Sequence[int]
) -> tuple[set[int], dict[int, dict[str, Any]]]:
    """Of a job in turns: the inputs that have come as far as this one goes, or the last one where all are done at once,
    and the votes of the others."""
    upto = n if claim.urgent else min(turn_end(claim.turn), n)
    query = select(
        CertificateRow.index,
        CertificateRow.counts0,
        CertificateRow.counts,
        CertificateRow.seconds,
        CertificateRow.batch_size,
        CertificateRow.n.label("drawn"),
        CertificateRow.error,
    ).where(CertificateRow.job_id == claim.job_id, *result_rows.between(CertificateRow.index, indices))
    done, begun = set(), {}
    for index, counts0, counts, seconds, batch_size, drawn, error in session.execute(query):
        if drawn >= upto or error is not None:
            done.add(index)
        else:
            votes = {str(stage): {"drawn": sum(part), "counts": part} for stage, part in enumerate((counts0, counts))}
            begun[index] = {"index": index, "votes": votes, "seconds": seconds, "batch_size": batch_size}
    return done, begun


def done_among(session: Session, job_id: str, kind: str, indices: Sequence[int]) -> set[int]:
    """Which of ``indices`` (ascending) have their result already."""
    if kind == "evaluate":
        return evaluations.done_among(session, job_id, indices)
    table = PredictionRow if kind in PREDICTING else CertificateRow
    return set(
        session.scalars(select(table.index).where(table.job_id == job_id, *result_rows.between(table.index, indices)))
    )


def certificates(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Certificate]:
    """A job's certificates in the order of their index, beyond index ``after``."""
    procedure = _procedure(session, job_id)
    for fields in result_rows.read(
        session, CertificateRow, Certificate, job_id, CertificateRow.index > after, limit=limit
    ):
        yield _certificate(fields, procedure)


def certificates_at(session: Session, job_id: str, indices: Sequence[int]) -> list[Certificate]:
    """A job's certificates of some inputs, in the order of their index."""
    return list(each_certificate_at(session, job_id, indices))


def each_certificate_at(
    session: Session, job_id: str, indices: Sequence[int], *, without_counts: bool = False
) -> Iterator[Certificate]:
    """The same one by one, so that not all are in memory; ``without_counts`` their class counts are not even read."""
    procedure = _procedure(session, job_id)
    ordered = sorted(indices)
    left_out = result_rows.LISTS if without_counts else ()
    for first in range(0, len(ordered), AT_ONCE):
        wanted = CertificateRow.index.in_(ordered[first : first + AT_ONCE])
        for fields in result_rows.read(session, CertificateRow, Certificate, job_id, wanted, without=left_out):
            yield _certificate(fields, procedure)


def _procedure(session: Session, job_id: str) -> dict[str, Any]:
    row = session.execute(select(Job.spec, Job.plan).where(Job.id == job_id)).one_or_none()
    if row is None:
        return {}
    spec = row.plan.certify if isinstance(row.plan, AuditPlan) else resolved(row.spec, row.plan)
    return _of_the_job(as_kind(spec, CertifySpec))


def _of_the_job(spec: CertifySpec) -> dict[str, Any]:
    known = {name: getattr(spec, name) for name in result_rows.OF_THE_JOB}
    return {name: value for name, value in known.items() if value is not None}


def _certificate(fields: dict[str, Any], procedure: dict[str, Any]) -> Certificate:
    return of_values(Certificate, fields | procedure)


def predictions(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Prediction]:
    """A job's predictions in the order of their index, beyond index ``after``."""
    for fields in result_rows.read(
        session, PredictionRow, Prediction, job_id, PredictionRow.index > after, limit=limit
    ):
        yield of_values(Prediction, fields)


def votes(session: Session, job_id: str, *, after: int, limit: int) -> list[tuple[int, list[int]]]:
    """Index and class counts of a job's predictions without an error, in the order of their index."""
    query = select(PredictionRow.index, PredictionRow.counts).where(
        PredictionRow.job_id == job_id, PredictionRow.index > after, PredictionRow.error.is_(None)
    )
    return [(index, counts) for index, counts in session.execute(query.order_by(PredictionRow.index).limit(limit))]


def without_votes(session: Session, job_id: str, inputs: range) -> tuple[int, str] | None:
    """The first of ``inputs`` (ascending) that a job could not vote on, and why."""
    query = select(PredictionRow.index, PredictionRow.error).where(
        PredictionRow.job_id == job_id,
        PredictionRow.error.is_not(None),
        *result_rows.between(PredictionRow.index, inputs),
    )
    found = session.execute(query.order_by(PredictionRow.index))
    return next(((index, str(error)) for index, error in found if index in inputs), None)


def epochs(session: Session, job_id: str) -> list[EpochMetric]:
    """A training job's epochs in order."""
    return list(session.scalars(select(EpochMetric).where(EpochMetric.job_id == job_id).order_by(EpochMetric.epoch)))


def _locked_summary(session: Session, job_id: str) -> JobSummary:
    return session.get_one(JobSummary, job_id, with_for_update=True, populate_existing=True)
