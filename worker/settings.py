"""The only reader of the environment: every setting of a running radii, as ``RADII_...`` variables.

Times are in seconds. The defaults are for one machine with nothing beside Python: a folder, SQLite, no broker.
"""

import logging
from functools import cache, cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from radii.worker.processes import memory_limit

SEEN_AT_LEAST = 45.0
SECRETS = ("database_url", "broker_url")
"""Settings that may hold a password: RADII_..._FILE names a file that holds the value."""


RENAMED = {"housekeeping_seconds": "sweep", "broker_poll_seconds": "look"}
"""Settings with the names that they had in version 0.1.0, which are read for one more release."""

log = logging.getLogger("radii.settings")


@cache
def _warn_once(former: str, name: str) -> None:
    log.warning("%s is called %s now; the next release does not read the old name", former, name)


class FormerNames(EnvSettingsSource):
    """The settings of ``RENAMED`` from the variables of their former names, with a warning."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The value of the former name; None where the new one is set as well."""
        if field_name not in RENAMED:
            return None, field_name, False
        former, name = (f"{self.env_prefix}{each}".lower() for each in (RENAMED[field_name], field_name))
        value = self.env_vars.get(former)
        if value is None or name in self.env_vars:
            return None, field_name, False
        _warn_once(former.upper(), name.upper())
        return value, field_name, False


class SecretFiles(EnvSettingsSource):
    """The settings of ``SECRETS`` from the files that ``RADII_..._FILE`` names, as Docker and systemd hand secrets over."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The content of the file without the white space around it; raises ``ValueError`` where it cannot be used."""
        name = f"{self.env_prefix}{field_name}_file".lower()
        path = self.env_vars.get(name) if field_name in SECRETS else None
        if not path:
            return None, field_name, False
        if self.env_vars.get(name.removesuffix("_file")):
            raise ValueError(f"expected {name.removesuffix('_file').upper()} or {name.upper()}, got both; unset one")
        try:
            value = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file {path} of {name.upper()} cannot be read: {error}") from None
        if not value:
            raise ValueError(f"expected a URL in the file {path} of {name.upper()}, got an empty file")
        return value, field_name, False


def sqlite_url(path: Path) -> str:
    """The SQLAlchemy URL of an SQLite file, whatever characters its path has."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


GIB = 2**30


def convert_memory() -> int:
    """Bytes that one conversion may take by default: the machine's memory, up to 16 GiB."""
    return min(16 * GIB, memory_limit.total())


def decode_memory() -> int:
    """Bytes that all requests' images may take by default while they are decoded: a quarter of the machine's memory, from 2
    to 16 GiB."""
    return max(2 * GIB, min(16 * GIB, memory_limit.total() // 4))


def results_memory() -> int:
    """Bytes that all large results files may take by default while they are read: a quarter of the machine's memory, from 2 to
    4 GiB."""
    return max(2 * GIB, min(4 * GIB, memory_limit.total() // 4))


class Settings(BaseSettings):
    """Where things are, how often things happen, how much is allowed."""

    model_config = SettingsConfigDict(env_prefix="RADII_", extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go before files of secrets, these before the environment, and that before former names of variables."""
        return init_settings, SecretFiles(settings_cls), env_settings, FormerNames(settings_cls)

    data: Path = Field(default=Path("radii-data"), description="folder of the blobs and of the SQLite database")
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL (or RADII_DATABASE_URL_FILE, a file with it); unset: SQLite inside the data folder",
    )
    broker_url: str | None = Field(
        default=None,
        description="Redis URL (or RADII_BROKER_URL_FILE, a file with it); unset: local workers, no broker",
    )
    queue: str = Field(default="radii", description="prefix of every key in the broker, so that several can share one")

    group_access: bool = Field(
        default=False,
        description="true: the group of the data folder may read and write it, too, for a service and workers of several "
        "users; false: the folder is private to the user that runs radii",
    )

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
    housekeeping_seconds: float = Field(
        default=10.0,
        gt=0,
        description="between two rounds that take back expired leases, end jobs whose deadline has passed, and wake workers for "
        "shards whose wake-up was lost",
    )
    poll: float = Field(default=0.5, gt=0, description="between two queries for ready shards without a broker")
    broker_poll_seconds: float = Field(
        default=5.0, gt=0, description="between two queries for ready shards with a broker, in case a message was lost"
    )
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
    results_memory: int = Field(
        default_factory=results_memory,
        ge=2 * GIB,
        description="bytes of address space for large results files of comparisons, shared by those that are read at once; "
        "unset: a quarter of the machine's memory, from 2 to 4 GiB",
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
    tenant_bytes: int = Field(
        default=256 * 2**30,
        gt=0,
        description="bytes that one tenant may store in all: four of the largest uploads; ImageNet needs more",
    )
    tenant_items: int = Field(
        default=1_000,
        gt=0,
        description="uploads, unfinished uploads, data sets and checkpoints of one tenant, of each kind",
    )
    upload_ttl: float = Field(
        default=7 * 86_400.0, gt=0, description="an upload is forgotten after; what was made of it stays"
    )

    max_connections: int = Field(
        default=2_000,
        gt=0,
        description="open HTTP connections; at this limit the address with the most loses an idle one, or the new "
        "connection is answered with 503. 2,000 connections need about 100 MiB",
    )
    address_connections: int = Field(
        default=500,
        gt=0,
        description="open HTTP connections, and requests at a time, of one client address (of one /64 network in IPv6); "
        "fewer than RADII_MAX_CONNECTIONS, so that one address never takes all of them",
    )
    address_connection_rate: float = Field(
        default=50.0,
        gt=0,
        description="new HTTP connections per second of one client address, on average over ten seconds; further ones are answered "
        "429 at once. Trusted proxies have no limit",
    )
    tenant_requests: int = Field(
        default=500,
        gt=0,
        description="requests of one tenant at a time, including those that wait for a job (`?wait=`)",
    )
    running_requests: int = Field(
        default=8,
        ge=2,
        description="requests that are worked on at a time; further ones wait for their turn. More than a few for each "
        "core do not make anything faster",
    )
    tenant_running_requests: int = Field(
        default=1,
        gt=0,
        description="requests of one tenant that are worked on at a time; must be below RADII_RUNNING_REQUESTS. A tenant's "
        "requests share one Python interpreter: a higher number hardly makes them faster, and other tenants wait longer",
    )
    tenant_streams: int = Field(
        default=100, gt=0, description="event streams of one tenant at a time; an open job page in a browser is one"
    )
    address_streams: int = Field(default=100, gt=0, description="event streams of one client address at a time")
    body_memory: int = Field(
        default=96 * 2**20,
        ge=32 * 2**20,
        description="bytes of request bodies that are held in memory at a time; uploads go to the disk and do not count",
    )
    tenant_body_memory: int = Field(
        default=32 * 2**20,
        ge=16 * 2**20,
        description="the same for one tenant; further requests wait. 16 MiB is the largest body",
    )
    head_seconds: float = Field(
        default=10.0, gt=0, description="a client that takes longer to send the head of a request is disconnected"
    )
    body_seconds: float = Field(
        default=30.0,
        gt=0,
        description="a request whose body makes no progress for this long, or that is slower than RADII_BODY_RATE after "
        "this time, is answered with 408",
    )
    body_rate: int = Field(
        default=4_096, gt=0, description="bytes per second that the body of a request needs on average"
    )
    response_seconds: float = Field(
        default=60.0,
        gt=0,
        description="a client that takes less of a waiting answer than RADII_RESPONSE_RATE for this long is disconnected",
    )
    response_rate: int = Field(
        default=4_096, gt=0, description="bytes per second of a waiting answer that a client needs to take on average"
    )
    keep_alive: int = Field(
        default=20, gt=0, description="an idle connection is closed after; longer than that of a proxy in front"
    )
    trusted_proxies: str = Field(
        default="",
        description="addresses and networks of your reverse proxies, separated by commas: only from these is "
        "RADII_FORWARDED_HEADER believed, and the limit for one address counts the proxy's clients, not the proxy",
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for", description="the header to which your proxy appends the address of its client"
    )

    log_format: Literal["text", "json"] = Field(default="text", description="json: each log line is one JSON object")

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        _networks(value)
        return value

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        """One address or tenant must not be able to take everything."""
        for one, every in (
            ("address_connections", "max_connections"),
            ("tenant_running_requests", "running_requests"),
            ("tenant_body_memory", "body_memory"),
        ):
            if getattr(self, one) >= getattr(self, every):
                names = f"RADII_{one.upper()}", f"RADII_{every.upper()}"
                raise ValueError(
                    f"expected {names[0]} below {names[1]} ({getattr(self, every):,}), so that others keep their share; "
                    f"got {getattr(self, one):,}: lower the first or raise the second"
                )
        return self

    @cached_property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of the trusted reverse proxies."""
        return _networks(self.trusted_proxies)

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
        return self.database_url or sqlite_url(self.data.absolute() / "radii.db")

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
        """Seconds since a process was last seen, as it is with each round of housekeeping, for which it is taken to be running."""
        return max(SEEN_AT_LEAST, 4.5 * self.housekeeping_seconds)

    @property
    def embedded(self) -> bool:
        """Whether jobs reach workers without a broker."""
        return self.broker_url is None

    @property
    def blobs(self) -> Path:
        """Folder of the content-addressed blobs."""
        return self.data / "blobs"


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks out of a list that is separated by commas; raises ValueError."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ip_network(part))
        except ValueError:
            raise ValueError(f"expected addresses or networks such as 10.0.0.5 or 10.0.0.0/24, got {part!r}") from None
    return tuple(found)
