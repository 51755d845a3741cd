"""The loop's part of an audit (a job of kind ``verify``): every certificate of the audited job is computed again here, and
what the child has drawn again is compared. Loads no torch.

The rows are read in batches, each in a session of its own. What is found becomes the audit's output.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.certify.audit import Recomputation, RedrawComparison
from radii.rs_core.certify.procedure import procedure_of
from radii.rs_core.data.dataset_header import read_labels
from radii.rs_core.errors import InvalidResults
from radii.rs_core.results.aggregate import RowSums, row_sums
from radii.rs_core.specs.jobs import VerifySpec
from radii.worker.store import certificate_rows, jobs
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Dataset, Job
from radii.worker.store.specifications import as_kind

BATCH = 5_000


def recomputed(database: Database, root: Path, audit: Job, beat: Callable[[], None]) -> dict[str, Any]:
    """What is found when all certificates are computed again, and their labels compared with those of the data set, which
    lies among the blobs at ``root``; ``beat`` is called now and then."""
    with database.read() as session:
        audited = session.get(Job, audited_by(audit))
        if audited is None:
            wanted = f"the certificates of job {audited_by(audit)}"
            raise InvalidResults(expected=wanted, got="none: it was deleted", where="job")
        dataset = session.get_one(Dataset, audited.dataset_id)
        job_id, pixels = audited.id, math.prod(dataset.shape or ()) or None
        spec = audited.certify
        asked = procedure_of(spec, inputs=len(spec.inputs.indices(dataset.count or 0)))
        stored = dataset.sha256
        ended, kept = audited.state in jobs.TERMINAL, session.get_one(JobSummary, job_id)
    labels = read_labels(blob_files.local_path(root, stored)) if stored is not None else None
    recomputation, after = Recomputation(pixels, asked, spec.seed, labels), -1
    sums = row_sums((), kept.radii)
    while True:
        beat()
        with database.read() as session:
            rows = list(certificate_rows.read(session, job_id, after=after, limit=BATCH))
        recomputation.look_at(rows)
        sums += row_sums(rows, kept.radii)
        if len(rows) < BATCH:
            break
        after = rows[-1].index
    if ended and not _are_of(kept, sums):
        recomputation.findings.add(None, "the sums that its reports are made of are not those of its certificates")
    return recomputation.findings.to_json()


def _are_of(kept: JobSummary, sums: RowSums) -> bool:
    """Whether the sums that were kept as results came are those of the rows."""
    counted = (kept.correct, kept.abstained, kept.errors, *kept.correct_at)
    return counted == (sums.correct, sums.abstained, sums.errors, *sums.counts) and math.isclose(
        kept.radius_sum, sums.radius_sum, rel_tol=1e-9, abs_tol=1e-9
    )


def audited_by(audit: Job) -> str:
    """The identifier of the job that an audit is about."""
    return as_kind(audit.spec, VerifySpec).job


def evidence(session: Session, audit: Job) -> list[dict[str, Any]]:
    """What the child is to draw again: for each chosen input its samples by stage, and its failure probability."""
    rows = certificate_rows.read_at(session, audited_by(audit), audit.audit.chosen)
    return [{"index": row.index, "n0": row.n0, "n": row.n, "alpha": row.alpha} for row in rows]


def outcome(session: Session, audit: Job, first: dict[str, Any]) -> dict[str, Any]:
    """What the audit has found, all in all; ``first`` is of :func:`recomputed`."""
    spec, chosen = as_kind(audit.spec, VerifySpec), audit.audit.chosen
    stored = {row.index: row for row in certificate_rows.read_at(session, spec.job, chosen)}
    redrawing = RedrawComparison(len(chosen), exact=_same_machines(session, audit))
    for row in certificate_rows.read(session, audit.id):
        if row.index in stored:
            redrawing.look_at(stored[row.index], row)
    second = redrawing.to_json()
    sound = first["wrong"] == 0 and second["wrong"] == 0
    return {"sound": sound, "job": spec.job, "recomputed": first, "redrawn": second, "seed": spec.seed}


def _same_machines(session: Session, audit: Job) -> bool:
    """Whether all that counts depend on is equal: then they must be."""
    audited = session.get_one(Job, audited_by(audit))
    machines = [*(audited.provenance or {}).get("workers", []), *(audit.provenance or {}).get("workers", [])]
    ways = [{name: (job.execution or {}).get(name) for name in SAME} for job in (audited, audit)]
    return ways[0] == ways[1] and all(machine == machines[0] for machine in machines)


SAME = ("batch_size", "compiled", "precision", "threads", "device_type")
"""Of how a job is run: what counts depend on."""
