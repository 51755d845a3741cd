"""Lists carry summaries: no field in them grows with what a user has sent, and all of it can be read elsewhere."""

import json
from typing import Any

import pytest
from tests_support.over_http import Service

from radii.rs_core.records import Certificate
from radii.service.api import row_responses
from radii.worker import task_message
from radii.worker.store import certificate_rows, resources
from radii.worker.store.models.tables import Dataset
from radii.worker.store.specifications import dump_spec

NAMES = [f"class {number} " + "x" * 180 for number in range(2_500)]
FEW_KIB = 8 * 2**10


def test_a_list_of_datasets_leaves_class_names_and_long_lists_of_files_out(either: Service) -> None:
    files = [{"name": f"{number}.npz", "sha256": "a" * 64} for number in range(100)]
    source = {"format": "npz", "files": files, "class_names": NAMES}
    for _ in range(3):
        either.dataset(class_names=NAMES, num_classes=len(NAMES), source=source)
    answer = either.client.get("/v1/datasets")
    assert answer.status_code == 200 and len(answer.content) < 3 * FEW_KIB
    for item in answer.json()["items"]:
        assert (item["class_names"], item["num_classes"]) == (None, 2_500)
        assert "class_names" not in item["source"]
        assert item["source"]["files"] == files[:3] and item["source"]["more_files"] == 97


def test_a_dataset_shows_the_first_class_names_and_a_list_has_all_of_them(either: Service) -> None:
    dataset = either.dataset(class_names=NAMES, num_classes=len(NAMES))
    assert either.client.get(f"/v1/datasets/{dataset}").json()["class_names"] == NAMES[:1_000]
    assert either.connected().class_names(dataset) == NAMES
    pages = either.client.get(f"/v1/datasets/{dataset}/class_names", params={"limit": 900}).json()
    assert pages["items"] == NAMES[:900]
    few = either.dataset(class_names=["a", "b"])
    assert either.client.get(f"/v1/datasets/{few}/class_names").json() == {"items": ["a", "b"], "next_cursor": None}


def test_class_names_are_their_tenants(locked: Service) -> None:
    dataset, checkpoint = locked.dataset(tenant="one"), locked.checkpoint(tenant="one")
    for path in (f"/v1/datasets/{dataset}/class_names", f"/v1/checkpoints/{checkpoint}/class_names"):
        assert locked.client.get(path, headers=locked.key("one")).status_code == 200
        assert locked.client.get(path, headers=locked.key("two")).status_code == 404


def test_a_list_of_checkpoints_leaves_their_records_out(either: Service) -> None:
    checkpoint = either.checkpoint(info={"class_names": NAMES, "provenance": {"log": "x" * 60_000}})
    answer = either.client.get("/v1/checkpoints")
    assert len(answer.content) < FEW_KIB and answer.json()["items"][0]["info"] is None
    shown = either.client.get(f"/v1/checkpoints/{checkpoint}").json()["info"]
    assert shown["class_names"] == NAMES[:1_000] and len(shown["provenance"]["log"]) == 60_000
    assert either.connected().class_names(checkpoint) == NAMES


def test_a_conversion_shows_no_long_list_of_class_names(service: Service) -> None:
    service.client.put("/v1/uploads/d.npz", content=b"x")
    made = service.client.post("/v1/datasets", json={"name": "d", "files": ["d.npz"], "class_names": NAMES})
    assert made.status_code == 202 and "class_names" not in made.json()["source"]
    job = service.client.get(f"/v1/jobs/{made.json()['job']}").json()
    assert "class_names" not in job["spec"]["source"]
    assert service.client.get(f"/v1/datasets/{made.json()['id']}").json()["class_names"] == NAMES[:1_000]
    for path in ("/v1/jobs", "/jobs"):
        answer = service.client.get(path)
        assert answer.status_code == 200 and NAMES[0] not in answer.text
    claim = service.claim()
    assert claim is not None and "class_names" not in dump_spec(claim.spec)["source"]
    task = task_message.task(service.database, service.settings, claim, beat=lambda: None)
    assert task["class_names"] == NAMES, "the worker gets all of them"


def test_class_names_are_not_even_read_where_they_are_not_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        service.client.put(f"/v1/uploads/{number}.npz", content=str(number).encode())
        body = {"name": "d", "files": [f"{number}.npz"], "class_names": NAMES}
        assert service.client.post("/v1/datasets", json=body).status_code == 202
        service.checkpoint(info={"class_names": NAMES})
    service.client.put("/v1/uploads/spare.npz", content=b"spare")
    read: list[int] = []

    def loads(text: str) -> Any:
        read.append(len(text))
        return json.loads(text)

    dialect = service.database.engine.dialect
    monkeypatch.setattr(dialect, "_json_deserializer", loads, raising=False)
    dialect._type_memos.clear()
    for path in ("/v1/jobs?kind=convert", "/v1/datasets", "/v1/checkpoints", "/jobs", "/v1/usage"):
        assert service.client.get(path).status_code == 200
    assert read and service.client.delete("/v1/uploads/0.npz").status_code == 409
    assert service.client.delete("/v1/uploads/spare.npz").status_code == 204
    with service.database.write() as session:
        resources.expire_uploads(session, 0.0)
        resources.discard(session, service.settings.blobs, "a" * 64)
        resources.collect(session, service.settings.blobs)
    assert max(read) < FEW_KIB


def test_a_stored_problem_of_an_older_version_is_cut(service: Service) -> None:
    fault = {"location": "a", "expected": "b", "got": "c"}
    problem = {"detail": "x" * 10**6, "expected": "y" * 10**6, "errors": [fault] * 10_000}
    dataset = service.dataset(state="rejected")
    with service.database.write() as session:
        session.get_one(Dataset, dataset).problem = problem
    for path in ("/v1/datasets", f"/v1/datasets/{dataset}"):
        answer = service.client.get(path)
        assert answer.status_code == 200 and len(answer.content) < FEW_KIB


def test_a_page_of_rows_with_many_classes_is_shorter(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = service.finished()
    monkeypatch.setattr(row_responses, "MOST_NUMBERS", 5 * 20)  # each row has 10 + 10 counts
    page = service.client.get(f"/v1/jobs/{job_id}/certificates", params={"limit": 1000}).json()
    assert [row["index"] for row in page["items"]] == [0, 1, 2, 3, 4] and page["next_cursor"]
    rows = list(service.connected().http.items(f"/v1/jobs/{job_id}/certificates"))
    assert [row["index"] for row in rows] == list(range(20))
    monkeypatch.setattr(row_responses, "MOST_NUMBERS", 1)
    page = service.client.get(f"/v1/jobs/{job_id}/certificates").json()
    assert len(page["items"]) == 1 and page["next_cursor"]
    with service.database.read() as session:
        assert isinstance(next(iter(certificate_rows.read(session, job_id, after=-1, limit=1))), Certificate)
