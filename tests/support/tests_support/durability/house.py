"""A service of a proof: folder, database, broker and processes of its own, and what came of its jobs."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.models import registry
from radii.worker.settings import Settings
from radii.worker.settings_environment import variables as variables_of
from radii.worker.store import counters, jobs, queue_stats
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.models.tables import Event, Job, Shard
from radii.worker.store.specifications import load_spec
from tests_support import system, things
from tests_support.durability import light_child
from tests_support.durability.outcome import Expected, Outcome, compared
from tests_support.durability.waiting import until
from tests_support.servers import OwnPostgres, OwnRedis

Kind = Literal["sqlite", "postgresql"]
AS_SHIPPED = os.environ.get("PROOF_TIMES") == "shipped"
"""Whether the intervals are those that radii comes with, instead of short ones."""
LEASE: float = Settings.model_fields["lease"].default if AS_SHIPPED else 3.0
"""Seconds; the bounds of the proofs are multiples of it."""
HOUSEKEEPING: float = Settings.model_fields["housekeeping_seconds"].default if AS_SHIPPED else 1.0
SHORT = {
    "lease": LEASE,
    "housekeeping_seconds": HOUSEKEEPING,
    "poll": 0.1,
    "broker_poll_seconds": 1.0,
    "commit": 0.25,
    "retry_pause": 0.5,
}


@dataclass
class House:
    """One service. ``database`` is this process's own connection."""

    kind: Kind
    settings: Settings
    database: Database
    folder: Path
    postgres: OwnPostgres | None = None
    redis: OwnRedis | None = None
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    api_pid: int | None = None
    _datasets: dict[str, str] = field(default_factory=dict)
    _model: str | None = None

    def worker(self, **variables: str) -> "subprocess.Popen[bytes]":
        """Starts one worker: local over SQLite, of Celery over Postgres and Redis."""
        module = "local" if self.kind == "sqlite" else "remote"
        command = [sys.executable, "-m", "tests_support.durability.worker", module]
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(variables),
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    @contextmanager
    def api(self, **variables: str) -> Iterator[str]:
        """The HTTP service, without workers of its own; its address."""
        command = [sys.executable, "-m", "tests_support.durability.api", "up", "--port", "0", "--workers", "0"]
        with (self.folder / "api.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=self._environment(variables))
        assert process.stdout is not None
        self.api_pid = process.pid
        try:
            yield process.stdout.readline().decode().split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=30)

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        return os.environ | variables_of(self.settings) | {"PYTHONPATH": path_with_support()} | variables

    def change(self, **settings: Any) -> None:
        """Other settings for the processes that are started from now on."""
        self.settings = self.settings.model_copy(update=settings)

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """kill -9; its child sees its input close and goes."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        self.forget(process)

    def kill_child(self, process: "subprocess.Popen[bytes]") -> bool:
        """kill -9 of the process that works for a worker, where it has one; the worker itself goes on."""
        for child in system.children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                return True
        return False

    def freeze(self, process: "subprocess.Popen[bytes]") -> None:
        """SIGSTOP between two transactions; what one that is frozen inside of them holds up is a scenario of its own."""
        system.freeze(process.pid)
        while self._held_up():
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.05)
            system.freeze(process.pid)

    def _held_up(self) -> bool:
        """Whether somebody keeps a transaction open."""
        if self.kind == "sqlite":
            with contextlib.closing(
                sqlite3.connect(self.settings.url.removeprefix("sqlite:///"), timeout=1.0)
            ) as writer:
                try:
                    writer.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return True
            return False
        time.sleep(0.3)
        idle = "state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '0.25 s'"
        with psycopg.connect(self.settings.url) as connection:
            return connection.execute(f"SELECT FROM pg_stat_activity WHERE {idle}").rowcount > 0

    def forget(self, process: "subprocess.Popen[bytes]") -> None:
        """Waits for a process that is ending."""
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if process in self.processes:
            self.processes.remove(process)

    def close(self) -> None:
        """Ends everything."""
        for process in self.processes:
            process.terminate()
        for process in list(self.processes):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            self.forget(process)
        self.database.close()
        if self.redis is not None:
            self.redis.end()
        if self.postgres is not None:
            self.postgres.end(signal.SIGINT)

    def light_job(self, inputs: int, shards: int, *, seed: int = 0, tenant: str = "default", n: int = 1_000) -> str:
        """A certify job for light children, in so many parts; its identifier."""
        tenant_id = things.tenant(self.database, tenant)
        spec = {
            "kind": "certify",
            "dataset": "ds_0",
            "checkpoint": "ckpt_0",
            "inputs": {"start": 0, "step": 1, "count": inputs},
            "sampling": "fixed",
        }
        spec |= {"n0": 10, "n": n, "sigma": 0.25, "alpha": 0.001, "seed": seed, "batch_size": None}
        edges = [round(part * inputs / shards) for part in range(shards + 1)]
        dataset = self._digits(tenant_id)
        with self.database.write() as session:
            new = NewJob(
                tenant_id=tenant_id,
                spec=load_spec(spec),
                shards=list(pairwise(edges)),
                total=inputs,
                work_total=inputs * (n + 10),
                radii=(0.0, 0.25),
                dataset_id=dataset,
            )
            return jobs.submit(session, new).id

    def certify_body(self) -> dict[str, Any]:
        """The request for a small real certification."""
        tenant_id = things.tenant(self.database)
        if self._model is None:
            self._model = things.checkpoint_of(self.database, self.settings.blobs, tenant_id)
        return {
            "kind": "certify",
            "dataset": self._digits(tenant_id),
            "checkpoint": self._model,
            "inputs": {"start": 0, "count": 20},
            "n": 1_000,
        }

    def light_body(self, inputs: int, *, seed: int = 0) -> dict[str, Any]:
        """The request for a certification whose counts :func:`light` tells, where the children are light ones."""
        chosen = {"inputs": {"start": 0, "count": inputs}, "sampling": "fixed", "seed": seed}
        return self.certify_body() | chosen | {"n0": 10, "n": 1_000, "sigma": 0.25}

    def _digits(self, tenant_id: str) -> str:
        """The tenant's data set."""
        if tenant_id not in self._datasets:
            self._datasets[tenant_id] = things.dataset(self.database, self.settings.blobs, tenant_id)
        return self._datasets[tenant_id]

    def made_job(self, images: "NDArray[np.uint8]", architecture: str, *, n0: int, n: int) -> str:
        """A certify job over these images with an untrained network of a registered architecture; its identifier."""
        labels = np.zeros(len(images), dtype=np.int64)
        data = Dataset(images=images, labels=labels, class_names=("a", "b"), name="made")
        registry.use(self.settings.architectures)
        network = registry.build(architecture, num_classes=2, input_shape=data.shape)
        info = CheckpointInfo(
            architecture=architecture, num_classes=2, input_shape=data.shape, sigma=0.1, method="none", epoch=0
        )
        dataset, model = things.stored(self.database, self.settings.blobs, data, network, info)
        body = {"kind": "certify", "dataset": dataset, "checkpoint": model, "n0": n0, "n": n, "sigma": 0.1}
        return things.submit(self.database, things.tenant(self.database), body)

    def tiny_job(self, shards: int) -> str:
        """A real certification of one small input in each of so many parts; its identifier."""
        images = np.zeros((shards, 1, 8, 8), dtype=np.uint8)
        job_id = self.made_job(images, "digits_cnn", n0=10, n=20)
        with self.database.write() as session:
            session.query(Shard).filter_by(job_id=job_id).delete()
            session.add_all(
                Shard(job_id=job_id, number=number, first=number, stop=number + 1) for number in range(shards)
            )
        return job_id

    def part(self, job_id: str) -> tuple[int, bool]:
        """Of a job in one part: its fence, and whether somebody holds it."""
        with self.database.read() as session:
            shard = session.get_one(Shard, (job_id, 0))
            return shard.fence, shard.state == "leased"

    def told(self, job_id: str, kind: str) -> int:
        """How many events of this kind the job has."""
        query = select(func.count()).select_from(Event).where(Event.job_id == job_id, Event.type == kind)
        with self.database.read() as session:
            return session.scalar(query) or 0

    def workers(self) -> int:
        """How many workers have said that they are there."""
        with self.database.read() as session:
            return len(queue_stats.workers(session, 86_400.0))

    def leased(self, job_id: str) -> int:
        """How many parts of the job somebody holds."""
        query = select(func.count()).select_from(Shard).where(Shard.job_id == job_id, Shard.state == "leased")
        with self.database.read() as session:
            return session.scalar(query) or 0

    def claims(self, tenant: str) -> int:
        """How often parts of a tenant's jobs have been claimed."""
        tenant_id = things.tenant(self.database, tenant)
        query = select(func.sum(Shard.attempt)).join(Job, Job.id == Shard.job_id).where(Job.tenant_id == tenant_id)
        with self.database.read() as session:
            return int(session.scalar(query) or 0)

    def certified(self, tenant: str) -> int:
        """How many certificates a tenant's jobs have."""
        tenant_id = things.tenant(self.database, tenant)
        query = select(func.count()).select_from(CertificateRow).join(Job, Job.id == CertificateRow.job_id)
        with self.database.read() as session:
            return session.scalar(query.where(Job.tenant_id == tenant_id)) or 0

    def state(self, job_id: str) -> str:
        """The job's state; "unknown" while the database is away."""
        try:
            with self.database.read() as session:
                return session.get_one(Job, job_id).state
        except SQLAlchemyError:
            return "unknown"

    def ended(self, job_id: str) -> bool:
        """Whether it is in a final state."""
        return self.state(job_id) in jobs.TERMINAL

    def stored(self, job_id: str) -> int:
        """How many certificates it has; -1 while the database is away."""
        query = select(func.count()).select_from(CertificateRow).where(CertificateRow.job_id == job_id)
        try:
            with self.database.read() as session:
                return session.scalar(query) or 0
        except SQLAlchemyError:
            return -1

    def until_ended(self, job_id: str, seconds: float) -> bool:
        """Waits for the job's end; False where it does not come in time."""
        return until(lambda: self.ended(job_id), seconds)

    def until_more(self, job_id: str, than: int, seconds: float) -> bool:
        """Waits until more certificates are stored, or the job has ended; False where neither comes in time."""
        return until(lambda: self.stored(job_id) > than or self.ended(job_id), seconds)

    def until_counted(self, name: str, than: int, seconds: float) -> bool:
        """Waits until a mishap has been counted more often."""
        return until(lambda: self.mishaps()[name] > than, seconds)

    def mishaps(self) -> dict[str, int]:
        """What the service itself has counted."""
        with self.database.read() as session:
            return counters.values(session)

    def stuck(self) -> float:
        """Seconds for which a lease that has run out was not taken back, at most; 0 where there is none."""
        from radii.worker.store.clock import clock

        query = select(func.max(clock() - Shard.lease_until)).where(Shard.state == "leased")
        try:
            with self.database.read() as session:
                return max(0.0, session.scalar(query) or 0.0)
        except SQLAlchemyError:
            return 0.0

    def compared(self, job_id: str, inputs: int | None, expected: Expected | None = None) -> Outcome:
        """See ``outcome.compared``."""
        return compared(self.database, job_id, inputs, expected)


def path_with_support() -> str:
    """The ``PYTHONPATH`` by which a process of a proof finds this package, whoever started the tests."""
    paths = [str(Path(things.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)


def light(seed: int) -> Expected:
    """The counts that an undisturbed light job has."""
    return lambda index: light_child.counts(seed, index, 10, 1_000)


@contextmanager
def house(kind: Kind, **changes: Any) -> Iterator[House]:
    """A service without processes; servers and folder go with the block."""
    with tempfile.TemporaryDirectory(prefix="radii-proof-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = redis = None
        data, servers = changes.pop("data", folder), changes.pop("servers", folder)
        url = f"sqlite:///{data / 'radii.db'}"
        broker = None
        if kind == "postgresql":
            (servers / "postgres").mkdir()
            postgres, redis = OwnPostgres(servers / "postgres"), OwnRedis(folder)
            url, broker = f"{postgres.server.url}/postgres", redis.url
        fields: dict[str, Any] = {} if AS_SHIPPED else {**SHORT, "child_silence": 30.0}
        fields |= {"threads": 1, "min_free": 0, "device": "cpu", "compile": "never"}
        settings = Settings(data=data, database_url=url, broker_url=broker, **fields | changes)
        found = House(kind, settings, things.migrated(url), folder, postgres, redis)
        try:
            yield found
        finally:
            found.close()
