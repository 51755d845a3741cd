"""From rows of the store to the answers of ``schemas.responses``. Jobs are in ``job_views``, reports in ``certification_report``."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.errors import readable
from radii.rs_core.evaluate.records import EvaluationRecord as EvaluatedRecord
from radii.rs_core.results import codec
from radii.rs_core.specs.jobs import dump_spec
from radii.rs_core.specs.validation_errors import MOST_FAULTS
from radii.service.schemas import job_results, responses
from radii.service.views import deleted_references
from radii.worker.store import corruption_groups
from radii.worker.store.jobs import CONVERTING
from radii.worker.store.models.result_tables import EpochMetric
from radii.worker.store.models.tables import Blob, Checkpoint, Dataset, Job, Upload

SHOWN_NAMES = 1_000
"""Class names in one answer; all of them are at ``/class_names``."""
SHOWN_FILES = 3
"""Files of one item of a list."""
LARGE_FIELDS = frozenset({"class_names", "info"})
"""Fields that a list leaves out."""
LONGEST_PROBLEM = 2_000
"""Characters of each text of a stored problem. Versions before this one stored longer ones."""
RESOURCE_FIELDS = {
    Dataset: ("id", "name", "state", "count", "shape", "num_classes", "class_names", "content_hash", "sha256"),
    Checkpoint: (
        "id",
        "name",
        "state",
        "architecture",
        "input_shape",
        "num_classes",
        "sigma",
        "method",
        "sha256",
        "info",
    ),
}


def time(seconds: float) -> datetime:
    """A time of the store, as a date in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def problem(stored: dict[str, Any] | None) -> responses.Problem | None:
    """A stored problem, with the members that every problem has."""
    usual = {"type": "about:blank", "title": "It failed.", "status": 500, "detail": ""}
    if stored is None:
        return None
    cut = {name: readable(text, LONGEST_PROBLEM) if isinstance(text, str) else text for name, text in stored.items()}
    if isinstance(errors := cut.get("errors"), list):
        cut["errors"] = errors[:MOST_FAULTS]
    return responses.Problem.model_validate(usual | cut)


def uploads(session: Session, rows: Sequence[Upload]) -> list[responses.Upload]:
    """Uploads with the sizes of their blobs."""
    found = session.execute(select(Blob.sha256, Blob.size).where(Blob.sha256.in_({row.sha256 for row in rows})))
    sizes = {sha256: size for sha256, size in found}
    return [
        responses.Upload(id=row.id, name=row.name, sha256=row.sha256, size=sizes[row.sha256], created=time(row.created))
        for row in rows
    ]


def datasets(session: Session, rows: Sequence[Dataset], *, brief: bool = False) -> list[responses.Dataset]:
    """Datasets with the conversions that make them; ``brief``, as a list shows them, without what may be large."""
    jobs = _conversions(session, Job.dataset_id, rows)
    made = [
        _resource(row, jobs.get(row.id), brief)
        | {"corrupted": corrupted_images(row), "photographs": corruption_groups.declared(row)}
        for row in rows
    ]
    return [responses.Dataset.model_validate(body) for body in _with_deleted(session, rows, made)]


def _conversions(session: Session, column: Any, rows: Sequence[Dataset | Checkpoint]) -> dict[str, str]:
    """The conversion that makes each row, by the row's identifier."""
    found = session.execute(select(column, Job.id).where(CONVERTING, column.in_([row.id for row in rows])))
    return {resource: job for resource, job in found}


def corrupted_images(row: Dataset) -> responses.CorruptedImages | None:
    """Which images of a data set have which corruption, in short."""
    found = corruption_groups.corrupted(row)
    if found is None:
        return None
    parts = [[group for group in found.groups if group.corruption == name] for name in found.corruptions]
    shown = [
        responses.CorruptedGroup(
            corruption=part[0].corruption,
            severities=[group.severity for group in part],
            start=part[0].start,
            count=sum(group.stop - group.start for group in part),
        )
        for part in parts
    ]
    return responses.CorruptedImages.model_validate({**dump_spec(found), "groups": shown})


def checkpoints(session: Session, rows: Sequence[Checkpoint], *, brief: bool = False) -> list[responses.Checkpoint]:
    """Checkpoints with the conversions or trainings that make them; ``brief``, as a list shows them, without what may be
    large."""
    jobs = _conversions(session, Job.checkpoint_id, rows)
    made = [_resource(row, jobs.get(row.id) or row.source.get("job"), brief) | composition(row) for row in rows]
    return [responses.Checkpoint.model_validate(body) for body in _with_deleted(session, rows, made)]


def _with_deleted(
    session: Session, rows: Sequence[Dataset | Checkpoint], made: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The bodies with what they name and what is deleted. An uploaded file's own record may name things of another service."""
    if not rows:
        return []
    ours = [[body["job"], row.source, body.get("info") if "job" in row.source else None]
            for row, body in zip(rows, made, strict=True)]  # fmt: skip
    gone = deleted_references.deleted(session, rows[0].tenant_id, ours)
    return [body | {"deleted": names} for body, names in zip(made, gone, strict=True)]


def composition(row: Checkpoint) -> dict[str, Any]:
    """Whether a checkpoint is a classifier, and what it is made of: as its record says, before it has one as was asked for."""
    info, named = row.info or {}, row.source.get("parts") or []
    recorded = info.get("parts") or []
    parts = [
        {name: part.get(name) for name in ("architecture", "sigma", "method")} | {"sha256": part.get("file_sha256")}
        for part in recorded
    ]
    rows = [{"id": part["id"]} for part in named] if len(named) == len(parts) else [{}] * len(parts)
    return {
        "role": info.get("role", "classifier"),
        "composition": info.get("composition") or row.source.get("compose"),
        "parts": [part | known for part, known in zip(parts, rows, strict=True)] if parts else named or None,
    }


def _resource(row: Dataset | Checkpoint, job: str | None, brief: bool) -> dict[str, Any]:
    left_out = LARGE_FIELDS if brief else ()
    fields = {field: getattr(row, field) for field in RESOURCE_FIELDS[type(row)] if field not in left_out}
    if isinstance(row, Checkpoint) and fields.get("info") is not None:
        fields["info"] = row.record
    for field in LARGE_FIELDS & fields.keys():
        fields[field] = with_first_names(fields[field], field)
    source = {name: value for name, value in row.source.items() if name != "corrupted"}  # which is shown elsewhere
    return fields | {
        "created": time(row.created),
        "job": job,
        "source": brief_source(source) if brief else with_first_names(source),
        "problem": problem(row.problem),
    }


def with_first_names(value: Any, field: str = "") -> Any:
    """A JSON-like value in which each list ``class_names`` has at most ``SHOWN_NAMES`` items."""
    if isinstance(value, dict):
        return {name: with_first_names(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return value[:SHOWN_NAMES] if field == "class_names" else [with_first_names(item) for item in value]
    return value


def brief_source(source: dict[str, Any]) -> dict[str, Any]:
    """Where something comes from, as a list shows it: without class names, and with the first files only."""
    brief = {name: value for name, value in source.items() if name != "class_names"}
    files = brief.get("files") or []
    if len(files) > SHOWN_FILES:
        brief |= {"files": files[:SHOWN_FILES], "more_files": len(files) - SHOWN_FILES}
    return brief


def evaluated(row: EvaluatedRecord) -> job_results.Evaluated:
    """What was found of one input; an abstention is null."""
    body = codec.json_values(row)
    points = zip(body["found"], row.right(len(row.found)), strict=True)
    found = [at | {"right": right} for at, right in points]
    return job_results.Evaluated.model_validate(body | {"found": found})


def epoch(row: EpochMetric) -> job_results.Epoch:
    """One epoch of a training job."""
    return job_results.Epoch(**{field: getattr(row, field) for field in job_results.Epoch.model_fields})
