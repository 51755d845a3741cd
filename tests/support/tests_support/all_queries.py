"""Has the service and the worker send every statement they have, over a crowded database: each route once, and everything
that a worker does from a claim to the end of its part of a job."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from radii.rs_core.data import dataset_file
from radii.rs_core.data.dataset import Dataset as Data
from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.specs.fields import Selection
from radii.service.jobs import predict_images
from radii.worker import audits, commit, housekeeping, soft_label_files, task_message
from radii.worker.kinds import registry
from radii.worker.loop import WorkerSlot, end
from radii.worker.store import (
    clock,
    counters,
    jobs,
    queue_stats,
    resources,
    result_rows,
    results,
    row_statistics,
    shards,
    tenants,
    urgent_jobs,
)
from radii.worker.store.blobs import blob_files, multipart_uploads
from radii.worker.store.models.tables import Dataset, Job, Shard
from radii.worker.store.shards import Claim
from tests_support import over_http
from tests_support.crowded import Crowd
from tests_support.over_http import Service

MACHINE = {"device": "test CPU", "versions": {}}
HOW: dict[str, Any] = {"device_type": "cpu", "execution": {"threads": 1, "device_type": "cpu"}, "provenance": MACHINE}
SHAPE = (1, 8, 8)


def all_of_it(service: Service, crowd: Crowd) -> None:
    """Everything, in an order in which nothing is in the way of something else."""
    reads(service, crowd)
    _submissions(service, crowd)
    _uploads(service, crowd)
    _predictions(service, crowd)
    worker(service, crowd)
    _housekeeping(service)


def reads(service: Service, crowd: Crowd) -> None:
    """Every route that only reads."""
    certify, predict = crowd.job("certify", "succeeded"), crowd.job("predict", "succeeded")
    evaluate, train = crowd.job("evaluate", "succeeded"), crowd.job("train", "succeeded")
    older = service.client.get("/v1/jobs?limit=200").json()["next_cursor"]
    paths = [
        *(f"/v1/jobs{query}" for query in ("", f"?cursor={older}", "?kind=convert", "?state=queued", "?state=failed")),
        *(f"/v1/jobs?kind={kind}&state={state}" for kind in ("train", "certify") for state in ("queued", "expired")),
        "/v1/usage",
        *("/", f"/?cursor={older}", f"/jobs/{certify}", f"/jobs/{evaluate}", f"/jobs/{train}", "/metrics", "/readyz"),
        *(f"/jobs/{crowd.job('certify', 'queued')}", f"/v1/jobs/{crowd.job('certify', 'running')}"),
        *(f"/v1/jobs/{certify}{part}" for part in ("", "/certificates", "/certificates.csv", "/report", "/report.csv")),
        *(f"/v1/jobs/{predict}{part}" for part in ("", "/predictions", "/predictions.csv")),
        *(f"/v1/jobs/{evaluate}{part}" for part in ("", "/evaluations", "/evaluations.csv", "/report")),
        *(f"/v1/jobs/{train}/epochs", f"/v1/jobs/{train}/events"),
        f"/v1/compare?job={certify}&job={crowd.job('certify', 'succeeded', 1)}",
        *("/v1/datasets", f"/v1/datasets?cursor={_cursor('datasets', service)}", f"/v1/datasets/{crowd.datasets[0]}"),
        *("/v1/checkpoints", f"/v1/checkpoints/{crowd.checkpoints[0]}", "/v1/uploads", "/v1/uploads/file%200"),
        f"/v1/predictions/{crowd.job('urgent', 'succeeded')}",
    ]
    for path in paths:
        answer = service.client.get(path)
        assert answer.status_code in (200, 202), (path, answer.text[:500])
    service.client.get(f"/v1/blobs/{'0' * 63}1")
    service.client.get(f"/v1/blobs/{'f' * 64}")
    service.client.get(f"/v1/jobs/{crowd.job('train', 'queued')}?wait=0.01")
    service.client.get("/v1/jobs", headers=service.key("another"))


def _cursor(noun: str, service: Service) -> str:
    return str(service.client.get(f"/v1/{noun}?limit=1").json()["next_cursor"])


def _submissions(service: Service, crowd: Crowd) -> None:
    pair = {"dataset": crowd.datasets[0], "checkpoint": crowd.checkpoints[0]}
    cat_rs: dict[str, Any] = {"kind": "train", "architecture": "digits_cnn", "sigma": 0.25, "dataset": pair["dataset"]}
    vote = crowd.job("soft_labels", "succeeded")
    of_votes = {"dataset": service.job(vote).dataset_id}
    certified = service.job(crowd.job("certify", "succeeded"))
    of_it = {"dataset": certified.dataset_id, "checkpoint": certified.checkpoint_id}
    attack = {"name": "attack", "certificates": certified.id}
    bodies: list[dict[str, Any]] = [
        {"kind": "certify", **pair, "n": 1000, "inputs": {"count": 20}},
        {"kind": "certify", **of_it, "n": 1000, "seed": 99_999, "validate_only": True, "budget_seconds": 600},
        {"kind": "predict", **pair, "inputs": {"count": 20}},
        {"kind": "soft_labels", **pair, "n": 100},
        {"kind": "evaluate", **of_it, "evaluation": attack, "inputs": {"count": 5}},
        {"kind": "evaluate", **of_it, "evaluation": {"name": "over_confidence"}, "inputs": {"count": 5}},
        {"kind": "verify", "job": certified.id},
        {**cat_rs, "epochs": 1, "test_dataset": crowd.datasets[1], "start_from": crowd.checkpoints[0]},
        {**cat_rs, "epochs": 1, "method": {"name": "cat_rs"}},
        {**cat_rs, "epochs": 2, "method": {"name": "cat_rs"}},
        {**cat_rs, "epochs": 1, "method": {"name": "cat_rs", "soft_label_checkpoint": crowd.checkpoints[2]}},
        {**cat_rs, **of_votes, "epochs": 1, "method": {"name": "cat_rs", "soft_labels": vote}},
    ]
    for number, body in enumerate(bodies):
        answer = service.client.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"one {number}"})
        assert answer.status_code in (200, 202), (body, answer.text[:500])
        if body.get("evaluation", {}).get("certificates"):
            assert service.client.get(f"/v1/jobs/{answer.json()['id']}/report").status_code == 200
    last = answer.json()["id"]
    assert service.client.post(f"/v1/jobs/{last}/cancel").status_code == 202
    assert service.client.delete(f"/v1/jobs/{last}").status_code == 204
    assert service.client.delete(f"/v1/jobs/{crowd.job('certify', 'queued', 1)}").status_code == 409
    assert service.client.post(f"/jobs/{crowd.job('certify', 'queued', 2)}/cancel").status_code == 200
    assert service.client.post(f"/v1/jobs/{crowd.job('certify', 'running', 9)}/cancel").status_code == 202


def _uploads(service: Service, crowd: Crowd) -> None:
    client = service.client
    assert client.put("/v1/uploads/a.bin", content=b"a").status_code == 201
    assert client.put("/v1/uploads/a.bin", content=b"b").status_code in (200, 201)
    assert client.put("/v1/uploads/c.bin", content=b"c").status_code == 201
    begun = client.post("/v1/uploads", json={"name": "parts.bin", "size": 1, "sha256": f"{1:064x}"}).json()
    client.post("/v1/uploads", json={"name": "parts.bin", "size": 1, "sha256": f"{1:064x}"})
    sent = client.put(f"/v1/uploads/{begun['id']}/parts/0", content=b"p")
    assert sent.status_code in (200, 201), sent.text
    assert client.get(f"/v1/uploads/{begun['id']}/parts").status_code == 200
    client.post(f"/v1/uploads/{begun['id']}/complete", json={})
    damaged = client.post("/v1/uploads", json={"name": "damaged.bin", "size": 1}).json()
    client.put(f"/v1/uploads/{damaged['id']}/parts/0", content=b"p")
    multipart_uploads.path_of(service.settings.blobs, damaged["id"], 0).write_bytes(b"q")
    client.post(f"/v1/uploads/{damaged['id']}/complete", json={})
    whole = client.post("/v1/uploads", json={"name": "whole.bin", "size": 1}).json()
    client.put(f"/v1/uploads/{whole['id']}/parts/0", content=b"p")
    done = client.post(f"/v1/uploads/{whole['id']}/complete", json={})
    assert done.status_code in (200, 201), done.text
    other = client.post("/v1/uploads", json={"name": "other.bin", "size": 9}).json()
    assert client.delete(f"/v1/uploads/{other['id']}/parts").status_code == 204
    tsv = client.get(f"/v1/jobs/{crowd.job('certify', 'succeeded')}/certificates.tsv").content
    client.put("/v1/uploads/theirs.tsv", content=tsv)
    assert client.get("/v1/compare?file=theirs.tsv").status_code == 200
    made = client.post("/v1/datasets", json={"name": "d", "files": ["a.bin"]})
    assert made.status_code == 202, made.text
    model = client.post("/v1/checkpoints", json={"name": "m", "files": ["c.bin"], "architecture": "digits_cnn"})
    assert model.status_code == 202, model.text
    assert client.delete("/v1/uploads/whole.bin").status_code == 204
    assert client.delete(f"/v1/datasets/{crowd.datasets[1]}").status_code in (204, 409)
    assert client.delete(f"/v1/checkpoints/{crowd.checkpoints[1]}").status_code in (204, 409)
    mine = client.post("/v1/datasets", json={"name": "e", "files": ["a.bin"]}).json()
    client.post(f"/v1/jobs/{mine['job']}/cancel")
    with service.database.write() as session:
        session.execute(update(Dataset).where(Dataset.id == mine["id"]).values(state="ready"))
    assert client.delete(f"/v1/datasets/{mine['id']}").status_code == 204


def _predictions(service: Service, crowd: Crowd) -> None:
    """Without the process that decodes images: what follows it is what asks the database."""
    query = {"checkpoint": crowd.checkpoints[0], "n": 100}
    headers = {"Idempotency-Key": "another key"}
    answer = service.client.post("/v1/predictions?wait=0", params=query, content=b"no image", headers=headers)
    assert answer.status_code in (415, 422, 429), answer.text
    given = predict_images.Images(pixels=np.zeros((1, *SHAPE), np.uint8), query=predict_images.PredictionQuery(**query))
    roomy = service.settings.model_copy(update={"tenant_predictions": 10_000})
    made, _ = predict_images.submit(service.database, roomy, crowd.tenant, given, "a key")
    predict_images.submit(service.database, roomy, crowd.tenant, given, "a key")
    service.client.get(f"/v1/predictions/{made}?wait=0.01")
    little = service.settings.model_copy(update={"tenant_kept_predictions": 100})
    predict_images.make_room(service.database, little, crowd.tenant)


def worker(service: Service, crowd: Crowd) -> None:
    """A worker's life: it claims, commits in every way there is, makes way, and hands back."""
    database, settings = service.database, service.settings
    slot = WorkerSlot(settings=settings, database=database, environment={"device_type": "cpu", "provenance": MACHINE})
    slot.register()
    slot.register()
    slot._waiting()
    slot.count(counters.WRITES_REFUSED)
    claims = [_claimed(database, others_first=bool(number % 2)) for number in range(8)]
    _commit_everything(service, [claim for claim in claims if claim is not None])
    with mock.patch.object(row_statistics, "LARGE", 1):
        _in_turns(service, crowd)
    for kind in registry.KINDS:
        _one_of(service, crowd, kind)
    _waiting_for_votes(service, crowd)
    end(slot)


def _claimed(database: Any, *, others_first: bool = False) -> Claim | None:
    with database.write() as session:
        return shards.claim(session, lease=60, others_first=others_first, **HOW)


def _commit_everything(service: Service, claims: list[Claim]) -> None:
    """One of each ending, whatever the claims are about."""
    done = {"type": "done"}
    endings = [
        commit.GOES_ON,
        commit.ShardEnding(release=True),
        commit.ShardEnding(done=done | {"more": True}),
        commit.ShardEnding(failed={"detail": "x"}, retry=True),
        commit.ShardEnding(failed={"detail": "x"}),
        commit.ShardEnding(smaller={"forward_batch": 8}),
        commit.ShardEnding(alone=True),
        commit.ShardEnding(no_room={"detail": "full"}),
    ]
    for claim, ending in zip(claims, endings, strict=True):
        pending = commit.PendingResults(kind=registry.KINDS[claim.kind], turn=1, at={0: 0})
        _in_transaction(
            service, lambda s, c=claim, p=pending, e=ending: commit.write(s, service.settings, c, p, 1.0, e)
        )  # type: ignore[misc]


def _in_turns(service: Service, crowd: Crowd) -> None:
    """An urgent job by the sampling `anytime`, whose certificates take the place of earlier ones, and have a digest."""
    job_id = crowd.job("urgent", "queued", 5)
    with service.database.write() as session:
        job = session.get_one(Job, job_id)
        job.spec = replace(job.spec, sampling="anytime", n=10_000)
    claim = replace(claim_of(service, job_id), urgent=True)
    for n in (1000, 2000):
        found = [over_http.certificate(index, claim.spec, n) for index in range(2)]
        pending = commit.PendingResults(kind=registry.KINDS[claim.kind], records=found)
        _in_transaction(service, lambda s, p=pending: commit.write(s, service.settings, claim, p, 1.0))  # type: ignore[misc]
    assert task_message.task(service.database, service.settings, claim, beat=lambda: None)["done"] == []
    assert service.client.get(f"/v1/jobs/{job_id}/report").status_code == 200


def _in_transaction(service: Service, work: Callable[[Session], object]) -> None:
    with service.database.write() as session:
        work(session)


def _one_of(service: Service, crowd: Crowd, kind: str) -> None:
    """A part of a job of that kind, with everything that its child may send."""
    database, settings, kind_of = service.database, service.settings, registry.KINDS[kind]
    claim = claim_of(service, crowd.job(kind, "queued", 5))
    with database.write() as session:
        task_message.files_of(session, session.get_one(Job, claim.job_id))
        kind_of.standing(session, claim)
        shards.agree(session, claim, {"batch_size": 10, "compiled": False})
        urgent_jobs.waits(session, claim, 0, "cpu")
        urgent_jobs.calls(session, claim, 0, "cpu")
    pending = commit.PendingResults(kind=kind_of, forced=64, at={3: 1})
    if kind == "certify":
        pending.records = [over_http.certificate(i, replace(claim.spec, n=100, n0=10)) for i in range(2)]
        pending.progress = {2: {"index": 2, "votes": {"0": {"drawn": 5, "counts": [5]}}, "seconds": 1.0}}
    elif kind in ("predict", "soft_labels"):
        pending.records = [replace(over_http.prediction(i, claim.spec), batch_size=8) for i in (0, 1)]
    elif kind == "evaluate":
        pending.records = [EvaluationRecord(index=0, label=1, seed=0, error="x")]
    elif kind == "train":
        pending.epochs, pending.work_done = [_epoch()], 10
        pending.snapshots = [{"sealed": _sealed(settings.blobs, b"snapshot"), "place": {"epoch": 1}}]
    if kind == "convert":
        with database.read() as session:
            job = session.get_one(Job, claim.job_id)
        kind_of.prepared(database, settings, job, lambda: None)
        with database.write() as session:
            session.execute(update(Dataset).where(Dataset.id == claim.spec.dataset).values(state="pending"))
    made = {"columns": {}, "sealed": _sealed(settings.blobs, kind.encode())}
    done: dict[str, Any] = {"train": {"made": made}, "convert": {"made": made}}.get(kind, {})
    if kind == "verify":
        done = {"recomputed": audits.recomputed(database, settings.blobs, _ready_audit(service, claim), lambda: None)}
        with database.read() as session:
            audits.evidence(session, session.get_one(Job, claim.job_id))
    _in_transaction(service, lambda session: commit.write(session, settings, claim, pending, 1.0))
    if kind in ("certify", "predict", "evaluate"):
        claim_died = commit.PendingResults(kind=kind_of, at={4: 1}, death="was killed", killed=True)
        _in_transaction(service, lambda session: commit.write(session, settings, claim, claim_died, 1.0))
        again = claim_of(service, claim.job_id)
        _in_transaction(
            service,
            lambda s: (
                results.count_failure(s, again.job_id),
                registry.store_failure(s, again.job_id, 9, 1, "x"),
            ),
        )
        claim = again
    ending = commit.ShardEnding(done={"type": "done", **done})
    _in_transaction(
        service,
        lambda session: commit.write(session, settings, claim, commit.PendingResults(kind=kind_of), 1.0, ending),
    )
    with database.read() as session:
        shards.awakened(session, claim.job_id)
        if kind_of.rows is not None:
            result_rows.done_among(session, kind_of.rows.table, claim.job_id, [0, 1])


def claim_of(service: Service, job_id: str) -> Claim:
    """A claim on a part of one job, as if it had been the next in the queue."""
    with service.database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(needs_id=None, deadline=None))
        jobs.change(session, job_id, jobs.RUNNING)
        job = session.get_one(Job, job_id, populate_existing=True)
        shard = session.scalars(select(Shard).where(Shard.job_id == job_id).limit(1)).one()
        shard.state, shard.fence, shard.lease_until = "leased", shard.fence + 1, clock.clock() + 60
        session.flush()
        session.refresh(shard)
        spec = job.spec
        place = {"number": shard.number, "fence": shard.fence, "first": shard.first, "stop": shard.stop}
        return Claim(
            job_id=job_id, tenant_id=job.tenant_id, owner="me", kind=job.kind, spec=spec, execution={}, **place,
            resume=shard.resume, attempt=1,
        )  # fmt: skip


def _epoch() -> dict[str, Any]:
    made = {"epoch": 77, "steps": 1, "learning_rate": 0.1, "loss": 1.0, "terms": {}, "accuracy": 0.5}
    return made | {"test_accuracy": None, "certification": None, "seconds": 1.0}


def _sealed(root: Any, content: bytes) -> dict[str, Any]:
    with blob_files.writing(root) as writer:
        writer.write(content)
        sealed = writer.seal()
    return {"sha256": sealed.sha256, "size": sealed.size, "path": str(sealed.path)}


def _ready_audit(service: Service, claim: Claim) -> Job:
    """The audit's job, whose data set has a file to read labels from."""
    path = blob_files.new_path(service.settings.blobs)
    data = Data(
        images=np.zeros((200, *SHAPE), np.uint8),
        labels=np.arange(200) % 10,
        class_names=tuple(str(label) for label in range(10)),
        name="audited",
    )
    dataset_file.save(data, path)
    sealed = blob_files.seal_file(path)
    with service.database.write() as session:
        audit = session.get_one(Job, claim.job_id)
        audited = session.get_one(Job, audit.spec.job)
        resources.put_blob(session, service.settings.blobs, sealed)
        session.execute(update(Dataset).where(Dataset.id == audited.dataset_id).values(sha256=sealed.sha256))
        return audit


def _waiting_for_votes(service: Service, crowd: Crowd) -> None:
    """A training that learns from votes: the file is made of their rows."""
    voting = service.job(crowd.job("soft_labels", "succeeded", 3))
    training = service.job(crowd.job("train", "queued", 7))
    with service.database.write() as session:
        training.needs_id = voting.id
        assert soft_label_files.needed_by(session, training) is not None
    voting.output = None
    training.spec = replace(training.spec, inputs=Selection(count=5))
    soft_label_files.file_for(service.database, service.settings, training, voting, lambda: None)


def _housekeeping(service: Service) -> None:
    database, settings = service.database, service.settings
    with database.write() as session:
        some = select(Shard.job_id).where(Shard.state == "leased").limit(3)
        session.execute(update(Shard).where(Shard.job_id.in_(some), Shard.state == "leased").values(lease_until=1.0))
        late = select(Job.id).where(Job.state == "queued", Job.kind == "certify").limit(3)
        session.execute(update(Job).where(Job.id.in_(late)).values(deadline=1.0))
        needed = session.scalar(select(Job.needs_id).where(Job.state == "queued", Job.needs_id.is_not(None)).limit(1))
        jobs.cancel(session, str(needed))
    housekeeping.recover_once(database, settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
    with database.write() as session:
        resources.expire_uploads(session, 1000.0)
        multipart_uploads.expire(session, 1000.0)
        tenants.forget_device_time(session)
        tenants.forget_requests(session)
        urgent_jobs.forget(session, -1.0)
        queue_stats.services(session)
        resources.collect(session, settings.blobs)
    housekeeping.delete_expired_once(database, settings.model_copy(update={"prediction_ttl": 1e9}))
    orphan = blob_files.path_of(settings.blobs, "f" * 64)
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"")
    resources.collect_orphans(database, settings.blobs, older_than=-1.0)
    orphan.unlink(missing_ok=True)
