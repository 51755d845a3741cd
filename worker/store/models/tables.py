"""The tables: who there is, what they have given, and what they have asked for; those of results are in ``result_tables``.

Times are seconds since 1970 by the database's clock; identifiers are sortable by creation. State is in few places
(``job.state``, ``shard.state``).
"""

from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from radii.rs_core.specs.jobs import CertifySpec
from radii.worker.store.clock import clock
from radii.worker.store.models.column_types import Base, Id, PlanColumn, SpecColumn, created, partial
from radii.worker.store.specifications import AuditPlan, JobSpec, Plan, as_kind, resolved

WAITING = "state IN ('queued', 'running')"
CONVERSION, NO_CONVERSION = "kind = 'convert'", "kind != 'convert'"
URGENT = "priority >= 1000"
READY = "state = 'ready'"
KEPT = "resume IS NOT NULL"
"""Conditions of partial indexes, as the migrations have them."""


class Tenant(Base):
    """Who owns things. The embedded mode has one, named ``default``."""

    __tablename__ = "tenant"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created: Mapped[float] = created()


class ApiKey(Base):
    """A key's hash; the key itself is shown once, when it is made."""

    __tablename__ = "api_key"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(200))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[float] = created()
    revoked: Mapped[float | None]


class DeviceTime(Base):
    """Seconds of device time that a tenant used in one slice of time, for fair shares."""

    __tablename__ = "device_time"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    slice: Mapped[int] = mapped_column(primary_key=True)
    seconds: Mapped[float]


class Blob(Base):
    """A file of the blob folder, named by the SHA-256 of its content."""

    __tablename__ = "blob"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    created: Mapped[float] = created()


class Upload(Base):
    """A tenant's name for a blob."""

    __tablename__ = "upload"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        Index("ix_upload_tenant_id_id", "tenant_id", "id"),
        Index("ix_upload_created", "created"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), index=True)
    created: Mapped[float] = created()


class PartUpload(Base):
    """An upload that comes in parts of ``part_size`` bytes, the last one excepted, in any order and in many requests.

    ``sha256`` is what was announced of the whole; ``upload_id`` is set once it is complete.
    """

    __tablename__ = "part_upload"
    __table_args__ = (Index("ix_part_upload_created", "created"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    size: Mapped[int]
    part_size: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(String(64))
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), index=True)
    created: Mapped[float] = created()


class UploadPart(Base):
    """A part that is on the disk, with the SHA-256 of its bytes."""

    __tablename__ = "part"
    part_upload_id: Mapped[str] = mapped_column(ForeignKey("part_upload.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))


class Dataset(Base):
    """A dataset: pending until its conversion ends, then ready (what it is) or rejected (why).

    ``eight_bit``: whether all pixels are whole multiples of 1/255; unknown of datasets that are older than the column.
    ``class_names`` of a pending dataset are those that the conversion has to use. ``stored`` are the bytes of its JSON
    columns.
    """

    __tablename__ = "dataset"
    __table_args__ = (
        Index("ix_dataset_tenant_id_id", "tenant_id", "id"),
        Index("ix_dataset_tenant_id_stored", "tenant_id", "stored"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    source: Mapped[dict[str, Any]]
    problem: Mapped[dict[str, Any] | None]
    sha256: Mapped[str | None] = mapped_column(ForeignKey("blob.sha256"), index=True)
    content_hash: Mapped[str | None] = mapped_column(String(64))
    count: Mapped[int | None]
    shape: Mapped[list[Any] | None]
    num_classes: Mapped[int | None]
    class_names: Mapped[list[Any] | None]
    eight_bit: Mapped[bool | None]
    created: Mapped[float] = created()
    stored: Mapped[int] = mapped_column(default=0, server_default="0")


class Checkpoint(Base):
    """A trained base classifier: pending until its conversion or training ends, then ready or rejected.

    ``info`` is the record of its file without the class names, which may be large and have a column of their own.
    ``stored`` are the bytes of its JSON columns.
    """

    __tablename__ = "checkpoint"
    __table_args__ = (
        Index("ix_checkpoint_tenant_id_id", "tenant_id", "id"),
        Index("ix_checkpoint_tenant_id_stored", "tenant_id", "stored"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    source: Mapped[dict[str, Any]]
    problem: Mapped[dict[str, Any] | None]
    sha256: Mapped[str | None] = mapped_column(ForeignKey("blob.sha256"), index=True)
    architecture: Mapped[str | None] = mapped_column(String(100))
    input_shape: Mapped[list[Any] | None]
    num_classes: Mapped[int | None]
    sigma: Mapped[float | None]
    method: Mapped[str | None] = mapped_column(String(100))
    info: Mapped[dict[str, Any] | None]
    created: Mapped[float] = created()
    stored: Mapped[int] = mapped_column(default=0, server_default="0")
    class_names: Mapped[list[Any] | None]

    @property
    def record(self) -> dict[str, Any]:
        """The record of its file, with the class names."""
        return (self.info or {}) | ({"class_names": self.class_names} if self.class_names else {})


class Job(Base):
    """One piece of work that somebody asked for. Only ``store.jobs`` changes ``state``.

    ``needs_id`` is a job that must succeed before this one can be claimed; ``auto`` says that a job was made because
    another one needs it; ``content_key`` names what a job computes, so that it is done once and found again. After
    ``deadline`` nobody begins with a part of it; ``ends_as`` is the state that a job goes to when its last part has been
    handed back; ``estimated_seconds`` is the work that it was admitted with; ``stored`` are the bytes of ``spec`` and ``plan``.

    The partial indexes hold only the jobs that a claim or housekeeping looks for. A query uses one of them if it repeats the
    condition word for word: see ``index_conditions``.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_tenant_id_id", "tenant_id", "id"),
        Index("ix_job_tenant_id_state_id", "tenant_id", "state", "id"),
        Index("ix_job_tenant_id_kind_id", "tenant_id", "kind", "id"),
        Index("ix_job_tenant_id_content_key", "tenant_id", "content_key"),
        Index("ix_job_tenant_id_stored", "tenant_id", "stored"),
        Index("ix_job_state_kind", "state", "kind"),
        Index("ix_job_dataset_id_kind", "dataset_id", "kind"),
        Index("ix_job_checkpoint_id_kind", "checkpoint_id", "kind"),
        Index("ix_job_waiting", "tenant_id", "priority", "id", **partial(f"{WAITING} AND {NO_CONVERSION}")),
        Index("ix_job_converting", "tenant_id", "priority", "id", **partial(f"{WAITING} AND {CONVERSION}")),
        Index("ix_job_state_deadline", "state", "deadline"),
        Index("ix_job_urgent_state_finished", "state", "finished", **partial(URGENT)),
        Index("ix_job_urgent_tenant_id_id", "tenant_id", "id", **partial(URGENT)),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    spec: Mapped[JobSpec] = mapped_column(SpecColumn)
    plan: Mapped[Plan | None] = mapped_column(PlanColumn)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    test_dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    checkpoint_id: Mapped[str | None] = mapped_column(ForeignKey("checkpoint.id"))
    needs_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"), index=True)
    auto: Mapped[bool] = mapped_column(default=False)
    content_key: Mapped[str | None] = mapped_column(String(64))
    priority: Mapped[int] = mapped_column(default=0)
    deadline: Mapped[float | None]
    ends_as: Mapped[str | None] = mapped_column(String(16))
    estimated_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    revision: Mapped[int] = mapped_column(default=0)
    device_type: Mapped[str | None] = mapped_column(String(16))
    execution: Mapped[dict[str, Any] | None]
    provenance: Mapped[dict[str, Any] | None]
    output: Mapped[dict[str, Any] | None]
    problem: Mapped[dict[str, Any] | None]
    created: Mapped[float] = created()
    started: Mapped[float | None]
    finished: Mapped[float | None]
    stored: Mapped[int] = mapped_column(default=0, server_default="0")

    @property
    def resolved(self) -> JobSpec:
        """The specification with what planning has chosen, such as the noise level of the checkpoint."""
        return resolved(self.spec, self.plan)

    @property
    def certify(self) -> CertifySpec:
        """How the certificates of a certify job, or of an audit of one, are made. Raises :class:`TypeError` for other kinds."""
        return self.plan.certify if isinstance(self.plan, AuditPlan) else as_kind(self.resolved, CertifySpec)

    @property
    def audit(self) -> AuditPlan:
        """The plan of an audit."""
        assert isinstance(self.plan, AuditPlan)
        return self.plan


class ConversionFile(Base):
    """A file that a conversion reads: an upload, or the file of a checkpoint that it composes."""

    __tablename__ = "conversion_file"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class Shard(Base):
    """A part of a job that one worker does at a time: positions ``first <= p < stop`` of the job's inputs.

    ``fence`` grows with every claim; a commit that carries an old one writes nothing. ``lost`` counts claims in a row
    that ended without a commit. ``resume`` is where a training job stands. ``turn`` counts how often a job that goes over
    its inputs again and again has been through with this part.
    """

    __tablename__ = "shard"
    __table_args__ = (
        Index("ix_shard_state_lease_until", "state", "lease_until"),
        Index("ix_shard_ready", "job_id", "turn", "number", **partial(READY)),
        Index("ix_shard_resume", "job_id", **partial(KEPT)),
    )
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int]
    stop: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="ready")
    fence: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float] = mapped_column(default=0.0)
    owner: Mapped[str | None] = mapped_column(Id)
    rung: Mapped[float] = mapped_column(default=0.0)
    turn: Mapped[int] = mapped_column(default=0, server_default="0")
    resume: Mapped[dict[str, Any] | None]


class Event(Base):
    """A state change of a job, in order."""

    __tablename__ = "event"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]
    created: Mapped[float] = created()


class Worker(Base):
    """A worker process that was seen."""

    __tablename__ = "worker"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    started: Mapped[float] = mapped_column(default=clock())
    seen: Mapped[float] = mapped_column(default=clock())
    info: Mapped[dict[str, Any]]


class DataFolder(Base):
    """The data folder of this database, in its only row (``number`` is 1), see ``folder.folder_identity``.

    ``path`` and ``host`` say where the folder was first used. ``confirmed`` is false until the folder holds the identity, too.
    """

    __tablename__ = "data_folder"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(Id)
    path: Mapped[str] = mapped_column(String(4096))
    host: Mapped[str] = mapped_column(String(255))
    confirmed: Mapped[bool] = mapped_column(default=False)
    created: Mapped[float] = created()


class Counter(Base):
    """How often something has happened since the tables were made, see ``store.counters``."""

    __tablename__ = "counter"
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[int]


class Idempotency(Base):
    """What a tenant's ``Idempotency-Key`` made, so that a repeated request makes nothing new."""

    __tablename__ = "idempotency"
    __table_args__ = (
        Index("ix_idempotency_resource_id", "resource_id"),
        Index("ix_idempotency_created", "created"),
    )
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[str] = mapped_column(Id)
    created: Mapped[float] = created()
