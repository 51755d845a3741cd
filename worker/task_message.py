"""What a child is told of its shard: the task message, with the files, results and progress that it goes on from."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from radii.rs_core.errors import MissingFile
from radii.rs_core.specs.jobs import dump_spec
from radii.worker.child.handle import Message
from radii.worker.kinds import registry
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.models.tables import Dataset, Job
from radii.worker.store.shards import Claim


def task(database: Database, settings: Settings, claim: Claim, *, beat: Callable[[], None]) -> Message:
    """Everything that the child needs to know of the shard; ``beat`` is called during the work that this may be."""
    kind = registry.KINDS[claim.kind]
    with database.read() as session:
        job = session.get_one(Job, claim.job_id)
        files = files_of(session, job)
        dataset = session.get(Dataset, job.dataset_id) if job.dataset_id else None
        done, unfinished = kind.standing(session, claim)
    more = kind.prepared(database, settings, job, beat)
    return more | {
        "type": "task",
        "kind": claim.kind,
        "task": kind.task,
        "records": kind.records,
        "keeps_votes": kind.keeps_votes,
        "too_large": kind.too_large,
        "claim": name_of(claim),
        "spec": dump_spec(claim.spec),
        "plan": None if claim.plan is None else dump_spec(claim.plan),
        "execution": claim.execution,
        "blobs": str(settings.blobs.absolute()),
        "first": claim.first,
        "stop": claim.stop,
        "done": sorted(done),
        "progress": unfinished,
        "alone": bool((claim.resume or {}).get("alone")),
        "turn": claim.turn,
        "urgent": claim.urgent,
        "resume": claim.resume,
        "files": files | more.get("files", {}),
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
    kind = registry.KINDS[claim.kind]
    words = {"dataset": "dataset", "test_dataset": "dataset", "checkpoint": "checkpoint", "start_from": "checkpoint"}
    found = [
        (f"the {words[use]} {row.name!r} ({row.id})", row.sha256)
        for use, row in kind.resources(session, job).items()
        if row is not None and row.sha256 is not None
    ]
    return found + kind.other_files(job, claim.resume or {})


def files_of(session: Session, job: Job) -> dict[str, str]:
    """The blobs that a job reads: what each is for, and its SHA-256."""
    rows = registry.KINDS[job.kind].resources(session, job)
    return {name: row.sha256 for name, row in rows.items() if row is not None and row.sha256 is not None}
