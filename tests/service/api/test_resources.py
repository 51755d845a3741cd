"""Data sets and checkpoints over HTTP."""

import threading
import time
from typing import Any

from tests_support.over_http import Service

from radii.worker.store import jobs


def test_a_data_set_is_pending_with_the_job_that_makes_it(either: Service) -> None:
    sha256 = either.client.put("/v1/uploads/digits.npz", content=b"bytes").json()["sha256"]
    body = {"name": "digits", "files": ["digits.npz"], "class_names": ["a", "b"]}
    answer = either.client.post("/v1/datasets", json=body)
    assert answer.status_code == 202
    made = answer.json()
    assert made["state"] == "pending"
    assert made["source"] == {
        "format": None,
        "files": [{"name": "digits.npz", "sha256": sha256}],
        "builtin": None,
    }
    assert either.client.get(answer.headers["Location"]).json() == made
    job = either.client.get(f"/v1/jobs/{made['job']}").json()
    assert (job["kind"], job["dataset"]) == ("convert", made["id"])
    assert job["spec"]["source"] == made["source"]


def test_a_builtin_data_set_needs_no_upload(service: Service) -> None:
    made = service.client.post("/v1/datasets", json={"name": "digits", "builtin": "digits"}).json()
    assert (made["source"]["format"], made["source"]["builtin"], made["source"]["files"]) == ("builtin", "digits", [])


def test_what_is_said_of_a_checkpoint_reaches_its_conversion(service: Service) -> None:
    service.client.put("/v1/uploads/model.pt", content=b"bytes")
    said: dict[str, Any] = {
        "architecture": "lenet",
        "num_classes": 10,
        "input_shape": [1, 28, 28],
        "normalization": {"mean": [0.5], "std": [0.25]},
        "sigma": 0.5,
        "method": "gaussian",
    }
    made = service.client.post("/v1/checkpoints", json={"name": "m", "file": "model.pt", **said}).json()
    source = service.client.get(f"/v1/jobs/{made['job']}").json()["spec"]["source"]
    assert source == said | {"files": [{"name": "model.pt", "sha256": source["files"][0]["sha256"]}]}


def test_what_becomes_of_a_data_set_is_told(service: Service) -> None:
    ready = service.client.get(f"/v1/datasets/{service.dataset()}").json()
    assert (ready["state"], ready["count"], ready["shape"], ready["num_classes"]) == ("ready", 200, [1, 8, 8], 10)
    rejected = service.client.get(f"/v1/datasets/{service.dataset(state='rejected')}").json()
    assert (rejected["state"], rejected["problem"]["detail"]) == (
        "rejected",
        "The data set cannot be read: it is empty.",
    )


def test_deleting_is_refused_while_an_active_job_needs_it(either: Service) -> None:
    dataset, checkpoint = either.dataset(), either.checkpoint()
    body = {"kind": "predict", "dataset": dataset, "checkpoint": checkpoint}
    job_id = either.client.post("/v1/jobs", json=body).json()["id"]
    for path in (f"/v1/datasets/{dataset}", f"/v1/checkpoints/{checkpoint}"):
        refused = either.client.delete(path)
        assert (refused.status_code, refused.json()["jobs"]) == (409, [job_id])
        assert job_id in refused.json()["detail"]
    either.client.post(f"/v1/jobs/{job_id}/cancel")
    for path in (f"/v1/datasets/{dataset}", f"/v1/checkpoints/{checkpoint}"):
        assert either.client.delete(path).status_code == 204
        assert either.client.get(path).status_code == 404
        assert either.client.delete(path).status_code == 404
    assert either.client.get("/v1/datasets").json()["items"] == []
    assert either.client.get(f"/v1/jobs/{job_id}").status_code == 200


def test_lists_are_pages_of_ones_own(service: Service) -> None:
    made = sorted((service.checkpoint() for _ in range(3)), reverse=True)
    first = service.client.get("/v1/checkpoints", params={"limit": 2}).json()
    rest = service.client.get("/v1/checkpoints", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in first["items"] + rest["items"]] == made
    assert rest["next_cursor"] is None


def test_architectures_and_methods_are_told(service: Service) -> None:
    architectures = {row["name"]: row for row in service.client.get("/v1/architectures").json()["items"]}
    assert architectures["cifar_resnet110"]["input_shape"] == [3, 32, 32]
    methods = {row["name"]: row for row in service.client.get("/v1/methods").json()["items"]}
    assert methods["gaussian"]["hyper_parameters"]["properties"]["name"]["default"] == "gaussian"
    assert "Cohen" in methods["gaussian"]["description"]


def test_waiting_for_a_data_set_ends_when_its_conversion_does(service: Service) -> None:
    made = service.client.post("/v1/datasets", json={"name": "digits", "builtin": "digits"}).json()

    def convert() -> None:
        with service.database.write() as session:
            jobs.fail(session, made["job"], {"title": "No.", "status": 422, "type": "x", "detail": "It is broken."})

    worker = threading.Timer(0.3, convert)
    began = time.monotonic()
    worker.start()
    body = service.client.get(f"/v1/datasets/{made['id']}", params={"wait": 30}).json()
    worker.join()
    assert (body["state"], body["problem"]["detail"]) == ("rejected", "It is broken.")
    assert 0.2 < time.monotonic() - began < 15


def test_waiting_for_a_checkpoint_ends_when_the_time_is_up(service: Service) -> None:
    service.client.put("/v1/uploads/model.pt", content=b"bytes")
    made = service.client.post("/v1/checkpoints", json={"name": "m", "file": "model.pt"}).json()
    began = time.monotonic()
    assert service.client.get(f"/v1/checkpoints/{made['id']}", params={"wait": 0.5}).json()["state"] == "pending"
    assert 0.4 < time.monotonic() - began < 10


def test_class_names_that_no_database_can_hold_are_refused(either: Service) -> None:
    body = {"name": "digits", "builtin": "digits", "class_names": ["a\u0000", "b"]}
    answer = either.client.post("/v1/datasets", json=body)
    assert answer.status_code == 422
    assert "class_names" in answer.json()["detail"]
