"""A service under test: its client, its database, and stand-ins for what a worker would have done. Loads no torch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from radii.rs_core.certify.certificates import decide
from radii.rs_core.records import ABSTAIN, Certificate, Prediction
from radii.service.api.app import create_app
from radii.service.api.shared_answers import SharedMetrics
from radii.service.client.client import Client
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs, resources, results, shards, tenants
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.shards import Claim
from radii.worker.store.specifications import JobSpec, dump_spec

HOST = "http://127.0.0.1"
DIGITS = {"count": 200, "shape": [1, 8, 8], "num_classes": 10, "class_names": [f"digit {i}" for i in range(10)]}
MODEL = {
    "architecture": "digits_cnn",
    "input_shape": [1, 8, 8],
    "num_classes": 10,
    "sigma": 0.25,
    "method": "gaussian",
    "info": {"normalization": None},
}


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything that a test touches."""

    app: FastAPI
    client: TestClient
    database: Database
    settings: Settings

    def tenant(self, name: str = "default") -> str:
        """A tenant's identifier."""
        with self.database.write() as session:
            return tenants.tenant(session, name).id

    def key(self, tenant: str) -> dict[str, str]:
        """Headers with a new API key of a tenant."""
        with self.database.write() as session:
            return {"Authorization": f"Bearer {tenants.create_key(session, tenant, 'test')[1]}"}

    def connected(self) -> Client:
        """The Python client, over this service."""

        def send(request: httpx.Request) -> httpx.Response:
            answer = self.client.request(
                request.method,
                request.url.path,
                params=request.url.params,
                headers=request.headers,
                content=request.read(),
            )
            return httpx.Response(
                answer.status_code, headers={"ETag": answer.headers.get("ETag", "")}, content=answer.content
            )

        return Client(HOST, transport=httpx.MockTransport(send))

    def dataset(self, *, state: str = "ready", tenant: str = "default", **columns: Any) -> str:
        """A data set of the given state; its identifier."""
        return self._resource(Dataset, state, tenant, DIGITS | {"content_hash": "c" * 64} | columns)

    def checkpoint(self, *, state: str = "ready", tenant: str = "default", **columns: Any) -> str:
        """A checkpoint of the given state; its identifier."""
        return self._resource(Checkpoint, state, tenant, MODEL | columns)

    def certify(self, **fields: Any) -> dict[str, Any]:
        """A certify body over a ready pair."""
        body = {"kind": "certify", "n": 1000, "inputs": {"count": 20}} | fields
        return {"dataset": fields.get("dataset") or self.dataset(), "checkpoint": self.checkpoint()} | body

    def submitted(self, **fields: Any) -> str:
        """A certify job in the queue; its identifier."""
        answer = self.client.post("/v1/jobs", json=self.certify(**fields))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def claim(self) -> Claim | None:
        """The next shard, as a worker takes it."""
        machine = {"device": "test CPU", "device_type": "cpu", "precision": "fp32", "versions": {"torch": "2.14.1"}}
        with self.database.write() as session:
            execution = {"threads": 1, "precision": "fp32", "device_type": "cpu"}
            return shards.claim(session, lease=60, device_type="cpu", execution=execution, provenance=machine)

    def work(self, job_id: str, *, most: int | None = None) -> int:
        """Does a certify job's shards with made-up votes, at most so many inputs; returns how many."""
        done = 0
        while (claim := self.claim()) is not None:
            assert claim.job_id == job_id
            for position in range(claim.first, claim.stop):
                if most is not None and done >= most:
                    return done
                with self.database.write() as session:
                    certificate_rows.store(session, job_id, [certificate(position, claim.spec)])
                    results.add_device_seconds(session, job_id, 0.5)
                done += 1
            with self.database.write() as session:
                shards.finish(session, claim)
        return done

    def finished(self, **fields: Any) -> str:
        """A certify job with all its results; its identifier."""
        job_id = self.submitted(**fields)
        self.work(job_id)
        return job_id

    def job(self, job_id: str) -> Job:
        """The job's row."""
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def _resource(self, kind: type[Any], state: str, tenant: str, columns: dict[str, Any]) -> str:
        tenant_id = self.tenant(tenant)
        with blob_files.writing(self.settings.blobs) as writer:
            writer.write(json.dumps([kind.__name__, columns]).encode())
            sealed = writer.seal()
        with self.database.write() as session:
            row, job = resources.create(session, kind, tenant_id, f"a {kind.__name__.lower()}", {"files": []})
            resources.put_blob(session, self.settings.blobs, sealed)
            if state == "ready":
                resources.make_ready(session, row, columns | {"sha256": sealed.sha256})
                jobs.cancel(session, job.id)
            elif state == "rejected":
                problem = {"type": "urn:radii:problem:invalid-dataset", "title": "The data set cannot be read."}
                jobs.fail(
                    session, job.id, problem | {"status": 422, "detail": "The data set cannot be read: it is empty."}
                )
            return str(row.id)


def always_measured(app: FastAPI) -> FastAPI:
    """The application; its metrics are always those of now, however long they take to make on a busy machine."""
    app.state.scrapes = SharedMetrics(app.state.registry, kept=0.0)
    return app


@contextmanager
def serving(database: Database, settings: Settings, *, require_key: bool = False) -> Iterator[Service]:
    """A service over a migrated database."""
    app = always_measured(create_app(settings, database, require_key=require_key))
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
        yield Service(app=app, client=client, database=database, settings=settings)


def certificate(index: int, spec: JobSpec | dict[str, Any], n: int | None = None) -> Certificate:
    """Made-up votes, ``n`` or all that the job asks for, and the certificate that follows from them: every fifth input
    abstains, every seventh is wrong."""
    spec = spec if isinstance(spec, dict) else dump_spec(spec)
    label, n = index % 10, n or spec["n"]
    top = n // 2 if index % 5 == 4 else n - index % (n // 2)
    voted = (label + 1) % 10 if index % 7 == 6 else label
    counts0, counts = [0] * 10, [0] * 10
    counts0[voted], counts[voted], counts[(voted + 1) % 10] = spec["n0"], top, n - top
    how = {name: spec[name] for name in ("sigma", "alpha", "sampling", "bound")}
    return Certificate(
        index=index,
        label=label,
        **asdict(decide(counts0, counts, **how)),
        **how,
        counts0=tuple(counts0),
        counts=tuple(counts),
        n0=spec["n0"],
        n=n,
        seconds=0.5,
        **{name: spec[name] for name in ("seed", "noise", "precision")},
    )


def prediction(index: int, spec: JobSpec | dict[str, Any]) -> Prediction:
    """A made-up prediction; every fifth abstains."""
    spec = {"alpha": 0.001} | (spec if isinstance(spec, dict) else dump_spec(spec))
    return Prediction(
        index=index,
        label=index % 10,
        prediction=ABSTAIN if index % 5 == 4 else index % 10,
        p_value=0.0001,
        counts=(spec["n"], *[0] * 9),
        **{name: spec[name] for name in ("n", "sigma", "alpha", "seed")},
    )
