"""What a child is told of its shard: the task message, with the files, results and progress that it goes on from."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from radii.rs_core.errors import MissingFile
from radii.rs_core.specs.jobs import TrainSpec, dump_spec
from radii.worker import audits, soft_label_files
from radii.worker.child.handle import Message
from radii.worker.settings import Settings
from radii.worker.store import results
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.shards import Claim
from radii.worker.store.specifications import ConvertSpec


def task(database: Database, settings: Settings, claim: Claim, *, beat: Callable[[], None]) -> Message:
    """Everything that the child needs to know of the shard; ``beat`` is called during the work that this may be."""
    with database.read() as session:
        job = session.get_one(Job, claim.job_id)
        files = files_of(session, job)
        dataset = session.get(Dataset, job.dataset_id) if job.dataset_id else None
        done, unfinished = results.standing(session, claim)
        needed = soft_label_files.needed_by(session, job)
        evidence = audits.evidence(session, job) if job.kind == "verify" else None
        class_names = dataset.class_names if dataset is not None and isinstance(claim.spec, ConvertSpec) else None
    if needed is not None:
        files["soft_labels"] = soft_label_files.file_for(database, settings, job, needed, beat)
    recomputed = audits.recomputed(database, settings.blobs, job, beat) if job.kind == "verify" else None
    return {
        "type": "task",
        "kind": claim.kind,
        "claim": name_of(claim),
        "spec": dump_spec(claim.spec),
        "plan": None if claim.plan is None else dump_spec(claim.plan),
        "class_names": class_names,
        "execution": claim.execution,
        "blobs": str(settings.blobs.absolute()),
        "first": claim.first,
        "stop": claim.stop,
        "done": sorted(done),
        "progress": unfinished,
        "alone": bool((claim.resume or {}).get("alone")),
        "turn": claim.turn,
        "urgent": claim.urgent,
        "evidence": evidence,
        "recomputed": recomputed,
        "resume": claim.resume,
        "files": files,
        "dataset_hash": dataset.content_hash if dataset is not None else None,
        "tuning": str(settings.tuning.absolute()),
        "may_compile": settings.compile == "auto",
        "limits": {
            "snapshot": settings.snapshot,
            "convert": settings.convert_limit,
            "convert_memory": settings.convert_memory,
            "sandbox_uid": settings.sandbox_uid,
            "max_dataset": settings.max_dataset,
        },
    }


def name_of(claim: Claim) -> str:
    """What tells a claim from every other one."""
    return f"{claim.job_id} {claim.number} {claim.fence}"


def resumed(task: Message) -> dict[int, int]:
    """The inputs that a task goes on inside of, and how many of their noise samples are drawn already."""
    return {part["index"]: sum(stage["drawn"] for stage in part["votes"].values()) for part in task["progress"]}


def require_files(database: Database, settings: Settings, claim: Claim) -> None:
    """Raises ``DataFolderMissing`` or ``WrongFolder`` where the data folder is not that of the database, and ``MissingFile`` where it
    is, and lacks a file that the shard reads."""
    folder_identity.check(settings, database)
    with database.read() as session:
        needed = _named_files(session, session.get_one(Job, claim.job_id), claim)
    for name, sha256 in needed:
        if not blob_files.path_of(settings.blobs, sha256).is_file():
            raise MissingFile(
                expected=f"the file of {name}, {blob_files.path_of(settings.blobs, sha256).absolute()}",
                got="no file there; put it back from a backup, or delete the resource and create it again",
            )


def _named_files(session: Session, job: Job, claim: Claim) -> list[tuple[str, str]]:
    """The blobs that a shard reads: the resource of each, for people, and its SHA-256."""
    words = {"dataset": "dataset", "test_dataset": "dataset", "checkpoint": "checkpoint", "start_from": "checkpoint"}
    found = [
        (f"the {words[use]} {row.name!r} ({row.id})", row.sha256)
        for use, row in _rows_of(session, job).items()
        if row is not None and row.sha256 is not None
    ]
    if isinstance(job.spec, ConvertSpec):
        found += [(f"the upload {file.name!r}", file.sha256) for file in job.spec.files]
        found += [(f"the part {part.id}", part.sha256) for part in job.spec.parts]
    if job.kind == "train" and "sha256" in (claim.resume or {}):
        found.append((f"the snapshot of the training {job.id}", (claim.resume or {})["sha256"]))
    return found


def files_of(session: Session, job: Job) -> dict[str, str]:
    """The blobs that a job reads: what each is for, and its SHA-256."""
    rows = _rows_of(session, job)
    return {name: row.sha256 for name, row in rows.items() if row is not None and row.sha256 is not None}


def _rows_of(session: Session, job: Job) -> dict[str, Dataset | Checkpoint | None]:
    start_from = job.spec.start_from if isinstance(job.spec, TrainSpec) else None
    return {
        "dataset": session.get(Dataset, job.dataset_id) if job.dataset_id else None,
        "test_dataset": session.get(Dataset, job.test_dataset_id) if job.test_dataset_id else None,
        "checkpoint": session.get(Checkpoint, job.checkpoint_id) if job.checkpoint_id else None,
        "start_from": session.get(Checkpoint, start_from) if start_from else None,
    }
