"""Jobs over HTTP: submit, check only, poll, wait, list, cancel, delete."""

import threading
import time
from typing import Any

import pytest
from tests_support.over_http import Service

from radii.worker.store import jobs, results, shards
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.models.tables import Job, Shard


def test_a_submitted_job_can_be_seen_at_its_location(either: Service) -> None:
    answer = either.client.post("/v1/jobs", json=either.certify())
    assert answer.status_code == 202
    assert int(answer.headers["Retry-After"]) > 0
    seen = either.client.get(answer.headers["Location"])
    assert seen.status_code == 200
    assert seen.json() == answer.json()
    assert seen.json()["state"] == "queued"
    assert seen.json()["progress"] | {"work_total": 0} == {
        "done": 0,
        "total": 20,
        "unit": "inputs",
        "work_done": 0,
        "work_total": 0,
        "work_unit": "noise samples",
        "fraction": 0.0,
        "rate": None,
        "eta_seconds": None,
        "device_seconds": 0.0,
    }
    assert seen.json()["progress"]["work_total"] == 20 * 1100


def test_the_specification_comes_back_with_every_default_and_the_checkpoints_sigma(service: Service) -> None:
    spec = service.client.post("/v1/jobs", json=service.certify()).json()["spec"]
    assert (spec["n0"], spec["alpha"], spec["sigma"], spec["seed"]) == (100, 0.001, 0.25, 0)
    assert "validate_only" not in spec


def test_checking_only_estimates_and_makes_nothing(service: Service) -> None:
    answer = service.client.post("/v1/jobs", json=service.certify(validate_only=True))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["valid"], body["inputs"], body["work"]) == (True, 20, 22_000)
    assert body["shards"] >= 1
    assert body["estimated_seconds"] > 0
    assert body["spec"]["sigma"] == 0.25
    assert service.client.get("/v1/jobs").json()["items"] == []


def test_a_training_job_names_the_pending_checkpoint_that_it_will_make(service: Service) -> None:
    body = {"kind": "train", "dataset": service.dataset(), "architecture": "digits_cnn", "sigma": 0.5, "name": "mine"}
    job = service.client.post("/v1/jobs", json=body).json()
    checkpoint = service.client.get(f"/v1/checkpoints/{job['checkpoint']}").json()
    assert (checkpoint["name"], checkpoint["state"], checkpoint["job"]) == ("mine", "pending", job["id"])
    refused = service.client.delete(f"/v1/checkpoints/{job['checkpoint']}")
    assert refused.status_code == 409
    assert refused.json()["jobs"] == [job["id"]]
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert service.client.get(f"/v1/checkpoints/{job['checkpoint']}").json()["state"] == "rejected"


def test_progress_counts_the_unfinished_input_and_tells_rate_and_time_left(service: Service) -> None:
    job_id = service.submitted()
    assert service.work(job_id, most=2) == 2
    with service.database.write() as session:
        votes = {"1": {"drawn": 550, "counts": [550]}}
        results.store_progress(session, job_id, 2, votes, 0.25)
    progress = service.client.get(f"/v1/jobs/{job_id}").json()["progress"]
    assert (progress["done"], progress["work_done"]) == (2, 2750)
    assert progress["fraction"] == pytest.approx(2750 / 22_000)
    assert progress["rate"] == pytest.approx(2750)  # one device second so far, one worker
    assert progress["eta_seconds"] == pytest.approx((22_000 - 2750) / 2750)


def test_running_sums_are_over_all_inputs_and_over_those_done(service: Service) -> None:
    job_id = service.submitted()
    service.work(job_id, most=4)
    summary = service.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    rows = service.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"]
    total = sum(row["radius"] for row in rows if row["correct"])
    assert summary["partial"] is True
    assert (summary["inputs_done"], summary["inputs_total"]) == (4, 20)
    assert summary["acr"] == pytest.approx(total / 20)
    assert summary["acr_over_done"] == pytest.approx(total / 4)
    first = summary["certified_accuracy"][0]
    assert (first["radius"], first["count"]) == (0.0, 4)
    assert (first["certified_accuracy"], first["certified_accuracy_over_done"]) == (0.2, 1.0)


def test_abstentions_stay_in_the_denominator(service: Service) -> None:
    summary = service.client.get(f"/v1/jobs/{service.finished()}").json()["summary"]
    assert summary["abstained"] == 4
    assert summary["certified_accuracy"][0]["certified_accuracy"] == summary["correct"] / 20
    assert summary["partial"] is False


def test_an_unchanged_job_is_304_and_a_changed_one_is_not(service: Service) -> None:
    job_id = service.submitted()
    etag = service.client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    unchanged = service.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": f'"other", {etag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    service.work(job_id, most=1)
    assert service.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": etag}).status_code == 200


def test_waiting_ends_when_the_job_does(service: Service) -> None:
    job_id = service.submitted()
    worker = threading.Timer(0.3, lambda: service.work(job_id))
    began = time.monotonic()
    worker.start()
    body = service.client.get(f"/v1/jobs/{job_id}", params={"wait": 30}).json()
    worker.join()
    assert body["state"] == "succeeded"
    assert 0.2 < time.monotonic() - began < 15


def test_waiting_ends_when_the_time_is_up(service: Service) -> None:
    job_id = service.submitted()
    began = time.monotonic()
    body = service.client.get(f"/v1/jobs/{job_id}", params={"wait": 0.5}).json()
    assert body["state"] == "queued"
    assert 0.4 < time.monotonic() - began < 10


def test_many_may_wait_and_others_are_served_meanwhile(service: Service) -> None:
    job_id = service.submitted()
    states: list[str] = []

    def wait() -> None:
        states.append(service.client.get(f"/v1/jobs/{job_id}", params={"wait": 30}).json()["state"])

    waiting = [threading.Thread(target=wait) for _ in range(60)]  # more than there are threads for routes (40)
    for thread in waiting:
        thread.start()
    began = time.monotonic()
    assert service.client.get("/v1/jobs").status_code == 200
    assert time.monotonic() - began < 10
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    for thread in waiting:
        thread.join(timeout=20)
    assert states == ["cancelled"] * 60


def test_waiting_for_a_job_that_is_deleted_ends(service: Service) -> None:
    job_id = service.submitted()

    def delete() -> None:
        service.client.post(f"/v1/jobs/{job_id}/cancel")
        service.client.delete(f"/v1/jobs/{job_id}")

    timer = threading.Timer(0.2, delete)
    timer.start()
    assert service.client.get(f"/v1/jobs/{job_id}", params={"wait": 20}).status_code in (200, 404)
    timer.join()


def test_pages_hold_every_job_once_newest_first(either: Service) -> None:
    dataset = either.dataset()
    made = [either.submitted(dataset=dataset) for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = either.client.get("/v1/jobs", params={"limit": 2, **cursor}).json()
        seen += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(made, reverse=True)


def test_lists_can_be_narrowed_and_hide_conversions(service: Service) -> None:
    job_id = service.submitted()
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    other = service.submitted()

    def ids(**query: Any) -> list[str]:
        return [job["id"] for job in service.client.get("/v1/jobs", params=query).json()["items"]]

    assert ids() == [other, job_id]
    assert ids(state="cancelled") == [job_id]
    assert ids(kind="train") == []
    assert len(ids(kind="convert")) == 4


def test_cancelling_a_queued_job_ends_it_and_a_second_time_changes_nothing(service: Service) -> None:
    job_id = service.submitted()
    first = service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (first.status_code, first.json()["state"]) == (202, "cancelled")
    second = service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (second.status_code, second.json()) == (200, first.json())


def test_a_running_job_is_cancelling_until_its_worker_stops_and_keeps_its_results(service: Service) -> None:
    job_id = service.submitted()
    claim = service.claim()
    assert claim is not None
    answer = service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelling")
    with service.database.write() as session:
        shards.release(session, claim)
    assert service.client.get(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"


def test_deleting_takes_the_rows_along_and_is_refused_while_active(either: Service) -> None:
    job_id = either.submitted()
    refused = either.client.delete(f"/v1/jobs/{job_id}")
    assert (refused.status_code, refused.json()["jobs"]) == (409, [job_id])
    assert "one that is queued" in refused.json()["detail"]
    either.work(job_id)
    assert either.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert either.client.get(f"/v1/jobs/{job_id}").status_code == 404
    with either.database.read() as session:
        assert session.query(CertificateRow).filter_by(job_id=job_id).count() == 0


def test_a_training_jobs_epochs_are_told_in_order(service: Service) -> None:
    body = {"kind": "train", "dataset": service.dataset(), "architecture": "digits_cnn", "sigma": 0.5, "epochs": 2}
    job = service.client.post("/v1/jobs", json=body).json()
    metric = {"steps": 1, "learning_rate": 0.1, "terms": {"cross_entropy": 2.0}, "test_accuracy": None, "seconds": 1.0}
    with service.database.write() as session:
        for epoch, loss in ((1, 2.0), (2, 1.5)):
            results.store_epoch(session, job["id"], metric | {"epoch": epoch, "loss": loss, "accuracy": 0.5})
    found = service.client.get(f"/v1/jobs/{job['id']}/epochs").json()["items"]
    assert [(row["epoch"], row["loss"]) for row in found] == [(1, 2.0), (2, 1.5)]
    summary = service.client.get(f"/v1/jobs/{job['id']}").json()["summary"]
    assert (summary["kind"], summary["loss"], summary["epochs_done"]) == ("train", 1.5, 2)


def test_a_failed_job_tells_its_problem(service: Service) -> None:
    job_id = service.submitted()
    with service.database.write() as session:
        jobs.fail(session, job_id, {"type": "urn:radii:problem:x", "title": "T.", "status": 422, "detail": "Why."})
    body = service.client.get(f"/v1/jobs/{job_id}").json()
    assert (body["state"], body["problem"]["detail"]) == ("failed", "Why.")
    assert body["finished"] is not None


def test_bells_ring_after_the_commit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = service.certify()
    seen: list[int] = []

    def ring(settings: object, count: int = 1) -> None:
        with service.database.read() as session:  # as a worker would look
            assert session.query(Job).filter_by(kind="certify").count() == 1
        seen.append(count)

    monkeypatch.setattr("radii.worker.queue.broker.wake_workers", ring)
    job_id = service.client.post("/v1/jobs", json=body).json()["id"]
    with service.database.read() as session:
        assert seen == [session.query(Shard).filter_by(job_id=job_id).count()]
