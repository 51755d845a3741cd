"""Uploads in parts: they go on after a cut, in any order, and what is damaged is found."""

import asyncio
import contextlib
import errno
import hashlib
import random
import threading
from typing import Any

import pytest
from sqlalchemy.orm import Session
from tests_support.over_http import Service

from radii.service.api.routes import multipart_uploads as part_uploads_route
from radii.service.api.uploads_in_progress import ActiveUploads
from radii.worker.store import resources
from radii.worker.store.blobs import blob_files, multipart_uploads
from radii.worker.store.clock import clock
from radii.worker.store.models.tables import PartUpload, Upload

SIZE = 2_500
DATA = random.Random(1).randbytes(SIZE)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart_uploads, "PART_SIZE", 1_000)
    monkeypatch.setattr(multipart_uploads, "PIECE", 100)


def _begin(service: Service, status: int = 201, **fields: Any) -> dict[str, Any]:
    answer = service.client.post("/v1/uploads", json={"name": "x.npz", "size": SIZE, "sha256": SHA256} | fields)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


def _put(service: Service, upload: dict[str, Any], number: int, data: bytes | None = None, **headers: str) -> Any:
    first = number * upload["part_size"]
    part = DATA[first : first + upload["part_size"]] if data is None else data
    return service.client.put(f"/v1/uploads/{upload['id']}/parts/{number}", content=part, headers=headers)


def _complete(service: Service, upload: dict[str, Any]) -> Any:
    return service.client.post(f"/v1/uploads/{upload['id']}/complete")


def test_an_upload_of_the_same_name_during_a_completion_waits_for_it(
    either: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, put_upload = _begin(either), resources.put_upload
    for number in range(3):
        assert _put(either, upload, number).status_code == 200
    answers: list[int] = []
    other = threading.Thread(
        target=lambda: answers.append(either.client.put("/v1/uploads/x.npz", content=b"other").status_code)
    )

    def slow(session: Session, tenant_id: str, name: str, sha256: str) -> Upload:
        row = put_upload(session, tenant_id, name, sha256)
        if sha256 == SHA256:
            session.flush()
            other.start()
            other.join(0.5)
        return row

    monkeypatch.setattr(resources, "put_upload", slow)
    assert _complete(either, upload).status_code == 200
    other.join(20)
    assert answers == [201]


def test_parts_in_any_order_become_one_upload(either: Service) -> None:
    upload = _begin(either)
    assert (upload["part_size"], upload["parts"], upload["missing"]) == (1_000, 3, [0, 1, 2])
    for number in (2, 0):
        assert _put(either, upload, number).status_code == 200
    refused = _complete(either, upload)
    assert refused.status_code == 409 and "got 2; not number 1" in refused.json()["detail"]
    assert _put(either, upload, 1).status_code == 200
    made = _complete(either, upload)
    assert made.status_code == 200
    assert (made.json()["name"], made.json()["size"], made.json()["sha256"]) == ("x.npz", SIZE, SHA256)
    assert either.client.get(f"/v1/blobs/{SHA256}").content == DATA
    assert _complete(either, upload).json() == made.json(), "asked again, it is the same"
    assert _put(either, upload, 1).status_code == 409
    assert not list((either.settings.blobs / "parts").glob("*/*"))


def test_an_upload_that_was_cut_off_is_found_again_by_its_hash(service: Service) -> None:
    upload = _begin(service)
    _put(service, upload, 1)
    again = _begin(service, status=200)
    assert (again["id"], again["missing"]) == (upload["id"], [0, 2])
    assert _begin(service, sha256=None)["id"] != upload["id"]
    assert _begin(service, name="y.npz")["id"] != upload["id"]


def test_one_that_is_complete_is_found_again_too_as_long_as_there_is_what_was_made(service: Service) -> None:
    """Where only the answer was lost, a large file is not sent twice."""
    upload = _begin(service)
    for number in range(3):
        _put(service, upload, number)
    made = _complete(service, upload).json()
    again = _begin(service, status=200)
    assert (again["id"], again["missing"], again["upload"]) == (upload["id"], [], made["id"])
    assert _complete(service, again).json() == made
    assert service.client.delete(f"/v1/uploads/{made['id']}").status_code == 204
    assert _begin(service)["missing"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("number", "data", "headers", "status", "words"),
    [
        (0, DATA[:999], {}, 422, "expected 1,000 bytes for part 0, got 999"),
        (0, DATA[:1_001], {}, 413, "at most 1000 bytes"),
        (2, DATA[:1_000], {}, 413, "at most 500 bytes"),
        (3, b"", {}, 404, "a part from 0 to 2"),
        (0, DATA[1:1_001], {"Content-Digest": "sha-256=:" + "A" * 43 + "=:"}, 422, "as Content-Digest says"),
    ],
)
def test_a_part_that_does_not_fit_is_refused_and_still_missing(
    service: Service, number: int, data: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    upload = _begin(service)
    answer = _put(service, upload, number, data, **headers)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert service.client.get(f"/v1/uploads/{upload['id']}/parts").json()["missing"] == [0, 1, 2]
    assert not [path for path in (service.settings.blobs / "new").glob("*")]


def test_bytes_that_rotted_on_the_disk_are_found_and_sent_again(service: Service) -> None:
    upload = _begin(service)
    for number in range(3):
        _put(service, upload, number)
    multipart_uploads.path_of(service.settings.blobs, upload["id"], 1).write_bytes(b"x" * 1_000)
    refused = _complete(service, upload)
    assert refused.status_code == 422 and "in number 1: send them again" in refused.json()["detail"]
    assert service.client.get(f"/v1/uploads/{upload['id']}/parts").json()["missing"] == [1]
    _put(service, upload, 1)
    assert _complete(service, upload).json()["sha256"] == SHA256


def test_one_upload_of_a_tenant_is_completed_at_a_time(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a connection is cut while a large file is joined, and the client asks again."""
    upload = _begin(service)
    for number in range(3):
        _put(service, upload, number)
    join, answers = multipart_uploads.join, []

    def joined_late(*args: Any) -> None:
        monkeypatch.setattr(multipart_uploads, "join", join)
        answers.append(_complete(service, upload))
        join(*args)

    monkeypatch.setattr(multipart_uploads, "join", joined_late)
    answers.append(_complete(service, upload))
    assert [answer.status_code for answer in answers] == [429, 200]
    assert (
        answers[0].headers["Retry-After"]
        and "at most 1 completion of an upload of yours" in answers[0].json()["detail"]
    )
    assert _complete(service, upload).json() == answers[1].json(), "the client tries again and gets the same"
    assert not list((service.settings.blobs / "new").glob("*"))


def test_no_request_waits_for_a_turn_while_an_upload_is_completed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = _begin(service)
    for number in range(3):
        _put(service, upload, number)
    turns, held, join = service.app.state.room.turns, [], multipart_uploads.join
    monkeypatch.setattr(multipart_uploads, "join", lambda *args: (held.append(turns.in_use), join(*args)))
    assert _complete(service, upload).status_code == 200
    assert held == [0]


def test_a_part_that_is_sent_again_is_charged_while_it_arrives(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[int] = []
    grow = ActiveUploads.grow
    monkeypatch.setattr(ActiveUploads, "grow", lambda self, *args: (charged.append(args[-1]), grow(self, *args)))
    upload = _begin(service)
    assert _put(service, upload, 0).status_code == 200
    assert charged == [], "its size was charged when it was announced"
    assert _put(service, upload, 0).status_code == 200
    assert charged == [1_000]
    with service.app.state.active_uploads.sending(upload["id"], 1):
        assert _put(service, upload, 1).status_code == 200
    assert charged == [1_000, 1_000], "another request sends the same part"


def test_room_is_asked_for_before_anything_is_sent(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the parts and for the whole; of one that goes on, for what is left."""
    needed = service.settings.min_free + 2 * SIZE
    monkeypatch.setattr(blob_files, "free_bytes", lambda _: needed - 1)
    refused = service.client.post("/v1/uploads", json={"name": "x.npz", "size": SIZE, "sha256": SHA256})
    assert refused.status_code == 507 and "5000 bytes (the parts, and the whole" in refused.json()["detail"]
    monkeypatch.setattr(blob_files, "free_bytes", lambda _: needed)
    upload = _begin(service)
    _put(service, upload, 0)
    monkeypatch.setattr(blob_files, "free_bytes", lambda _: needed - upload["part_size"])
    assert _begin(service, 200)["id"] == upload["id"]


def test_a_whole_that_is_not_what_was_announced_is_refused(service: Service) -> None:
    upload = _begin(service, sha256="0" * 64)
    for number in range(3):
        _put(service, upload, number)
    refused = _complete(service, upload)
    assert refused.status_code == 422 and "as was announced" in refused.json()["detail"]
    assert service.client.get("/v1/uploads").json()["items"] == []


def test_uploads_in_parts_are_their_tenants_and_can_be_given_up(locked: Service) -> None:
    mine, other = locked.key("a"), locked.key("b")
    body = {"name": "x", "size": SIZE}
    upload = locked.client.post("/v1/uploads", json=body, headers=mine).json()
    for method, path in (("GET", "parts"), ("POST", "complete"), ("PUT", "parts/0"), ("DELETE", "parts")):
        answer = locked.client.request(method, f"/v1/uploads/{upload['id']}/{path}", headers=other)
        assert answer.status_code == 404, (method, path)
    locked.client.put(f"/v1/uploads/{upload['id']}/parts/0", content=DATA[:1_000], headers=mine)
    assert locked.client.delete(f"/v1/uploads/{upload['id']}/parts", headers=mine).status_code == 204
    assert locked.client.get(f"/v1/uploads/{upload['id']}/parts", headers=mine).status_code == 404
    assert not list((locked.settings.blobs / "parts").glob("*"))


def test_old_ones_are_forgotten_with_their_parts(service: Service) -> None:
    old, young = _begin(service), _begin(service, name="y")
    for upload in (old, young):
        _put(service, upload, 0)
    (service.settings.blobs / "parts" / "of_nobody").mkdir()
    with service.database.write() as session:
        session.get_one(PartUpload, old["id"]).created = session.scalar(clock()) - 100.0  # type: ignore[operator,call-overload]
        session.flush()
        assert multipart_uploads.expire(session, ttl=50.0) == 1
    multipart_uploads.clean(service.database, service.settings.blobs)
    assert [path.name for path in (service.settings.blobs / "parts").glob("*")] == [young["id"]]


def test_what_was_made_of_an_upload_survives_the_forgetting_of_its_parts(service: Service) -> None:
    upload = _begin(service)
    for number in range(3):
        _put(service, upload, number)
    made = _complete(service, upload).json()
    with service.database.write() as session:
        multipart_uploads.expire(session, ttl=-1.0)
        resources.collect(session, service.settings.blobs, grace=-1.0)
    multipart_uploads.clean(service.database, service.settings.blobs)
    assert service.client.get(f"/v1/uploads/{made['id']}").json() == made
    assert service.client.get(f"/v1/blobs/{SHA256}").content == DATA


def test_a_database_that_is_slow_to_tell_of_a_part_holds_up_nobody_else(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever asks the database does so in a thread, not where all requests are served."""
    upload, asked = _begin(service), part_uploads_route._expected
    on_the_loop: list[bool] = []

    def expected(*args: Any) -> tuple[int, bool]:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            on_the_loop.append(True)
        return asked(*args)

    monkeypatch.setattr(part_uploads_route, "_expected", expected)
    assert _put(service, upload, 0).status_code == 200
    assert not on_the_loop


class TestFullDisk:
    """507 while there is no room, nothing half done left behind, and the upload goes on when there is."""

    def test_below_the_room_that_stays_free(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        upload = _begin(service)
        self._goes_on_when_there_is_room(
            service, upload, lambda patch: patch.setattr(blob_files, "free_bytes", lambda _: -1)
        )

    def test_in_the_middle_of_the_bytes(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        upload, write = _begin(service), blob_files.Writer.write

        def full(writer: blob_files.Writer, piece: bytes) -> None:
            write(writer, piece[: len(piece) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        self._goes_on_when_there_is_room(service, upload, lambda patch: patch.setattr(blob_files.Writer, "write", full))

    def _goes_on_when_there_is_room(self, service: Service, upload: dict[str, Any], fill: Any) -> None:
        _put(service, upload, 0)
        with pytest.MonkeyPatch.context() as patch:
            fill(patch)
            assert self._refused(service, _put(service, upload, 1))
        for number in service.client.get(f"/v1/uploads/{upload['id']}/parts").json()["missing"]:
            assert _put(service, upload, number).status_code == 200
        with pytest.MonkeyPatch.context() as patch:
            fill(patch)
            assert self._refused(service, _complete(service, upload))
        assert service.client.get(f"/v1/uploads/{upload['id']}/parts").json()["missing"] == []
        assert _complete(service, upload).json()["sha256"] == SHA256

    def _refused(self, service: Service, answer: Any) -> bool:
        assert not list((service.settings.blobs / "new").glob("*"))
        return bool(answer.status_code == 507 and answer.json()["type"] == "urn:radii:problem:disk-full")
