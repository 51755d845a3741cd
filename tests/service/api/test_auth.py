"""Who may see what: keys, tenants, and the guard of the mode without keys."""

import base64
import threading

import httpx
import pytest
from tests_support.over_http import Service

from radii.worker.store import tenants

FOREIGN = {"Origin": "https://evil.example"}


def assert_refused(answer: httpx.Response, status: int) -> None:
    """A problem of that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(".")


def test_first_requests_at_once_find_one_default_tenant(either: Service) -> None:
    start, seen = threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        seen.append(either.client.get("/v1/jobs").status_code)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert seen == [200] * 8


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/uploads", "/v1/datasets", "/v1/architectures", "/v1/methods"])
def test_without_a_key_nothing_is_shown_where_keys_are_needed(locked: Service, path: str) -> None:
    answer = locked.client.get(path)
    assert_refused(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert locked.client.get(path, headers=locked.key("one")).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["Bearer radii_wrong", "Bearer ", "Bearer", "Digest x", "Basic !!!", "Basic " + base64.b64encode(b"x:y").decode()],
)
@pytest.mark.parametrize("kind", ["service", "locked"])
def test_a_wrong_key_is_refused_even_where_none_is_needed(
    request: pytest.FixtureRequest, kind: str, header: str
) -> None:
    service: Service = request.getfixturevalue(kind)
    assert_refused(service.client.get("/v1/jobs", headers={"Authorization": header}), 401)


def test_a_revoked_key_is_refused(locked: Service) -> None:
    with locked.database.write() as session:
        row, secret = tenants.create_key(session, "one", "laptop")
    headers = {"Authorization": f"Bearer {secret}"}
    assert locked.client.get("/v1/jobs", headers=headers).status_code == 200
    with locked.database.write() as session:
        assert tenants.revoke_key(session, row.id)
    assert_refused(locked.client.get("/v1/jobs", headers=headers), 401)


def test_a_browser_may_give_the_key_as_a_password(locked: Service) -> None:
    asked = locked.client.get("/")
    assert_refused(asked, 401)
    assert asked.headers["WWW-Authenticate"].startswith("Basic")
    secret = locked.key("one")["Authorization"].removeprefix("Bearer ")
    basic = {"Authorization": "Basic " + base64.b64encode(f"anybody:{secret}".encode()).decode()}
    assert locked.client.get("/", headers=basic).status_code == 200
    foreign = locked.client.post("/v1/datasets", json={"name": "d", "builtin": "digits"}, headers=basic | FOREIGN)
    assert_refused(foreign, 403)


def test_another_tenants_things_are_404_and_cannot_be_named(locked: Service) -> None:
    one, two = locked.key("one"), locked.key("two")
    locked.client.put("/v1/uploads/secret.npz", content=b"secret", headers=one)
    sha256 = locked.client.get("/v1/uploads/secret.npz", headers=one).json()["sha256"]
    dataset, checkpoint = locked.dataset(tenant="one"), locked.checkpoint(tenant="one")
    body = {"kind": "certify", "dataset": dataset, "checkpoint": checkpoint, "n": 100, "inputs": {"count": 2}}
    job_id = locked.client.post("/v1/jobs", json=body, headers=one).json()["id"]
    things = [
        "/v1/uploads/secret.npz",
        f"/v1/blobs/{sha256}",
        f"/v1/datasets/{dataset}",
        f"/v1/checkpoints/{checkpoint}",
        f"/v1/jobs/{job_id}",
        f"/v1/jobs/{job_id}/certificates",
        f"/v1/jobs/{job_id}/certificates.csv",
        f"/v1/jobs/{job_id}/report",
        f"/v1/jobs/{job_id}/report.html",
        f"/v1/jobs/{job_id}/plots/radius-histogram.png",
        f"/jobs/{job_id}",
    ]
    for thing in things:
        assert locked.client.get(thing, headers=one).status_code == 200, thing
        assert_refused(locked.client.get(thing, headers=two), 404)
    for thing in (things[0], *things[2:5]):
        assert_refused(locked.client.delete(thing, headers=two), 404)
    assert_refused(locked.client.post(f"/v1/jobs/{job_id}/cancel", headers=two), 404)
    for path in ("uploads", "datasets", "checkpoints", "jobs"):
        assert locked.client.get(f"/v1/{path}", headers=two).json()["items"] == []
    stolen = locked.client.post("/v1/jobs", json=body, headers=two)
    assert_refused(stolen, 422)
    unknown = locked.client.post("/v1/jobs", json=body | {"dataset": "ds_" + "0" * 28}, headers=two)
    assert stolen.json()["title"] == unknown.json()["title"]
    assert_refused(locked.client.post("/v1/datasets", json={"name": "d", "files": [sha256]}, headers=two), 422)


def test_what_operators_need_is_open(locked: Service) -> None:
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/openapi.json"):
        assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5:8000", "", "[::1", "localhost@x"]
)
def test_without_keys_a_foreign_host_name_is_refused(service: Service, host: str) -> None:
    assert_refused(service.client.get("/v1/jobs", headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_without_keys_the_loopback_names_are_served(service: Service, host: str) -> None:
    assert service.client.get("/v1/jobs", headers={"Host": host}).status_code == 200


def test_with_keys_any_host_name_is_served(locked: Service) -> None:
    assert locked.client.get("/v1/jobs", headers=locked.key("one") | {"Host": "radii.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers", [FOREIGN, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_of_another_site_changes_nothing(service: Service, headers: dict[str, str]) -> None:
    job_id = service.submitted()
    assert_refused(service.client.put("/v1/uploads/x", content=b"x", headers=headers), 403)
    assert_refused(service.client.post(f"/v1/jobs/{job_id}/cancel", headers=headers), 403)
    assert_refused(service.client.post(f"/jobs/{job_id}/cancel", headers=headers), 403)
    assert_refused(service.client.delete(f"/v1/jobs/{job_id}", headers=headers), 403)
    assert service.client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"
    same = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert service.client.post(f"/v1/jobs/{job_id}/cancel", headers=same).status_code == 202


def test_a_key_in_a_header_may_come_from_any_origin(locked: Service) -> None:
    body = {"name": "d", "builtin": "digits"}
    assert locked.client.post("/v1/datasets", json=body, headers=locked.key("one") | FOREIGN).status_code == 202
