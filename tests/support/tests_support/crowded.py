"""A database with thousands of jobs of several tenants, kinds and states, written in bulk, for plans and timings of queries.

Everything that a job may have hangs on some of them: shards, events, summaries, certificates, predictions, evaluations,
epochs, progress, a digest, the key of its request. Half of the jobs are the default tenant's, the others are spread evenly.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any

from sqlalchemy import Connection, insert, select, text

from radii.rs_core.specs.jobs import CertifySpec, dump_spec, parse_spec
from radii.worker.store import jobs
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.models import tables as t
from radii.worker.store.models.column_types import Base
from radii.worker.store.models.result_tables import (
    CertificateRow,
    EpochMetric,
    EvaluationRow,
    JobDigest,
    JobSummary,
    PredictionRow,
    SampleProgress,
)
from radii.worker.store.specifications import AuditPlan, JobSpec, NoisePlan, Plan, as_kind, load_spec
from radii.worker.store.tenants import DEFAULT_TENANT
from tests_support import over_http

TENANTS = 20
INPUTS = 200
PARTS = 4
"""Shards of a job."""
DONE = 10
"""Results of a job that has begun."""
MODELS = 10
"""Jobs for each data set and for each checkpoint."""
KINDS = ("certify", "certify", "predict", "certify", "train", "convert", "evaluate", "certify", "soft_labels", "verify")
"""Of ten jobs; of every fifth certification the images came with a request for predictions."""
STATES = (
    *("queued",) * 8,
    *("succeeded",) * 7,
    *("running", "cancelled", "failed", "expired", "cancelling"),
)
"""Of twenty jobs."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What there is: identifiers of the default tenant's rows, and of jobs by kind and state."""

    tenant: str
    datasets: tuple[str, ...]
    checkpoints: tuple[str, ...]
    uploads: tuple[str, ...]
    by_kind_and_state: dict[tuple[str, str], tuple[str, ...]]

    def job(self, kind: str, state: str, place: int = 0) -> str:
        """One of the default tenant's jobs; the count begins anew where there are fewer."""
        found = self.by_kind_and_state[kind, state]
        return found[place % len(found)]


def fill(database: Database, count: int, *, states: tuple[str, ...] = STATES) -> Crowd:
    """Writes ``count`` jobs and what belongs to them into an empty, migrated database, and analyzes it on Postgres."""
    with database.engine.begin() as connection:
        now = float(connection.scalar(select(clock())) or 0.0)
        made = _Made(count, states, now)
        for table, rows in made.tables():
            _write(connection, table, rows)
    if database.engine.dialect.name == "postgresql":
        analyze(database)
    return made.crowd()


def analyze(database: Database) -> None:
    """Statistics as they are in a database that has been in use for a while."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _write(connection: Connection, table: type[Base], rows: Iterable[Row]) -> None:
    """Postgres takes a COPY, which is several times as fast."""
    if connection.dialect.name != "postgresql":
        for part in _parts(rows, 5_000):
            connection.execute(insert(table), part)
        return
    first = next(rows := iter(rows))
    names = ", ".join(f'"{table.__table__.c[name].name}"' for name in first)
    with (
        connection.connection.cursor() as cursor,
        cursor.copy(f"COPY {table.__tablename__} ({names}) FROM STDIN") as to,
    ):
        for row in itertools.chain([first], rows):
            to.write_row([_copied(value) for value in row.values()])


def _copied(value: Any) -> Any:
    """A value of a row as COPY takes it."""
    value = dump_spec(value) if is_dataclass(value) else value
    return json.dumps(value) if isinstance(value, dict | list) else value


def _parts(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while part := list(itertools.islice(rows, size)):
        yield part


class _Made:
    """The rows, table by table, in an order that foreign keys allow."""

    def __init__(self, count: int, states: tuple[str, ...], now: float) -> None:
        self.count, self.states, self.now = count, states, now
        self.tenants = [_id("tenant", number) for number in range(TENANTS)]
        self.things = max(2 * TENANTS, count // MODELS)
        self.spec = {kind: _spec(kind) for kind in set(KINDS) - {"convert", "verify"}}
        self.jobs = [self._job(number) for number in range(count)]
        self.begun = [row for row in self.jobs if row["state"] != "queued"]

    def crowd(self) -> Crowd:
        """What a test asks for."""
        mine = range(0, self.things, 2)
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for row in self.jobs:
            if row["tenant_id"] == self.tenants[0] and row["priority"] < jobs.URGENT:
                found[row["kind"], row["state"]] = (*found.get((row["kind"], row["state"]), ()), row["id"])
            elif row["tenant_id"] == self.tenants[0]:
                found["urgent", row["state"]] = (*found.get(("urgent", row["state"]), ()), row["id"])
        return Crowd(
            tenant=self.tenants[0],
            datasets=tuple(_id("ds", number) for number in mine),
            checkpoints=tuple(_id("ckpt", number) for number in mine),
            uploads=tuple(_id("up", number) for number in mine),
            by_kind_and_state=found,
        )

    def tables(self) -> Iterator[tuple[type[Base], Iterable[Row]]]:
        """Rows by table."""
        yield t.Tenant, self._tenants()
        yield t.ApiKey, (self._key(number) for number in range(2 * TENANTS))
        yield t.DeviceTime, self._device_time()
        yield t.Blob, ({"sha256": _sha(n), "size": 1000 + n, "created": self.now - n} for n in range(4 * self.things))
        yield t.Upload, (self._upload(number) for number in range(self.things))
        yield t.PartUpload, (self._part_upload(number) for number in range(self.things // 4))
        yield t.UploadPart, self._upload_parts()
        yield t.Dataset, (self._dataset(number) for number in range(self.things))
        yield t.Checkpoint, (self._checkpoint(number) for number in range(self.things))
        yield t.Job, self.jobs
        yield (
            t.ConversionFile,
            (
                {"job_id": row["id"], "sha256": row["spec"].files[0].sha256}
                for row in self.jobs
                if row["kind"] == "convert"
            ),
        )
        yield JobSummary, (self._summary(number, row) for number, row in enumerate(self.jobs))
        yield t.Shard, (shard for row in self.jobs for shard in self._shards(row))
        yield t.Event, (event for row in self.jobs for event in self._events(row))
        yield t.Idempotency, (self._idempotency(row) for row in self.jobs)
        yield t.Worker, (self._worker(number) for number in range(20))
        yield t.Counter, ({"name": name, "value": 3} for name in ("leases_expired", "results/certify", "work/certify"))
        yield from self._results()

    def _results(self) -> Iterator[tuple[type[Base], Iterable[Row]]]:
        certified = [row for row in self.begun if row["kind"] == "certify"]
        predicted = [row for row in self.begun if row["kind"] in ("predict", "soft_labels")]
        evaluated = [row for row in self.begun if row["kind"] == "evaluate"]
        trained = [row for row in self.begun if row["kind"] == "train"]
        yield CertificateRow, (made for row in certified for made in _certificates(row))
        yield PredictionRow, (made for row in predicted for made in _predictions(row))
        yield EvaluationRow, (made for row in evaluated for made in _evaluations(row))
        yield EpochMetric, (made for row in trained for made in _epochs(row))
        yield JobDigest, ({"job_id": row["id"], "body": b"x"} for row in certified)
        yield SampleProgress, (_progress(row) for row in self.begun if row["state"] in ("running", "cancelling"))

    def _tenants(self) -> Iterator[Row]:
        for number, identifier in enumerate(self.tenants):
            yield {"id": identifier, "name": f"tenant {number}" if number else DEFAULT_TENANT, "created": self.now}

    def _tenant(self, number: int) -> str:
        return self.tenants[0 if number % 2 == 0 else 1 + number // 2 % (TENANTS - 1)]

    def _key(self, number: int) -> Row:
        made = {"id": _id("key", number), "tenant_id": self.tenants[number % TENANTS], "name": "key"}
        return made | {"hash": _sha(number), "created": self.now, "revoked": None if number % 3 else self.now}

    def _device_time(self) -> Iterator[Row]:
        for number, tenant in enumerate(self.tenants):
            for back in range(24):
                yield {"tenant_id": tenant, "slice": int(self.now // 300) - back, "seconds": 1.0 + number}

    def _upload(self, number: int) -> Row:
        made = {"id": _id("up", number), "tenant_id": self._tenant(number), "name": f"file {number}"}
        return made | {"sha256": _sha(number), "created": self.now - 100 * number}

    def _part_upload(self, number: int) -> Row:
        made = {"id": _id("parts", number), "tenant_id": self._tenant(number), "name": f"large {number}", "size": 40}
        upload_id = _id("up", number) if number % 2 else None
        made |= {"part_size": 10, "sha256": _sha(number), "upload_id": upload_id}
        return made | {"created": self.now - 100 * number}

    def _upload_parts(self) -> Iterator[Row]:
        for number, part in itertools.product(range(self.things // 4), range(4)):
            yield {"part_upload_id": _id("parts", number), "number": part, "sha256": _sha(part)}

    def _dataset(self, number: int) -> Row:
        made = {"id": _id("ds", number), "tenant_id": self._tenant(number), "name": f"data {number}", "state": "ready"}
        made |= {"source": {"files": [{"name": "a", "sha256": _sha(number)}]}, "problem": None}
        made |= {"sha256": _sha(self.things + number), "content_hash": _sha(number % 7)}
        made |= over_http.DIGITS | {"count": INPUTS, "eight_bit": True}
        return made | {"created": self.now - number}

    def _checkpoint(self, number: int) -> Row:
        made = {"id": _id("ckpt", number), "tenant_id": self._tenant(number), "name": f"model {number}"}
        made |= {"state": "ready", "source": {"job": _id("job", number)}, "problem": None}
        made |= {"sha256": _sha(2 * self.things + number), **over_http.MODEL}
        return made | {"created": self.now - number}

    def _job(self, number: int) -> Row:
        # Tenants change with every job, kinds with every second, states with every twentieth: all of them meet.
        kind, state = KINDS[number // 2 % len(KINDS)], self.states[number // 20 % len(self.states)]
        urgent = kind == "certify" and number % 5 == 0
        thing = number % self.things
        return {
            "id": _id("job", number),
            "tenant_id": self._tenant(number),
            "kind": kind,
            "state": state,
            "spec": self._spec_of(kind, number, thing),
            "plan": self._plan_of(kind, thing),
            "dataset_id": _id("ds", thing),
            "test_dataset_id": _id("ds", thing) if kind == "train" and number % 3 == 0 else None,
            "checkpoint_id": _id("ckpt", thing),
            "needs_id": _id("job", number - 1) if number % 50 == 49 else None,
            "auto": number % 50 == 48,
            "content_key": _sha(number % 1000) if kind in ("train", "soft_labels") else None,
            "priority": jobs.URGENT if urgent else number % 3,
            "deadline": self.now + 86_400 + number if number % 10 == 3 else None,
            "estimated_seconds": 10.0,
            "revision": 0 if state == "queued" else 2,
            "device_type": "cpu" if state != "queued" else None,
            "execution": {"device_type": "cpu", "precision": "fp32", "threads": 1, "batch_size": 100},
            "provenance": {"workers": [{"device": "a CPU", "versions": {"torch": "2"}}]},
            "output": {"sha256": _sha(3 * self.things + thing)} if kind == "soft_labels" else None,
            "problem": None,
            "created": self.now - self.count + number,
            "started": None if state == "queued" else self.now - 60,
            "finished": self.now - 30 if state in jobs.TERMINAL else None,
        }

    def _spec_of(self, kind: str, number: int, thing: int) -> JobSpec:
        named = {"dataset": _id("ds", thing), "checkpoint": _id("ckpt", thing), "seed": number}
        if kind == "convert":
            source = {"files": [{"name": "images.npz", "sha256": _sha(thing)}]}
            return load_spec({"kind": kind, "dataset": _id("ds", thing), "source": source})
        if kind == "verify":
            return load_spec({"kind": kind, "job": _id("job", number // 20 * 20), "inputs": 2, "seed": 1})
        return load_spec(self.spec[kind] | {name: value for name, value in named.items() if name in self.spec[kind]})

    def _plan_of(self, kind: str, thing: int) -> Plan | None:
        if kind == "verify":
            certify = self._spec_of("certify", 0, thing)
            return AuditPlan(chosen=(0, 1), certify=as_kind(certify, CertifySpec), execution={})
        return None if kind in ("convert", "train") else NoisePlan(sigma=0.25)

    def _summary(self, number: int, row: Row) -> Row:
        done = 0 if row["state"] == "queued" else INPUTS if row["state"] == "succeeded" else DONE
        radii = {"certify": [0.0, 0.25], "evaluate": [0.0, 0.25, 0.5, 0.75, 1.0]}.get(row["kind"], [])
        made = {"job_id": row["id"], "total": INPUTS, "done": done, "work_total": 1000 * INPUTS}
        made |= {"work_done": 1000 * done, "device_seconds": 1.5 * done, "radii": radii}
        made |= {"correct_at": [done // 2] * len(radii), "radius_sum": 0.25 * done, "correct": done // 2}
        made |= {"abstained": done // 5, "at_cap": 0, "errors": 0, "given_up": 0}
        return made | {"updated": self.now - number % 1000}

    def _shards(self, row: Row) -> Iterator[Row]:
        states = {"queued": ("ready",), "running": ("leased", "ready"), "cancelling": ("leased", "dropped")}
        of_job = states.get(row["state"], ("done" if row["state"] == "succeeded" else "dropped",))
        parts = 1 if row["priority"] >= jobs.URGENT or row["kind"] in ("train", "convert", "verify") else PARTS
        size = INPUTS // parts
        for number in range(parts):
            state = of_job[min(number, len(of_job) - 1)]
            made = {"job_id": row["id"], "number": number, "first": number * size, "stop": (number + 1) * size}
            made |= {"state": state, "fence": 1, "attempt": 1, "lost": 0, "owner": None}
            made |= {"lease_until": self.now + 3600 if state == "leased" else 0.0, "rung": self.now, "turn": 0}
            yield made | {"resume": {"sha256": _sha(7)} if row["kind"] == "train" and number == 0 else None}

    def _events(self, row: Row) -> Iterator[Row]:
        for seq, kind in enumerate(("queued",) if row["state"] == "queued" else ("queued", "running", row["state"])):
            yield {"job_id": row["id"], "seq": seq, "type": kind, "data": {}, "created": self.now}

    def _idempotency(self, row: Row) -> Row:
        made = {"tenant_id": row["tenant_id"], "key": f"key of {row['id']}", "body_hash": _sha(1)}
        return made | {"resource_id": row["id"], "created": self.now - 10}

    def _worker(self, number: int) -> Row:
        info = {"role": "service"} if number % 10 == 0 else {"device_type": "cpu", "memory": {"rss": 1000}}
        made = {"id": _id("worker", number), "host": "here", "pid": number, "started": self.now - 10}
        return made | {"seen": self.now - number, "info": info}


def _id(prefix: str, number: int) -> str:
    """An identifier as the service makes them, in the order of the numbers."""
    return f"{prefix}_{1_900_000_000_000 + number:012x}{number:016x}"


def _sha(number: int) -> str:
    return f"{number:064x}"


def _spec(kind: str) -> Row:
    """A specification with every default, as it is stored."""
    evaluation = {"evaluation": {"name": "attack"}} if kind == "evaluate" else {}
    named = {"checkpoint": "c"} if kind != "train" else {"architecture": "digits_cnn", "sigma": 0.25}
    return dump_spec(parse_spec({"kind": kind, "dataset": "d", **named, **evaluation})) | {"sigma": 0.25}


def _certificates(row: Row) -> Iterator[Row]:
    spec = row["spec"]
    for index in range(DONE):
        made = asdict(over_http.certificate(index, replace(spec, n0=100, n=1000)))
        kept = {column.name: made.get(column.name) for column in CertificateRow.__table__.columns}
        yield (
            kept
            | {"job_id": row["id"], "counts0": list(made["counts0"]), "counts": list(made["counts"])}
            | {"standard": None}
        )


def _predictions(row: Row) -> Iterator[Row]:
    for index in range(DONE):
        made = asdict(over_http.prediction(index, row["spec"]))
        kept = {column.name: made.get(column.name) for column in PredictionRow.__table__.columns}
        yield kept | {"job_id": row["id"], "counts": list(made["counts"])}


def _evaluations(row: Row) -> Iterator[Row]:
    found = {"point": 0.0, "distance": 0.0, "prediction": 0, "counts": [10]}
    for index in range(DONE):
        made = {"job_id": row["id"], "index": index, "label": 0, "found": [found | {"point": p / 4} for p in range(5)]}
        yield made | {"seed": 0, "seconds": 1.0, "batch_size": 10, "error": None}


def _epochs(row: Row) -> Iterator[Row]:
    for epoch in range(DONE):
        certification = {"inputs": 9, "acr": 0.4, "abstained": 0, "certified_accuracy": []} if epoch % 5 == 0 else None
        made = {"job_id": row["id"], "epoch": epoch, "steps": 10, "learning_rate": 0.1, "loss": 1.0, "terms": {}}
        made |= {"accuracy": 0.5, "test_accuracy": None, "certification": certification}
        yield made | {"seconds": 1.0}


def _progress(row: Row) -> Row:
    made = {"job_id": row["id"], "index": DONE, "votes": {"0": {"drawn": 10, "counts": [10]}}, "drawn": 10}
    return made | {"seconds": 1.0, "batch_size": 10, "deaths": 0}


def forget(database: Database) -> None:
    """Empties every table, so that another crowd fits in."""
    names = [table.name for table in reversed(Base.metadata.sorted_tables)]
    with database.engine.begin() as connection:
        for name in names:
            connection.execute(text(f"DELETE FROM {name}"))
