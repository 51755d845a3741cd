"""Uploads and blobs over HTTP: what goes in comes out, and what fails leaves nothing behind."""

import base64
import errno
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from tests_support.over_http import Service, serving

from radii.worker.settings import Settings
from radii.worker.store.blobs.blob_files import Writer
from radii.worker.store.database import Database

BYTES = bytes(range(256)) * 10_000


def left_behind(settings: Settings) -> list[Path]:
    """Every file of the blob folder."""
    return [path for path in settings.blobs.rglob("*") if path.is_file()]


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    """An RFC 9457 problem of that status whose sentence says these things."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    for word in words:
        assert word in body["detail"]


def test_what_goes_in_comes_out(either: Service) -> None:
    put = either.client.put("/v1/uploads/digits.npz", content=BYTES)
    digest = hashlib.sha256(BYTES).hexdigest()
    assert put.status_code == 201
    assert (put.json()["sha256"], put.json()["size"], put.json()["name"]) == (digest, len(BYTES), "digits.npz")
    assert either.client.get(put.headers["Location"]).json() == put.json()
    assert either.client.get("/v1/uploads/digits.npz").json() == put.json()
    got = either.client.get(f"/v1/blobs/{digest}")
    assert got.content == BYTES
    assert 'filename="digits.npz"' in got.headers["content-disposition"]


def test_a_download_can_go_on_where_it_was_cut(service: Service) -> None:
    digest = service.client.put("/v1/uploads/x", content=BYTES).json()["sha256"]
    part = service.client.get(f"/v1/blobs/{digest}", headers={"Range": "bytes=1000-"})
    assert (part.status_code, part.content) == (206, BYTES[1000:])
    known = service.client.get(f"/v1/blobs/{digest}", headers={"If-None-Match": part.headers["ETag"]})
    assert known.status_code == 304


def test_a_stream_of_unknown_length_is_taken(service: Service) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(BYTES), 70_001):
            yield BYTES[start : start + 70_001]

    put = service.client.put("/v1/uploads/x", content=pieces())
    assert put.json()["sha256"] == hashlib.sha256(BYTES).hexdigest()


def test_a_name_is_given_to_the_new_bytes_and_the_identifier_stays(service: Service) -> None:
    first = service.client.put("/v1/uploads/x", content=b"one").json()
    second = service.client.put("/v1/uploads/x", content=b"two").json()
    assert first["id"] == second["id"]
    assert first["sha256"] != second["sha256"]
    assert len(service.client.get("/v1/uploads").json()["items"]) == 1


def test_the_announced_digest_is_checked(service: Service) -> None:
    right = base64.b64encode(hashlib.sha256(BYTES).digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    url = "/v1/uploads/x"
    kept = service.client.put(url, content=BYTES, headers={"Content-Digest": f"sha-512=:AA==:, sha-256=:{right}:"})
    assert kept.status_code == 201
    before = left_behind(service.settings)
    refused = service.client.put(url, content=BYTES[1:], headers={"Content-Digest": f"sha-256=:{wrong}:"})
    assert_problem(refused, 422, hashlib.sha256(b"").hexdigest(), hashlib.sha256(BYTES[1:]).hexdigest())
    malformed = service.client.put(url, content=BYTES, headers={"Content-Digest": "sha-256=:nonsense:"})
    assert_problem(malformed, 422, "32 bytes in base64", "nonsense")
    assert left_behind(service.settings) == before


def test_multipart_is_refused_with_what_to_do(service: Service) -> None:
    refused = service.client.put("/v1/uploads/x", files={"file": b"bytes"})
    assert_problem(refused, 415, "the file's bytes as the request's body", "multipart/form-data")


@pytest.mark.parametrize("announced", [True, False])
def test_too_many_bytes_are_refused_and_leave_nothing(fresh: Database, tmp_path: Path, announced: bool) -> None:
    settings = Settings(data=tmp_path, max_upload=1000, min_free=0)
    content = b"x" * 1001 if announced else iter([b"x" * 1001])
    with serving(fresh, settings) as service:
        assert_problem(service.client.put("/v1/uploads/x", content=content), 413, "at most 1000 bytes", "1001 bytes")
        assert service.client.put("/v1/uploads/x", content=b"x" * 1000).status_code == 201
    assert len(left_behind(settings)) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_room_that_must_stay_free_stays_free(fresh: Database, tmp_path: Path, announced: bool) -> None:
    settings = Settings(data=tmp_path, min_free=2**60)
    with serving(fresh, settings) as service:
        content = b"bytes" if announced else iter([b"bytes"])
        assert_problem(service.client.put("/v1/uploads/x", content=content), 507, f"{2**60} bytes that stay free")
        assert service.client.get("/healthz").status_code == 200
    assert left_behind(settings) == []


def test_a_full_disk_is_507_leaves_nothing_and_the_service_working(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer.write

    def full(writer: Writer, piece: bytes) -> None:
        write(writer, piece[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "write", full)
        answer = service.client.put("/v1/uploads/x", content=BYTES)
        assert_problem(answer, 507, "The disk is full")
    assert left_behind(service.settings) == []
    assert service.client.get("/v1/uploads").json()["items"] == []
    assert service.client.put("/v1/uploads/x", content=BYTES).status_code == 201


@pytest.mark.parametrize("name", ["..%2Fx", "a%00b", "a%0Ab", "x" * 256, "%2E%2E"])
def test_a_name_that_could_be_a_path_is_refused(service: Service, name: str) -> None:
    answer = service.client.put(f"/v1/uploads/{name}", content=b"x")
    assert answer.status_code in (404, 405, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert left_behind(service.settings) == []


def test_what_a_name_may_be_is_said_in_words(service: Service) -> None:
    announced = service.client.post("/v1/uploads", json={"name": "a/b", "size": 1, "sha256": "x"})
    for answer in (service.client.put("/v1/uploads/a%0Ab", content=b"x"), announced):
        assert answer.status_code == 422
        assert "without slashes, backslashes and control characters, got" in answer.json()["detail"]
        assert "^" not in answer.json()["detail"]
    assert "expected 64 hexadecimal digits in lower case, got 'x'" in announced.json()["detail"]


HIDDEN = ["a\u200bb", "a\u202eb", "a\u00a0b", "\ufeffa", "a\ue000", "a\u2028b", "a\u0085b", "a\u00adb"]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_name_with_characters_that_cannot_be_seen_is_refused(service: Service, name: str) -> None:
    code = next(f"U+{ord(letter):04X}" for letter in name if not letter.isprintable())
    words = ("expected visible characters and plain spaces only", f"got {code}")
    assert_problem(service.client.put(f"/v1/uploads/{quote(name)}", content=b"x"), 422, *words)
    assert_problem(service.client.post("/v1/uploads", json={"name": name, "size": 3}), 422, *words)
    for path in ("/v1/datasets", "/v1/checkpoints"):
        assert_problem(service.client.post(path, json={"name": name, "files": ["f"]}), 422, *words)
    assert service.client.get("/v1/uploads").json()["items"] == []


@pytest.mark.parametrize("name", ["x", " a b ", "żółć.npz", "數據", "a..b", "a:b;c&d=e?f#g", "\U0001f600", "'\""])
def test_what_is_taken_is_found_again_by_its_name(service: Service, name: str) -> None:
    assert service.client.put(f"/v1/uploads/{quote(name, safe='')}", content=b"x").status_code == 201
    assert service.client.get(f"/v1/uploads/{quote(name, safe='')}").json()["name"] == name
    made = service.client.post("/v1/datasets", json={"name": "d", "files": [name]})
    assert made.json()["source"]["files"][0]["name"] == name


def test_names_of_people_are_taken(service: Service) -> None:
    for name in ("Zahlen 0–9.npz", ".hidden", "...x", "a+b&c=d?.npz"):
        put = service.client.put("/v1/uploads/" + name.replace("?", "%3F"), content=b"x")
        assert (put.status_code, put.json()["name"]) == (201, name)


def test_an_upload_is_not_deleted_while_a_conversion_reads_it(service: Service) -> None:
    service.client.put("/v1/uploads/x", content=b"bytes")
    made = service.client.post("/v1/datasets", json={"name": "d", "files": ["x"]}).json()
    refused = service.client.delete("/v1/uploads/x")
    assert_problem(refused, 409, made["job"])
    service.client.post(f"/v1/jobs/{made['job']}/cancel")
    assert service.client.delete("/v1/uploads/x").status_code == 204
    assert service.client.get("/v1/uploads/x").status_code == 404


def test_an_upload_that_is_cut_leaves_nothing(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with listening(service) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"PUT /v1/uploads/x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(BYTES)}\r\n\r\n"
            connection.sendall(head.encode() + BYTES[: len(BYTES) // 2])
            assert until(lambda: left_behind(service.settings) != [])
        assert until(lambda: left_behind(service.settings) == [])
        assert httpx.get(f"http://127.0.0.1:{port}/v1/uploads").json()["items"] == []
    assert "Traceback" not in caplog.text


def test_a_refused_upload_is_answered_before_its_bytes_are_sent(fresh: Database, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, max_upload=1000, min_free=0)
    with (
        serving(fresh, settings) as service,
        listening(service) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        head = f"PUT /v1/uploads/x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1001\r\n"
        connection.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@contextmanager
def listening(service: Service) -> Iterator[int]:
    """The service behind a real socket; its port."""
    server = uvicorn.Server(uvicorn.Config(service.app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert until(lambda: server.started)
        yield int(listener.getsockname()[1])
        server.should_exit = True
        thread.join(timeout=20)


def until(true: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether something becomes true in that time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()
