"""Certificates as rows, with the summary that counts them.

A certificate is inserted once: where its row is there already, nothing is counted again. Functions take a session and never
commit; the fence is checked by the caller's ``shards.renew`` in the same transaction.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import Procedure, turn_end
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.results.aggregate import row_sums
from radii.rs_core.results.codec import of_values
from radii.rs_core.specs.jobs import CertifySpec
from radii.worker.store import result_rows, results, row_statistics
from radii.worker.store.models.result_tables import CertificateRow, JobSummary
from radii.worker.store.models.tables import Job
from radii.worker.store.shards import Claim

AT_ONCE = 10_000
"""Parameters of one query."""


def store(session: Session, job_id: str, certificates: Sequence[Certificate]) -> int:
    """Inserts those that are new, replaces older ones by those of more samples, and brings the summary up to date; returns how many
    were stored."""
    certificates = list({row.index: row for row in certificates}.values())  # of several turns the last one's
    new = result_rows.insert_new(session, CertificateRow, job_id, certificates)
    inserted = {certificate.index for certificate in new}
    again = [row for row in certificates if row.sampling == "anytime" and row.index not in inserted]
    older, newer = _replaced(session, job_id, again)
    if new or newer:
        summary = results.locked_summary(session, job_id)
        spec = session.get_one(Job, job_id).spec
        n = spec.n if isinstance(spec, CertifySpec) else 0  # an audit draws as many as there were
        finished = [row for row in (*new, *newer) if row.sampling != "anytime" or row.n >= n or row.error is not None]
        _add(summary, [*new, *newer], n, +1)
        _add(summary, older, n, -1)
        summary.done += len(finished)
        row_statistics.update(session, summary, [*new, *newer], older, everything=lambda: [*read(session, job_id)])
    return len(new) + len(newer)


def _replaced(
    session: Session, job_id: str, certificates: Sequence[Certificate]
) -> tuple[list[Certificate], list[Certificate]]:
    """Puts certificates of more samples where those of fewer are; returns the ones before, and the ones now."""
    if not certificates:
        return [], []
    wanted = {certificate.index: certificate for certificate in certificates}
    before = [row for row in read_at(session, job_id, list(wanted)) if row.n < wanted[row.index].n]
    for row in before:
        values = result_rows.columns_of(CertificateRow, wanted[row.index])
        session.execute(
            update(CertificateRow)
            .where(CertificateRow.job_id == job_id, CertificateRow.index == row.index)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
    return before, [wanted[row.index] for row in before]


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


def failure(job: Job, index: int, label: int, error: str) -> Certificate:
    """The row of an input that could not be worked on: not certified, with the reason, and in the denominator."""
    made = job.certify
    known: dict[str, Any] = {name: getattr(made, name) for name in ("n0", "n", "sigma", "alpha", "seed")}
    return Certificate(
        **known | _of_the_job(made),
        index=index,
        label=label,
        prediction=ABSTAIN,
        counts0=(),
        counts=(),
        radius=0.0,
        p_lower=0.0,
        error=error,
    )


def standing(
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


def read(session: Session, job_id: str, *, after: int = -1, limit: int | None = None) -> Iterator[Certificate]:
    """A job's certificates in the order of their index, beyond index ``after``."""
    procedure = _procedure(session, job_id)
    for fields in result_rows.read(
        session, CertificateRow, Certificate, job_id, CertificateRow.index > after, limit=limit
    ):
        yield of_values(Certificate, fields | procedure)


def read_at(session: Session, job_id: str, indices: Sequence[int]) -> list[Certificate]:
    """A job's certificates of some inputs, in the order of their index."""
    return list(each_at(session, job_id, indices))


def each_at(
    session: Session, job_id: str, indices: Sequence[int], *, without_counts: bool = False
) -> Iterator[Certificate]:
    """The same one by one, so that not all are in memory; ``without_counts`` their class counts are not even read."""
    procedure = _procedure(session, job_id)
    ordered = sorted(indices)
    left_out = result_rows.LISTS if without_counts else ()
    for first in range(0, len(ordered), AT_ONCE):
        wanted = CertificateRow.index.in_(ordered[first : first + AT_ONCE])
        for fields in result_rows.read(session, CertificateRow, Certificate, job_id, wanted, without=left_out):
            yield of_values(Certificate, fields | procedure)


def _procedure(session: Session, job_id: str) -> dict[str, Any]:
    job = session.get(Job, job_id)
    return {} if job is None else _of_the_job(job.certify)


def _of_the_job(spec: CertifySpec) -> dict[str, Any]:
    known = {name: getattr(spec, name) for name in result_rows.OF_THE_JOB}
    return {name: value for name, value in known.items() if value is not None}
