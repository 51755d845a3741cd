"""Comparisons over HTTP: which jobs and files are meant, their rows as runs, and what the answer says of them.

A run is a certify job of the tenant, read as columns, or an upload: the field's TSV of anybody, or ``.ndjson`` with votes.
``radii.rs_core.comparisons.compare`` defines what is compared and how; the HTML form is in ``comparison_page``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.comparisons.alignment import AlignedRuns, Run
from radii.rs_core.comparisons.compare import Comparison, checked, compare_aligned
from radii.rs_core.comparisons.runs import run_asked
from radii.rs_core.errors import InvalidResults
from radii.rs_core.literature.published_results import Published
from radii.rs_core.results.photographs import Photographs
from radii.rs_core.specs.jobs import dump_spec
from radii.service.errors import InvalidRequest, NotFound
from radii.service.lookup import etag_of, of_kind, shown
from radii.service.schemas import comparisons
from radii.service.views import certification_report, results_files
from radii.service.views.certification_report import VERSION, Sources
from radii.worker.settings import Settings
from radii.worker.store import resources, result_arrays
from radii.worker.store.blobs import blob_files
from radii.worker.store.models.tables import Blob, Upload

MOST_RUNS = 10
MOST_ROWS = 2_000_000
"""Of all jobs together; some 40 bytes each while they are compared."""
MOST_BYTES = 16 * 2**20
"""Of all files together; reading takes some thirty times as much memory for a moment."""
MOST_FILE_ROWS = 500_000
"""Of all files together."""
MOST_WITH_FILES = 2
"""Comparisons with files that one tenant may have made at a time."""


@dataclass(frozen=True, kw_only=True)
class ComparisonRequest:
    """What a request asks for: identifiers of jobs, names of uploads, published results, and how to compare. ``photographs``:
    after how many indices those of the files come again, of corrupted images."""

    jobs: tuple[str, ...]
    files: tuple[str, ...]
    published: tuple[Published, ...] = ()
    baseline: str | None = None
    radii: tuple[float, ...] | None = None
    all_pairs: bool = False
    photographs: int | None = None


@dataclass(frozen=True, kw_only=True)
class NamedRun:
    """A run that was asked for as ``reference``, before its rows are read: a job or an upload."""

    name: str
    reference: str
    job: Sources | None = None
    upload: Upload | None = None


@dataclass(frozen=True, kw_only=True)
class ComparisonView:
    """A comparison, and what it was made of."""

    asked: ComparisonRequest
    named: tuple[NamedRun, ...]
    runs: tuple[Run, ...]
    shared: AlignedRuns
    results: Comparison


def find(session: Session, tenant_id: str, asked: ComparisonRequest) -> tuple[NamedRun, ...]:
    """The jobs and uploads that are meant, in the order asked for.

    Raises :class:`NotFound` for what is not the tenant's, :class:`InvalidRequest` where there is nothing or too much to
    compare.
    """
    jobs = [certification_report.sources(session, _job(session, tenant_id, identifier)) for identifier in asked.jobs]
    uploads = [_upload(session, tenant_id, name) for name in asked.files]
    if not jobs and not uploads:
        raise InvalidRequest(expected="at least one job or file to compare", got="none", where="job")
    if len(jobs) + len(uploads) > MOST_RUNS:
        got = f"{len(jobs) + len(uploads)}"
        raise InvalidRequest(expected=f"at most {MOST_RUNS} jobs and files together", got=got, where="job")
    _check_rows(jobs)
    short = [job.checkpoint.name for job in jobs] + [upload.name for upload in uploads]
    named = [
        *(_named(job.checkpoint.name, short, job.job.id, job=job) for job in jobs),
        *(_named(upload.name, short, upload.name, upload=upload) for upload in uploads),
    ]
    return tuple(named)


def etag(named: Sequence[NamedRun], asked: ComparisonRequest, form: str) -> str:
    """Changes with every result of a job, with the content of a file, and with what is asked."""
    parts: list[object] = [VERSION, form, [one.name for one in asked.published], asked.baseline]
    parts += [asked.radii, asked.all_pairs, asked.photographs]
    for one in named:
        parts.append(one.name)
        if one.job is not None:
            job, summary = one.job.job, one.job.summary
            parts += [job.id, job.revision, summary.done, summary.work_done]
        if one.upload is not None:
            parts.append(one.upload.sha256)
    return etag_of(*parts)


def read_jobs(session: Session, named: Sequence[NamedRun]) -> dict[str, Run]:
    """Those of the runs that are jobs, by name, with their rows. Raises :class:`InvalidResults` where the files are too
    large."""
    _check_bytes(session, [one.upload for one in named if one.upload is not None])
    return {one.name: _of_job(session, one.name, one.job) for one in named if one.job is not None}


def read_files(
    named: Sequence[NamedRun], runs: dict[str, Run], settings: Settings, photographs: int | None = None
) -> tuple[Run, ...]:
    """All runs in their order, those that are files read now, which takes a while and needs no session. Raises
    :class:`InvalidResults` for a file that holds no certificates."""
    left = MOST_FILE_ROWS
    found = dict(runs)
    for one in named:
        if one.name not in found:
            found[one.name] = _of_upload(one, settings, left, photographs)
            left -= found[one.name].evaluated
    return tuple(found[one.name] for one in named)


def compared(asked: ComparisonRequest, named: tuple[NamedRun, ...], runs: tuple[Run, ...]) -> ComparisonView:
    """The comparison; raises as ``radii.rs_core.comparisons.compare`` does."""
    baseline = _baseline(named, asked.baseline)
    shared = checked(runs, baseline)
    results = compare_aligned(
        runs, shared, baseline=baseline, all_pairs=asked.all_pairs, radii=asked.radii, published=asked.published
    )
    return ComparisonView(asked=asked, named=named, runs=runs, shared=shared, results=results)


def body(found: ComparisonView) -> comparisons.Comparison:
    """The comparison as JSON."""
    return comparisons.Comparison(sources=[source(one) for one in found.named], results=found.results.to_json())


def source(one: NamedRun) -> comparisons.ComparedSource:
    """Where a run's rows come from, with the hashes that tell what was certified."""
    if one.job is None:
        assert one.upload is not None
        return comparisons.ComparedSource(name=one.name, file=one.upload.name, sha256=one.upload.sha256)
    job = one.job.job
    return comparisons.ComparedSource(
        name=one.name,
        job=job.id,
        state=job.state,
        model=certification_report.model_part(one.job.checkpoint),
        dataset=certification_report.dataset_part(one.job.dataset) | {"selection": dump_spec(job.certify.inputs)},
        procedure={
            name: value for name, value in dump_spec(job.certify).items() if name in certification_report.PROCEDURE
        },
    )


def _job(session: Session, tenant_id: str, identifier: str) -> Any:
    return of_kind(session, tenant_id, identifier, result_arrays.KINDS, "certificates to compare")


def _upload(session: Session, tenant_id: str, name: str) -> Upload:
    found = resources.find_upload(session, tenant_id, name) if name.isprintable() else None
    if found is None:
        raise NotFound(expected="the name of an upload of yours", got=shown(name), where="file")
    return found


def _named(short: str, all_short: Sequence[str], reference: str, **of: Any) -> NamedRun:
    """With a name that no other run has: that of the model or file, where this is the only one with it."""
    name = short if all_short.count(short) == 1 else f"{short} ({reference})"
    return NamedRun(name=name, reference=reference, **of)


def _check_rows(jobs: Sequence[Sources]) -> None:
    rows = sum(job.summary.total for job in jobs)
    if rows > MOST_ROWS:
        raise InvalidRequest(
            expected=f"jobs of at most {MOST_ROWS:,} inputs together; `radii compare` reads more from files",
            got=f"{rows:,}",
            where="job",
        )


def _baseline(named: Sequence[NamedRun], wanted: str | None) -> str | None:
    """The name of the run that is meant by its name, its job or its file."""
    if wanted is None:
        return None
    found = [one.name for one in named if wanted in (one.reference, one.name)]
    if not found:
        expected = f"a job or file of the comparison: {', '.join(one.reference for one in named)}"
        raise InvalidRequest(expected=expected, got=shown(wanted), where="baseline")
    return found[0]


def _of_job(session: Session, name: str, found: Sources) -> Run:
    rows, spec = result_arrays.columns(session, found.job.id), found.job.certify
    unfinished = max(0, len(rows.index) - found.summary.done) if spec.sampling == "anytime" else 0
    return run_asked(
        name,
        rows,
        spec,
        total=found.summary.total,
        unfinished=unfinished,
        data=found.dataset.content_hash,
        photographs=certification_report.photographs(found),
    )


def _check_bytes(session: Session, uploads: Sequence[Upload]) -> None:
    size = sum(session.get_one(Blob, upload.sha256).size for upload in uploads)
    if size > MOST_BYTES:
        expected = f"results files of at most {MOST_BYTES:,} bytes together; `radii compare` reads larger ones"
        raise InvalidResults(expected=expected, got=f"{size:,} bytes", where=uploads[0].name)


def _of_upload(one: NamedRun, settings: Settings, rows: int, photographs: int | None) -> Run:
    assert one.upload is not None
    path = blob_files.local_path(settings.blobs, one.upload.sha256)
    limits = {"memory": settings.results_memory // results_files.AT_ONCE, "uid": settings.sandbox_uid}
    run = results_files.read_run(path, run=one.name, file=one.upload.name, rows=rows, **limits)
    if photographs is None:
        return run
    return replace(run, photographs=Photographs.repeating(photographs, int(run.rows.index.max(initial=0))))
