"""The only reader of the environment: every setting of a running radii, as ``RADII_...`` variables.

Times are in seconds. The defaults are for one machine with nothing beside Python: a folder, SQLite, no broker.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker import machine_memory

SEEN_AT_LEAST = 45.0
GIB = 2**30


def convert_memory() -> int:
    """Bytes that one conversion may take by default: the machine's memory, up to 16 GiB."""
    return min(16 * GIB, machine_memory.total())


def decode_memory() -> int:
    """Bytes that all requests' images may take by default while they are decoded: a quarter of the machine's memory, from 2
    to 16 GiB."""
    return max(2 * GIB, min(16 * GIB, machine_memory.total() // 4))


class Settings(BaseSettings):
    """Where things are, how often things happen, how much is allowed."""

    model_config = SettingsConfigDict(env_prefix="RADII_", extra="ignore", frozen=True)

    data: Path = Field(default=Path("radii-data"), description="folder of the blobs and of the SQLite database")
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; unset: SQLite inside the data folder")
    broker_url: str | None = Field(default=None, description="Redis URL; unset: local workers, no broker")
    queue: str = Field(default="radii", description="prefix of every key in the broker, so that several can share one")

    device: str = Field(default="auto", description="auto (a GPU where there is one), cpu, cuda or cuda:N")
    worker_number: int = Field(
        default=0, ge=0, description="which of this machine's workers it is: auto takes the GPU of that number, in turn"
    )
    gpu_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="part of its GPU's memory that a worker may take; unset: an equal one for each local worker of the GPU",
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads per worker; unset: cores / local workers")
    local_workers: int = Field(default=1, ge=0, le=64, description="worker processes that `radii up` starts")

    compile: Literal["auto", "never"] = Field(
        default="auto", description="auto: networks are compiled for long jobs where that is faster"
    )

    lease: float = Field(default=60.0, gt=0, description="a worker that is silent this long has lost its shard")
    sweep: float = Field(default=10.0, gt=0, description="between two sweeps for expired leases and unrung bells")
    poll: float = Field(default=0.5, gt=0, description="between two looks for ready shards without a broker")
    look: float = Field(default=5.0, gt=0, description="between two looks for ready shards with a broker, bell or not")
    commit: float = Field(default=2.0, gt=0, description="between two commits of results; a third of the lease at most")
    child_silence: float = Field(default=300.0, gt=0, description="a child that says nothing this long is ended")
    child_start: float = Field(default=120.0, gt=0, description="a child has this long to start")
    retry_pause: float = Field(default=10.0, ge=0, description="after a full disk and the like, before the next try")
    cancel_grace: float = Field(
        default=30.0, gt=0, description="a child that does not stop in this time when its job is cancelled is ended"
    )
    stop_grace: float = Field(
        default=3.0,
        gt=0,
        description="the same where the worker itself is to end: what was not committed is done again",
    )
    keep_warm: float = Field(default=60.0, ge=0, description="an idle child keeps its model this long")
    snapshot: float = Field(default=60.0, gt=0, description="between two snapshots of a training job")
    convert_limit: float = Field(default=600.0, gt=0, description="time limit of one conversion of an upload")
    convert_memory: int = Field(
        default_factory=convert_memory,
        gt=0,
        description="bytes of address space of one conversion; unset: the machine's memory, up to 16 GiB",
    )
    decode_memory: int = Field(
        default_factory=decode_memory,
        ge=2 * GIB,
        description="bytes of address space for images of requests, shared by those that are decoded at once; "
        "unset: a quarter of the machine's memory",
    )
    sandbox_uid: int = Field(
        default=65534,
        ge=1,
        lt=2**32 - 1,
        description="user and group number of the processes that open files from outside, where radii runs as root",
    )
    max_dataset: int = Field(
        default=16 * 2**30, gt=0, description="bytes of one data set; beyond 16 GiB: zips of class folders alone"
    )
    architectures: Path | None = Field(default=None, description="TOML file of architectures that you add")

    shard_seconds: float = Field(default=60.0, gt=0, description="estimated work of one shard")
    max_upload: int = Field(default=64 * 2**30, gt=0, description="bytes of one upload")
    min_free: int = Field(default=256 * 2**20, ge=0, description="bytes that uploads and images leave free on the disk")
    max_job_seconds: float = Field(default=90 * 86_400.0, gt=0, description="estimated work that one job may ask for")
    tenant_jobs: int = Field(default=1_000, gt=0, description="jobs of one tenant that have not ended")
    tenant_seconds: float = Field(
        default=365 * 86_400.0, gt=0, description="estimated work that one tenant may have in the queue"
    )
    prediction_images: int = Field(default=100, gt=0, description="images in one request for predictions")
    prediction_seconds: float = Field(default=600.0, gt=0, description="estimated work of one request for predictions")
    prediction_ttl: float = Field(
        default=86_400.0, gt=0, description="such a request is deleted after, with its images and what came of it"
    )
    tenant_predictions: int = Field(
        default=100, gt=0, description="requests of one tenant for predictions that have not ended"
    )
    tenant_kept_predictions: int = Field(
        default=10_000,
        gt=0,
        description="such requests of one tenant that have ended and are kept: the oldest go first",
    )
    tenant_prediction_bytes: int = Field(
        default=4 * 2**30, gt=0, description="bytes of their images that are kept: the oldest go first"
    )
    upload_ttl: float = Field(
        default=7 * 86_400.0, gt=0, description="an upload is forgotten after; what was made of it stays"
    )

    log_format: Literal["text", "json"] = Field(default="text", description="json: each log line is one JSON object")

    @property
    def tuning(self) -> Path:
        """File of what was found about running networks on this machine."""
        return self.data / "tuning.json"

    @property
    def compiled(self) -> Path:
        """Folder of what the compiler of networks has written."""
        return self.data / "compiled"

    @cached_property
    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.data.absolute() / 'radii.db'}"

    @property
    def patience(self) -> float:
        """Seconds for which a transaction may stand still: half a lease at most, or others lose theirs over it."""
        return min(30.0, self.lease / 2)

    @property
    def renewal(self) -> float:
        """Seconds between two commits of a shard, each of which renews its lease: a third of the lease at most."""
        return min(self.commit, self.lease / 3)

    @property
    def seen(self) -> float:
        """Seconds since a process was last seen, as it is with each sweep, for which it is taken to be running."""
        return max(SEEN_AT_LEAST, 4.5 * self.sweep)

    @property
    def embedded(self) -> bool:
        """Whether jobs reach workers without a broker."""
        return self.broker_url is None

    @property
    def blobs(self) -> Path:
        """Folder of the content-addressed blobs."""
        return self.data / "blobs"
