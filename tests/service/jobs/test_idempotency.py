"""Idempotency keys: one thing is made, however often and at whatever moment it is asked for."""

import threading
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session
from tests_support import things
from tests_support.over_http import Service

from radii.service.errors import QuotaExceeded
from radii.service.jobs.idempotency import once
from radii.worker.store.database import Database


def test_a_repeated_request_is_answered_with_the_same_job(either: Service) -> None:
    body, key = either.certify(), {"Idempotency-Key": "once"}
    first = either.client.post("/v1/jobs", json=body, headers=key)
    second = either.client.post("/v1/jobs", json=dict(reversed(body.items())), headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]


def test_a_key_with_another_body_is_refused(service: Service) -> None:
    body, key = service.certify(), {"Idempotency-Key": "once"}
    service.client.post("/v1/jobs", json=body, headers=key)
    for other in (body | {"seed": 1}, {"name": "d", "builtin": "digits"}):
        path = "/v1/jobs" if "kind" in other else "/v1/datasets"
        refused = service.client.post(path, json=other, headers=key)
        assert refused.status_code == 422
        assert "the request that this key came with first" in refused.json()["detail"]


def test_a_repetition_is_answered_though_the_data_set_is_gone(service: Service) -> None:
    body, key = service.certify(), {"Idempotency-Key": "once"}
    job_id = service.client.post("/v1/jobs", json=body, headers=key).json()["id"]
    service.work(job_id)
    assert service.client.delete(f"/v1/datasets/{body['dataset']}").status_code == 204
    assert service.client.post("/v1/jobs", json=body, headers=key).json()["id"] == job_id


def test_a_deleted_job_lets_go_of_its_key(service: Service) -> None:
    body, key = service.certify(), {"Idempotency-Key": "once"}
    job_id = service.client.post("/v1/jobs", json=body, headers=key).json()["id"]
    service.work(job_id)
    service.client.delete(f"/v1/jobs/{job_id}")
    again = service.client.post("/v1/jobs", json=body, headers=key)
    assert again.status_code == 202
    assert again.json()["id"] != job_id


def test_a_refused_request_leaves_its_key_free(service: Service) -> None:
    key = {"Idempotency-Key": "once"}
    assert service.client.post("/v1/datasets", json={"name": "d", "files": ["x"]}, headers=key).status_code == 422
    service.client.put("/v1/uploads/x", content=b"x")
    assert service.client.post("/v1/datasets", json={"name": "d", "files": ["x"]}, headers=key).status_code == 202


def test_keys_of_two_tenants_do_not_meet(locked: Service) -> None:
    made = set()
    for tenant in ("one", "two"):
        headers = locked.key(tenant) | {"Idempotency-Key": "once"}
        made.add(
            locked.client.post("/v1/datasets", json={"name": "d", "builtin": "digits"}, headers=headers).json()["id"]
        )
    assert len(made) == 2


def test_twenty_requests_at_once_make_one_job(either: Service) -> None:
    body, start = either.certify(), threading.Barrier(20)
    answers: list[httpx.Response] = []

    def ask() -> None:
        start.wait()
        answers.append(either.client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}))

    askers = [threading.Thread(target=ask) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert [answer.status_code for answer in answers] == [202] * 20
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    items: list[Any] = either.client.get("/v1/jobs").json()["items"]
    assert len(items) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_equal_request_that_was_faster_and_took_the_last_place_is_found(database: Database) -> None:
    """On Postgres both look for the key before either has made anything."""
    tenant_id = things.tenant(database)

    def make(session: Session) -> str:
        other, replayed = once(database, tenant_id, "once", {"a": 1}, lambda _: "job_1")
        assert (other, replayed) == ("job_1", False)
        raise QuotaExceeded(expected="at most 1 job that has not ended", got="1")

    assert once(database, tenant_id, "once", {"a": 1}, make) == ("job_1", True)


def test_what_is_refused_twice_is_refused(service: Service) -> None:
    def make(session: Session) -> str:
        raise QuotaExceeded(expected="at most 1 job that has not ended", got="1")

    with pytest.raises(QuotaExceeded):
        once(service.database, things.tenant(service.database), "once", {}, make)
