"""The storage quota over HTTP: what is refused, with which figures, what frees space, and how usage is shown."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from tests_support import things
from tests_support.asking import ask
from tests_support.cli import done
from tests_support.live import running
from tests_support.over_http import Service, serving

from radii.rs_core.errors import StorageUsedUp
from radii.service.api.uploads_in_progress import ActiveUploads
from radii.service.client.client import Client
from radii.worker.settings import Settings
from radii.worker.store import resources, storage_usage
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Blob, Upload

Limited = Callable[..., Service]


@pytest.fixture
def limited(fresh: Database, tmp_path: Path) -> Iterator[Limited]:
    """Makes a service with limits on storage."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(serving(fresh, Settings(data=tmp_path, min_free=0, **limits)))


def put(service: Service, name: str, size: int, **headers: str) -> httpx.Response:
    return service.client.put(f"/v1/uploads/{name}", content=name[:1].encode() * size, headers=headers)


def in_pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100):
        yield data[start : start + 100]


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), answer.text
    assert body["type"] == f"urn:radii:problem:{'beyond-storage' if status == 413 else 'storage-used-up'}"
    for word in words:
        assert word in body["detail"], body["detail"]


def files(service: Service) -> list[Path]:
    return [path for path in service.settings.blobs.rglob("*") if path.is_file()]


def test_an_upload_beyond_the_quota_is_refused_and_fits_once_something_is_deleted(limited: Limited) -> None:
    service = limited(tenant_bytes=1_000)
    assert put(service, "a", 600).status_code == 201
    refused(
        put(service, "b", 500), 507, "at most 1,000 bytes of yours in storage (RADII_TENANT_BYTES)", "got 600 bytes"
    )
    refused(put(service, "b", 500), 507, "and 500 more", "`radii delete ID`", "`radii usage`")
    refused(put(service, "b", 1_001), 413, "got 1,001 bytes at once")
    assert len(files(service)) == 1
    assert service.client.delete("/v1/uploads/a").status_code == 204
    assert put(service, "b", 500).status_code == 201
    assert put(service, "c", 500).status_code == 201, "the last byte of the quota can be used"


def test_an_upload_of_unknown_length_is_refused_while_it_comes(limited: Limited) -> None:
    service = limited(tenant_bytes=1_000)
    put(service, "a", 600)
    answer = service.client.put("/v1/uploads/b", content=in_pieces(b"b" * 500))
    refused(answer, 507, "got 600 bytes and 500 more")
    refused(service.client.put("/v1/uploads/b", content=in_pieces(b"b" * 1_500)), 413)
    assert len(files(service)) == 1
    assert service.client.put("/v1/uploads/b", content=in_pieces(b"b" * 400)).status_code == 201


def test_the_same_bytes_are_charged_once(limited: Limited) -> None:
    service = limited(tenant_bytes=1_000)
    for name in ("a1", "a2", "a3"):
        service.client.put(f"/v1/uploads/{name}", content=b"a" * 300)
    assert service.client.get("/v1/usage").json()["used"] == 300


def test_uploads_at_once_do_not_get_past_the_quota_together(either: Service) -> None:
    settings = either.settings.model_copy(update={"tenant_bytes": 1_000, "min_free": 0})
    answers = []
    with serving(either.database, settings) as service:
        names = "abcdefgh"
        threads = [threading.Thread(target=lambda name=name: answers.append(put(service, name, 300))) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [507] * 5
        assert service.client.get("/v1/usage").json()["used"] == 900
        assert len(files(service)) == 3, "what was refused leaves nothing on the disk"


def test_what_two_services_let_through_together_is_refused_when_it_is_named(either: Service) -> None:
    """Both see an empty storage when the bodies begin; the last look is made one after the other."""
    settings = either.settings.model_copy(update={"tenant_bytes": 1_000, "min_free": 0})
    with serving(either.database, settings) as service:
        tenant_id = things.tenant(either.database)

        def body() -> Iterator[bytes]:
            yield b"b" * 300
            with either.database.write() as session:
                session.add(Blob(sha256="c" * 64, size=800))
                session.flush()
                resources.put_upload(session, tenant_id, "other", "c" * 64)
            storage_usage.RECENT.note(tenant_id, 0)  # as of the other process, which this one has not heard of
            yield b"b" * 300

        answer = service.client.put("/v1/uploads/b", content=body())
        refused(answer, 507, "got 800 bytes and 600 more")
        assert files(service) == []
        with either.database.read() as session:
            assert [row.name for row in session.query(Upload)] == ["other"]


def test_an_upload_on_its_way_counts_until_it_ends(fresh: Database, tmp_path: Path) -> None:
    tenant_id = things.tenant(fresh)
    active_uploads = ActiveUploads(fresh, Settings(data=tmp_path, tenant_bytes=1_000))
    with active_uploads.arriving(tenant_id) as first, active_uploads.arriving(tenant_id) as second:
        first.expect(600)
        second.expect(300)
        with pytest.raises(StorageUsedUp, match="got 600 bytes and 401 more"):
            second.expect(401)
        assert (second.size, active_uploads.size(tenant_id)) == (300, 900)
    assert active_uploads.size(tenant_id) == 0


def test_an_unfinished_upload_is_charged_for_its_announced_size(limited: Limited) -> None:
    service = limited(tenant_bytes=1_000)
    begun = service.client.post("/v1/uploads", json={"name": "a", "size": 700})
    assert begun.status_code == 201
    refused(service.client.post("/v1/uploads", json={"name": "b", "size": 400}), 507, "got 700 bytes and 400 more")
    refused(service.client.post("/v1/uploads", json={"name": "b", "size": 1_001}), 413)
    refused(put(service, "c", 400), 507)
    used = service.client.get("/v1/usage").json()
    assert [(each["id"], each["size"]) for each in used["unfinished_uploads"]] == [(begun.json()["id"], 700)]
    with service.connected() as client:
        client.delete(begun.json()["id"])
        assert client.usage().used == 0
    begun = service.client.post("/v1/uploads", json={"name": "b", "size": 400}).json()
    assert service.client.put(f"/v1/uploads/{begun['id']}/parts/0", content=b"b" * 400).status_code == 200
    assert service.client.post(f"/v1/uploads/{begun['id']}/complete").status_code == 200
    kinds = {each["kind"]: each["bytes"] for each in service.client.get("/v1/usage").json()["kinds"]}
    assert (kinds["uploads"], kinds["part_uploads"]) == (400, 0)


def test_the_number_of_uploads_data_sets_and_checkpoints_is_limited(limited: Limited) -> None:
    service = limited(tenant_items=2)
    for name in ("a", "b"):
        assert put(service, name, 10).status_code == 201
        assert service.client.post("/v1/datasets", json={"name": name, "builtin": "digits"}).status_code == 202
        service.checkpoint()
    refused(put(service, "c", 10), 507, "at most 2 uploads of yours (RADII_TENANT_ITEMS)", "got")
    assert put(service, "a", 20).status_code == 201, "a name that is taken makes none more"
    refused(service.client.post("/v1/uploads", json={"name": "d", "size": 5}), 507, "at most 2 uploads")
    refused(service.client.post("/v1/datasets", json={"name": "c", "builtin": "digits"}), 507, "at most 2 datasets")
    body = {"name": "c", "file": "a", "architecture": "digits_cnn"}
    refused(service.client.post("/v1/checkpoints", json=body), 507, "at most 2 checkpoints")


def test_what_a_conversion_will_make_is_charged_before_it_is_made(limited: Limited) -> None:
    service = limited(tenant_bytes=60_000)
    dataset = service.dataset(count=200)
    body = {"name": "c", "corrupt": {"dataset": dataset, "corruptions": ["fog"], "severities": [1, 2]}}
    answer = service.client.post("/v1/datasets", json=body)
    assert answer.status_code == 202, answer.text
    used = {each["kind"]: each["bytes"] for each in service.client.get("/v1/usage").json()["kinds"]}
    assert used["expected_outputs"] == 2 * 200 * 64
    refused(service.client.post("/v1/datasets", json=body | {"name": "d"}), 507, "and 30,564 more")


def test_the_rows_of_a_job_are_charged_before_they_are_there(limited: Limited) -> None:
    service = limited(tenant_bytes=110_000)
    body = service.certify(inputs={"count": 200})
    assert service.client.post("/v1/jobs", json=body).status_code == 202
    refused(service.client.post("/v1/jobs", json=body), 507, "RADII_TENANT_BYTES")
    assert len(service.client.get("/v1/jobs").json()["items"]) == 1


def test_requests_for_predictions_are_charged(limited: Limited) -> None:
    service = limited(tenant_bytes=11_000)
    checkpoint = service.checkpoint()
    answers = [ask(service, checkpoint=checkpoint) for _ in range(2)]
    assert answers[0].status_code == 202, answers[0].text
    refused(answers[1], 507, "RADII_TENANT_BYTES")


def test_usage_is_ones_own(locked: Service) -> None:
    mine, others = locked.key("mine"), locked.key("others")
    locked.client.put("/v1/uploads/a", content=b"a" * 10, headers=mine)
    assert locked.client.get("/v1/usage", headers=mine).json()["used"] == 10
    empty = locked.client.get("/v1/usage", headers=others).json()
    assert (empty["used"], empty["free"]) == (0, 256 * 2**30)
    assert locked.client.get("/v1/usage").status_code == 401


class TestCommand:
    def test_usage_is_shown_by_kind_with_the_quota(self, limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
        service = limited(tenant_bytes=1_000)
        put(service, "a", 250)
        begun = service.client.post("/v1/uploads", json={"name": "big.zip", "size": 500}).json()["id"]
        monkeypatch.setattr("radii.service.cli.usage.connect", lambda *_: service.connected())
        text = done("usage").stdout
        assert "750 of 1,000 bytes are used (75.0 %); 250 are free." in text
        assert f"unfinished upload {begun}: big.zip, 500 bytes (`radii delete {begun}`)" in text
        assert json.loads(done("usage", "--json").stdout) == service.client.get("/v1/usage").json()

    def test_every_tenant_is_shown_on_the_server_the_largest_first(self, locked: Service) -> None:
        for tenant, size in (("small", 10), ("large", 30)):
            locked.client.put("/v1/uploads/a", content=b"a" * size, headers=locked.key(tenant))
        lines = done("usage", "--all", "--data", locked.settings.data).stdout.splitlines()
        assert [line.split()[:2] for line in lines if "uploads" in line] == [["large", "30"], ["small", "10"]]
        found = json.loads(done("usage", "--all", "--json", "--data", locked.settings.data).stdout)
        assert {each["tenant"]: each["used"] for each in found} == {"small": 10, "large": 30}


def test_what_a_job_makes_beyond_the_quota_ends_it_with_one_problem_and_no_second_try(tmp_path: Path) -> None:
    """The digits are 475 kB."""
    with running(tmp_path / "a", RADII_TENANT_BYTES="100000") as (url, _), Client(url) as client:
        made = client.add_dataset("digits", builtin="digits", wait=False)
        job = client.job(made.job or "").wait()
        assert job.state == "failed" and job.info.problem is not None
        assert "Your storage quota is used up" in job.info.problem.detail or "larger than" in job.info.problem.detail
        assert "at most 100,000 bytes of yours in storage (RADII_TENANT_BYTES)" in job.info.problem.detail
        assert [event.type for event in client.job(job.id).events()] == ["queued", "running", "failed"]
        assert client.usage().used < 100_000
    left = [path for path in (tmp_path / "a" / "blobs").rglob("*") if path.is_file()]
    assert left == []
    with running(tmp_path / "b", RADII_TENANT_BYTES="500000", RADII_SNAPSHOT="0.01") as (url, _), Client(url) as client:
        digits = client.add_dataset("digits", builtin="digits")
        job = client.train(dataset=digits, architecture="digits_cnn", sigma=0.25, epochs=2).wait()
        assert job.state == "failed" and job.info.problem is not None
        assert "at most 500,000 bytes of yours in storage (RADII_TENANT_BYTES)" in job.info.problem.detail
        assert job.info.problem.status in (413, 507)
        assert client.usage().used < 500_000


def test_the_database_does_not_grow_by_much_more_than_a_tenant_is_charged(service: Service) -> None:
    names = [f"{number:05}" + "x" * 195 for number in range(2_600)]  # 520,000 of the 524,288 characters there may be

    def size() -> int:
        with service.database.read() as session:
            return int(session.scalar(text("SELECT sum(pgsize) FROM dbstat")) or 0)

    put(service, "a.npz", 10)
    before, used = size(), service.client.get("/v1/usage").json()["used"]
    for number in range(8):
        body = {"name": "d", "files": ["a.npz"] * 100, "class_names": names}
        made = service.client.post("/v1/datasets", json=body).json()
        service.checkpoint(info={"class_names": names, "provenance": {"log": "x" * 60_000}})
        service.client.post(f"/v1/jobs/{made['job']}/cancel")
        if number % 2:
            assert service.client.delete(f"/v1/datasets/{made['id']}").status_code == 204
    grown, charged = size() - before, service.client.get("/v1/usage").json()["used"] - used
    assert grown > 10**6 and grown < 1.5 * charged


def test_class_names_that_do_not_fit_into_the_quota_are_refused(limited: Limited) -> None:
    service = limited(tenant_bytes=100_000)
    put(service, "a.npz", 10)
    names = [f"{number:05}" + "x" * 195 for number in range(1_000)]
    body = {"name": "d", "files": ["a.npz"], "class_names": names}
    refused(service.client.post("/v1/datasets", json=body), 413, "bytes at once")
    assert service.client.post("/v1/datasets", json=body | {"class_names": names[:100]}).status_code == 202
