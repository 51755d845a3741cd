"""A certify job's report out of its rows: the numbers, and everything that is needed to compute them again.

The numbers are those of ``radii.rs_core.reports.certification``; here they are shown with the hashes of model and data, the procedure, and
the machine that drew the noise. The HTML form is in ``report_page``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import procedure_of
from radii.rs_core.checkpoints.training_overlap import trained_on, training_note
from radii.rs_core.records import Certificate
from radii.rs_core.reports.certification import Report, mixes, report_of
from radii.rs_core.reports.certification_of_spec import facts_asked, together
from radii.rs_core.reports.corruptions import CorruptionGroups
from radii.rs_core.reports.mixed import WeightResult, rows_at
from radii.rs_core.reports.procedure_text import recipe
from radii.rs_core.results.aggregate import Columns, columns, joined, radii_up_to
from radii.rs_core.results.photographs import Photographs, dataset_repeats_note
from radii.rs_core.results.row_statistics import RowStatistics, photograph_sums, statistics_of_columns
from radii.rs_core.specs.jobs import NoiseJob, dump_spec
from radii.service.lookup import etag_of
from radii.service.schemas import job_results
from radii.service.views.resource_views import composition, corrupted_images, time
from radii.version import installed_version
from radii.worker.store import certificate_rows, corruption_groups, result_arrays, row_statistics, specifications
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.result_rows import by_numbers
from radii.worker.store.specifications import as_kind

VERSION = installed_version()
PROCEDURE = (
    *(
        "sigma",
        "sampling",
        "radii",
        "bound",
        "robust_weight",
        "noise",
        "guarantee",
        "n0",
        "n",
        "alpha",
        "precision",
        "seed",
    ),
)
"""Fields of a specification that say how it certifies."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The rows that a report speaks of, in addition to the certificates themselves."""

    job: Job
    summary: JobSummary
    dataset: Dataset
    checkpoint: Checkpoint
    weights: tuple[WeightResult, ...] = ()
    """Of a mix: what other weights of its robust classifier would have certified."""
    beside: tuple[object, ...] = ()
    """What else the report changes with: the state of the job whose certificates an attack is held against."""


def sources(session: Session, job: Job) -> Sources:
    """What a certify job read; data sets and checkpoints that were deleted since keep their hashes."""
    return Sources(
        job=job,
        summary=session.get_one(JobSummary, job.id),
        dataset=session.get_one(Dataset, job.dataset_id),
        checkpoint=session.get_one(Checkpoint, job.checkpoint_id),
        beside=_certifying(session, job),
    )


def _certifying(session: Session, job: Job) -> tuple[object, ...]:
    other = session.get(Job, job.spec.compared_with or "")
    if other is None:
        return ()
    summary = session.get_one(JobSummary, other.id)
    return other.id, other.revision, summary.done, summary.work_done


def etag(found: Sources, form: str) -> str:
    """Changes with every result and every change of state."""
    summary = found.summary
    return etag_of(VERSION, form, found.job.id, found.job.revision, summary.done, summary.work_done, *found.beside)


def row_statistics_of(session: Session, found: Sources) -> RowStatistics:
    """What there is to report of the certificates so far: of a large job stored with them, else made of them now."""
    job, summary = found.job, found.summary
    kept = row_statistics.kept(session, job.id) if summary.total >= row_statistics.LARGE else None
    cap = procedure_of(job.certify, inputs=summary.total).cap
    starts = row_statistics.starts(session, job)
    if (
        kept is not None and starts and kept.photographs is None
    ):  # it was kept by a version that did not count photographs
        rows = result_arrays.columns(session, job.id)
        return replace(kept, photographs=photograph_sums(rows, kept.sums.radii, starts))
    return kept or _statistics_of_rows(session, job.id, summary.radii, cap=cap, starts=starts)


def _statistics_of_rows(session: Session, job_id: str, radii: Sequence[float], **how: Any) -> RowStatistics:
    """The statistics of a job's rows, read in batches; the class counts of one batch are in memory at a time."""
    parts: list[Columns] = []
    rows: list[Certificate] = []
    for batch in by_numbers(certificate_rows.read(session, job_id)):
        parts.append(columns(batch))
        rows += [replace(row, counts0=(), counts=row.counts[:1], standard=()) for row in batch]
    return statistics_of_columns(joined(parts), rows, radii, **how)


def grouped(found: Sources) -> CorruptionGroups | None:
    """Which of the job's inputs have which corruption and show which photograph; None of a dataset of other images."""
    corrupted = corruption_groups.corrupted(found.dataset)
    if corrupted is None:
        return None
    return CorruptionGroups(corrupted=corrupted, chosen=_chosen(found))


def photographs(found: Sources) -> Photographs | None:
    """Which of the job's inputs show the same photograph; None of a dataset where each shows one of its own."""
    return corruption_groups.photographs(found.dataset, _chosen(found))


def _chosen(found: Sources) -> range:
    """The indices of the job's inputs."""
    return as_kind(found.job.spec, NoiseJob).inputs.indices(found.dataset.count or 0)


def photograph_notes(found: Sources) -> tuple[str, ...]:
    """A note where the dataset may show photographs several times without declaring it."""
    return dataset_repeats_note(corruption_groups.label_period(found.dataset))


def numbers(found: Sources, rows: RowStatistics) -> Report:
    """The report's numbers; inputs that are not done stay in every denominator."""
    spec, summary = found.job.certify, found.summary
    procedure = procedure_of(spec, inputs=summary.total)
    count = found.dataset.count or 0
    chosen = spec.inputs.indices(count)
    report = report_of(
        rows,
        facts_asked(spec, summary.total),
        inputs=summary.total,
        cap=procedure.cap,
        class_names=found.dataset.class_names or found.checkpoint.class_names,
        unfinished=max(0, rows.sums.evaluated - summary.done) if spec.sampling == "anytime" else 0,
        pixels=math.prod(found.dataset.shape or ()) or None,
        grouped=grouped(found),
        photographs=photographs(found),
    )
    seen = trained_on(found.checkpoint.info, found.dataset.content_hash, count, chosen)
    notes = report.notes + photograph_notes(found) + together(spec, summary.total) + training_note(seen, len(chosen))
    alone = procedure_of(replace(spec, robust_weight=1.0), inputs=summary.total) if found.weights else procedure
    return replace(report, notes=notes, weights=rows_at(found.weights, radii_up_to(alone.cap)))


def votes_of_mix(session: Session, found: Sources) -> list[Certificate] | None:
    """The rows so far of a mix; None of anything else."""
    return list(certificate_rows.read(session, found.job.id)) if found.job.certify.bound == "mixed" else None


def with_weights(found: Sources, votes: Sequence[Certificate] | None) -> Sources:
    """Of a mix, with what other weights would have certified; seconds for many rows, and so none of a session's."""
    if votes is None:
        return found
    pixels = math.prod(found.dataset.shape or ())
    made = mixes(votes, total=found.summary.total, pixels=pixels, photographs=photographs(found))
    return replace(found, weights=made)


def body(found: Sources, report: Report) -> job_results.Report:
    """The report as JSON."""
    job = found.job
    return job_results.Report(
        job=job_part(job),
        complete=report.complete,
        model=model_part(found.checkpoint),
        dataset=dataset_part(found.dataset) | {"selection": dump_spec(job.certify.inputs)},
        procedure={name: value for name, value in dump_spec(job.certify).items() if name in PROCEDURE},
        execution=job.execution or {},
        provenance={"report": {"radii": VERSION}, **(job.provenance or {})},
        results=report.to_json(),
        recompute=recompute(found),
    )


def job_part(job: Job) -> dict[str, Any]:
    """The job, as far as a report needs it."""
    times = {name: getattr(job, name) for name in ("created", "started", "finished")}
    shown = {name: None if value is None else time(value).isoformat() for name, value in times.items()}
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        **shown,
        "spec": specifications.shown(job.spec, job.plan),
    }


def model_part(row: Checkpoint) -> dict[str, Any]:
    """Which model, by its hash and by what is known of it."""
    fields = ("id", "name", "architecture", "input_shape", "num_classes", "sigma", "method")
    info = row.info or {}
    return {
        **{field: getattr(row, field) for field in fields},
        "sha256": row.sha256 or row.source.get("sha256"),
        **composition(row),
        "normalization": info.get("normalization"),
        "dataset_hash": info.get("dataset_hash"),
        "source": row.source,
        "provenance": info.get("provenance"),
    }


def dataset_part(row: Dataset) -> dict[str, Any]:
    """Which data, by the hash of its content and of its file."""
    fields = ("id", "name", "content_hash", "count", "shape", "num_classes")
    return {
        **{field: getattr(row, field) for field in fields},
        "sha256": row.sha256 or row.source.get("sha256"),
        "source": {name: value for name, value in row.source.items() if name not in ("class_names", "corrupted")},
        **({"corrupted": shown.model_dump(mode="json")} if (shown := corrupted_images(row)) else {}),
        **({"photographs": every} if (every := corruption_groups.declared(row)) else {}),
    }


def recompute(found: Sources) -> list[str]:
    """How to check the report, in sentences."""
    job = found.job
    base = f"/v1/jobs/{job.id}/certificates.csv"
    return [
        f"The rows are at {base}: for each input the votes of n0 selection samples (counts0) and of n estimation "
        "samples (counts).",
        "The class is the one most voted for in counts0, the lowest index where several are equal.",
        *recipe(job.certify, found.dataset.shape),
        "ACR is the sum of radius over inputs whose class is the label, divided by all inputs of the job; certified "
        "accuracy at r is the share of all inputs that are correct with radius at least r.",
        "The votes follow from the model file, the data set and the specification: a certify job with the same "
        "specification, batch size, precision, threads and device type draws the same noise and gives the same votes.",
    ]
