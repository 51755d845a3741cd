"""The service that ``availability.py`` measures: filled with the things of two tenants, and started on two cores."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import availability_attacks as attacks
from sqlalchemy import create_engine, make_url, text

from radii.rs_core.certify.certificates import decide
from radii.rs_core.records import Certificate
from radii.rs_core.results import codec
from radii.rs_core.specs.jobs import parse_spec
from radii.service.client.client import Client
from radii.service.kinds import registry
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs, resources, schema_version, tenants
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset

CORES = 2
STARTED = "radii is listening on "
SIGMA, N = 0.25, 1_000
DATA = {"count": 100_000, "shape": [1, 8, 8], "num_classes": 10, "class_names": [str(label) for label in range(10)]}
MODEL = {"architecture": "digits_cnn", "input_shape": [1, 8, 8], "num_classes": 10, "sigma": SIGMA}


@dataclass(frozen=True, kw_only=True)
class Victim:
    """The other tenant's key and things."""

    key: str
    job: str
    dataset: str
    checkpoint: str


def filled(settings: Settings, rows: int) -> tuple[Victim, attacks.Target]:
    """A database in which both tenants have keys, data, a model and jobs; the hostile one also very long names of classes."""
    database = Database(settings.url)
    schema_version.migrate(database.engine)
    found: dict[str, dict[str, Any]] = {}
    for name in ("hostile", "other"):
        with database.write() as session:
            tenant_id = tenants.tenant(session, name).id
            made = {"key": tenants.create_key(session, name, "benchmark")[1]}
            for kind, columns in ((Dataset, DATA), (Checkpoint, MODEL)):
                made[kind.__name__] = _ready(session, settings, tenant_id, kind, columns)
            made["waiting"] = _job(session, tenant_id, made, 10)
        found[name] = made
    with database.write() as session:
        hostile = tenants.tenant(session, "hostile").id
        names = [f"{number:0200d}" for number in range(80_000)]
        for _ in range(6):
            _ready(session, settings, hostile, Dataset, DATA | {"num_classes": 80_000, "class_names": names})
        certified = [_job(session, hostile, found["hostile"], rows) for _ in range(4)]
    for job_id in certified:
        for first in range(0, rows, 5_000):
            with database.write() as session:
                certificate_rows.store(session, job_id, list(_certificates(first, min(first + 5_000, rows))))
    database.close()
    other, mine = found["other"], found["hostile"]
    victim = Victim(key=other["key"], job=other["waiting"], dataset=other["Dataset"], checkpoint=other["Checkpoint"])
    return victim, attacks.Target(
        port=0,
        key=mine["key"],
        certified=tuple(certified),
        waiting=mine["waiting"],
        dataset=mine["Dataset"],
        checkpoint=mine["Checkpoint"],
        bomb="bomb.npz",
        radii="radii.tsv",
        votes="votes.ndjson",
    )


def _ready(session: Any, settings: Settings, tenant_id: str, kind: Any, columns: dict[str, Any]) -> str:
    with blob_files.writing(settings.blobs) as writer:
        writer.write(secrets.token_bytes(16))
        sealed = writer.seal()
    row, conversion = resources.create(session, kind, tenant_id, kind.__name__.lower(), {"files": []})
    resources.put_blob(session, settings.blobs, sealed)
    hashes = {"sha256": sealed.sha256} | ({"content_hash": sealed.sha256} if kind is Dataset else {})
    resources.make_ready(session, row, columns | hashes)
    jobs.cancel(session, conversion.id)
    return str(row.id)


def _job(session: Any, tenant_id: str, made: dict[str, Any], inputs: int) -> str:
    spec = parse_spec(
        {
            "kind": "certify",
            "checkpoint": made["Checkpoint"],
            "dataset": made["Dataset"],
            "n": N,
            "inputs": {"count": inputs},
        }
    )
    rows = session.get_one(Dataset, made["Dataset"]), session.get_one(Checkpoint, made["Checkpoint"])
    new, _ = registry.plan(spec, tenant_id=tenant_id, dataset=rows[0], checkpoint=rows[1])
    return str(jobs.submit(session, new).id)


def _certificates(first: int, stop: int) -> Iterator[Certificate]:
    """Made-up votes."""
    known = {}
    for index in range(first, stop):
        label, top = index % 10, N - index * 7 % (N // 2)
        voted = (label + 1) % 10 if index % 7 == 6 else label
        counts = [0] * 10
        counts[voted], counts[(voted + 1) % 10] = top, N - top
        if top not in known:
            known[top] = decide([1, 0], [top, N - top], sigma=SIGMA, alpha=0.001)
        yield Certificate(
            index=index,
            label=label,
            prediction=voted if known[top].prediction == 0 else -1,
            radius=known[top].radius,
            p_lower=known[top].p_lower,
            counts0=tuple(100 if place == voted else 0 for place in range(10)),
            counts=tuple(counts),
            n0=100,
            n=N,
            sigma=SIGMA,
            alpha=0.001,
            seed=0,
            seconds=0.1,
        )


def upload_radii(target: attacks.Target) -> None:
    """The results file with the long radius, among good rows, and a MiB of votes."""
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime", *(f"{i}\t0\t0\t0.5\t1\t0:00:01" for i in range(10))]
    lines += [f"{i}\t0\t0\t{'1' * 20_000}x\t1\t0:00:01" for i in range(10, 20)]
    with (
        Client(f"http://127.0.0.1:{target.port}", api_key=target.key) as client,
        tempfile.TemporaryDirectory() as scratch,
    ):
        file = Path(scratch) / target.radii
        file.write_text("\n".join(lines) + "\n")
        client.upload(file)
        votes = "".join(json.dumps(codec.to_json(row)) + "\n" for row in _certificates(0, 5_000))
        client.upload(votes.encode()[: 2**20].rpartition(b"\n")[0] + b"\n", target.votes)


@contextmanager
def service(settings: Settings) -> Iterator[tuple[int, int]]:
    """The service without workers, on two cores; its port and process."""
    environment = {**os.environ, "RADII_DATA": str(settings.data), "RADII_MIN_FREE": "0"}
    environment |= {} if settings.database_url is None else {"RADII_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "radii.service.cli.main", "up", "--port", "0", "--workers", "0", "--require-key"]
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(STARTED):
            raise SystemExit(f"The service did not start: it said {line!r}.")
        yield int(line.rsplit(":", 1)[1]), process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def database(server: str | None) -> Iterator[str | None]:
    """A fresh database on a Postgres server, dropped in the end; None for SQLite in the folder."""
    if server is None:
        yield None
        return
    name = f"radii_availability_{secrets.token_hex(4)}"
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(database=name).render_as_string(hide_password=False).replace("+psycopg", "")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()
