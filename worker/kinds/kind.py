"""What queue and worker know of a kind of job. Each kind has a module here with one instance, and a row in ``registry``.

The task of a kind runs in the child process and loads torch; nothing else here does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy.orm import Session

from radii.worker.settings import Settings
from radii.worker.store import result_rows, results
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.shards import Claim
from radii.worker.store.specifications import JobSpec

Message = dict[str, Any]
Record = TypeVar("Record", bound=Any)
Beat = Callable[[], None]
Standing = tuple[set[int], list[dict[str, Any]]]
"""The inputs that are done, and the votes of those that were begun."""


@dataclass(frozen=True, kw_only=True)
class ResultRows(Generic[Record]):
    """How the records of a kind are stored, one row for each input.

    Attributes:
        table: The table.
        record: The record, which the child sends as the JSON of its fields.
        store: Inserts records that have no row yet and adds them to the summary.
        failure: The record of an input that cannot be worked on: job, index, label, reason.
    """

    table: type[Any]
    record: type[Record]
    store: Callable[[Session, str, Sequence[Record]], int]
    failure: Callable[[Job, int, int, str], Record]


class Kind:
    """A kind of job.

    Attributes:
        spec: Its record, whose ``kind`` is its name.
        task: The module whose ``run(task)`` the child calls.
        records: The runner, as ``module:function`` from a ``NoiseRun`` to its records, used by ``radii.worker.tasks.noise_job``.
        rows: Where its records are stored; None where they are no rows by input.
        keeps_votes: Whether the votes of unfinished inputs are stored. Such a job loses nothing when it is stopped, makes way for urgent
            jobs, and its runner ends by itself where ``run.stop()`` is true.
        too_large: What helps where it does not fit into memory, and the field to change.
    """

    spec: ClassVar[type[Any]]
    task: ClassVar[str]
    records: ClassVar[str] = ""
    rows: ClassVar[ResultRows[Any] | None] = None
    keeps_votes: ClassVar[bool] = False
    too_large: ClassVar[tuple[str, str | None]] = ("work that fits", None)

    @property
    def name(self) -> str:
        """As in ``Job.kind``."""
        return str(self.spec.kind)

    def resources(self, session: Session, job: Job) -> dict[str, Dataset | Checkpoint | None]:
        """The datasets and checkpoints that a job reads, by what they are for."""
        named = job.spec.start_from
        return {
            "dataset": session.get(Dataset, job.dataset_id) if job.dataset_id else None,
            "test_dataset": session.get(Dataset, job.test_dataset_id) if job.test_dataset_id else None,
            "checkpoint": session.get(Checkpoint, job.checkpoint_id) if job.checkpoint_id else None,
            "start_from": session.get(Checkpoint, named) if named else None,
        }

    def other_files(self, job: Job, resume: Message) -> list[tuple[str, str]]:
        """Further files that a shard reads: what each is, for people, and its SHA-256. ``resume`` is where the shard stands."""
        return []

    def prepared(self, database: Database, settings: Settings, job: Job, beat: Beat) -> Message:
        """More fields of the task message. ``beat`` is called during long work."""
        return {}

    def standing(self, session: Session, claim: Claim) -> Standing:
        """How far the inputs of a claimed shard have come."""
        return set(), []

    def smaller(self, spec: Any, execution: Message) -> Message | None:
        """What changes in the job's execution where a shard ran out of memory; None: the shard has failed."""
        return None

    def output(self, session: Session, job: Job, done: Message) -> dict[str, Any] | None:
        """The output of a job whose last shard is done; ``done`` is the child's last message."""
        return None


class NoiseKind(Kind):
    """A kind whose specification is a ``NoiseJob``: each chosen input has a row in the end."""

    task: ClassVar[str] = "radii.worker.tasks.noise_job"
    rows: ClassVar[ResultRows[Any]]
    too_large: ClassVar[tuple[str, str | None]] = ("noisy copies that fit: give a smaller batch_size", "batch_size")

    def inputs(self, session: Session, claim: Claim, spec: JobSpec) -> Sequence[int]:
        """The indices of a shard, ascending."""
        job = session.get_one(Job, claim.job_id)
        count = session.get_one(Dataset, job.dataset_id).count or 0
        return spec.inputs.indices(count)[claim.first : claim.stop]  # type: ignore[union-attr]

    def standing(self, session: Session, claim: Claim) -> Standing:
        """Inputs with a row are done; votes are kept of those that were begun."""
        indices = self.inputs(session, claim, claim.spec)
        done, begun = self.reached(session, claim, indices)
        for row in results.progress_of(session, claim.job_id, indices):
            if row.drawn and row.index not in done:
                begun[row.index] = {"index": row.index, "votes": row.votes, "seconds": row.seconds}
                begun[row.index]["batch_size"] = row.batch_size
        return done, list(begun.values())

    def reached(
        self, session: Session, claim: Claim, indices: Sequence[int]
    ) -> tuple[set[int], dict[int, dict[str, Any]]]:
        """The inputs that are done, and votes in the rows of others."""
        return result_rows.done_among(session, self.rows.table, claim.job_id, indices), {}
