"""What is decided from the head of a request, and that one tenant does not keep others waiting; over a real socket."""

import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests_support.listening import SECONDS, Listening, answer_on, head, listening, status_on
from tests_support.over_http import Service
from tests_support.processes import until

from radii.service.api import upload_stream
from radii.service.api.auth import Credentials
from radii.service.api.job_cache import JobAnswer, JobAnswers
from radii.service.limits.request_bodies import IMAGES, JSON_BODY, limit_of
from radii.service.views import certification_report
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database


def _settings(folder: Path, **changes: object) -> Settings:
    return Settings(data=folder, min_free=0, **changes)  # type: ignore[arg-type]


MANY = 100
OTHER = "127.0.0.2"
JSON = {"Content_Type": "application/json"}
EXPECTED = {**JSON, "Content_Length": "1000000", "Expect": "100-continue"}


@pytest.mark.parametrize(
    "headers", [EXPECTED, {**JSON, "Transfer_Encoding": "chunked"}, {**JSON, "Content_Length": "1000000"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/jobs"), ("POST", "/v1/predictions"), ("PUT", "/v1/uploads/a"), ("POST", "/x")]
)
def test_without_a_valid_key_a_body_is_not_asked_for(
    fresh: Database, tmp_path: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    with listening(fresh, _settings(tmp_path), require_key=True) as listened:
        for key in ({}, {"Authorization": "Bearer radii_wrong"}):
            with listened.send(head(method, path, **headers, **key)) as connection:
                status, text = answer_on(connection)  # not a byte of the body was sent
                assert (status, "key-needed" in text) == (401, True)
        assert listened.refused("credentials") == 2
        with listened.send(head(method, path, **headers, **listened.service.key("one"))) as connection:
            if headers is EXPECTED and path in ("/v1/jobs", "/v1/uploads/a"):
                assert status_on(connection) == 100, "with one it is"


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path)) as listened:
        for path, most in (("/v1/jobs", JSON_BODY), ("/v1/datasets", JSON_BODY), ("/v1/predictions?x", IMAGES)):
            with listened.send(head("POST", path, **JSON, Content_Length=str(most + 1))) as connection:
                status, text = answer_on(connection)
                assert (status, f"at most {most:,} bytes" in text, f"{most + 1:,} bytes" in text) == (413, True, True)
        assert listened.refused("body_size") == 3


def test_a_body_in_chunks_is_measured_while_it_comes(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path)) as listened:
        with listened.send(head("POST", "/v1/jobs", **JSON, Transfer_Encoding="chunked")) as connection:
            for _ in range(JSON_BODY // 2**16 + 1):
                connection.sendall(b"10000\r\n" + b" " * 2**16 + b"\r\n")
            status, text = answer_on(connection)  # without the last chunk
        assert (status, f"at most {JSON_BODY:,} bytes" in text, listened.refused("body_size")) == (413, True, 1)


def test_every_operation_has_a_limit_for_its_body(service: Service) -> None:
    """Uploads alone may be as large as the settings say."""
    found: dict[int | None, set[str]] = {}
    for path, operations in service.client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            scope = {"method": method.upper(), "path": re.sub(r"\{.*?\}", "x", path)}
            found.setdefault(limit_of(scope), set()).add(f"{method} {path}")
    assert found[None] == {"put /v1/uploads/{name}", "put /v1/uploads/{upload_id}/parts/{number}"}
    assert found[IMAGES] == {"post /v1/predictions"}
    assert set(found) == {None, IMAGES, JSON_BODY}


def test_a_body_that_stops_or_trickles_is_answered_with_408(fresh: Database, tmp_path: Path) -> None:
    settings = _settings(tmp_path, body_seconds=0.4, body_rate=1_000)
    with listening(fresh, settings) as listened:
        for path in ("/v1/jobs", "/v1/uploads"):
            with listened.send(head("POST", path, **JSON, Content_Length="100000") + "{") as stopped:
                status, text = answer_on(stopped)
                assert (status, "RADII_BODY_SECONDS" in text) == (408, True)
        with listened.send(head("PUT", "/v1/uploads/a", Content_Length="100000")) as trickles:
            for _ in range(int(SECONDS / 0.05)):
                try:
                    trickles.sendall(b"x")
                except OSError:
                    break
                time.sleep(0.05)
            else:
                raise AssertionError("20 bytes per second went on for ever")
        assert listened.refused("slow_body") == 3
        with listened.send(head("PUT", "/v1/uploads/a", Content_Length="4000", Connection="close")) as steady:
            for _ in range(16):
                time.sleep(0.05)
                steady.sendall(bytes(250))
            assert answer_on(steady)[0] == 201, "longer than body_seconds, and fast enough"


def test_a_tenant_has_its_number_of_streams_and_others_have_theirs(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, tenant_streams=2), require_key=True) as listened, ExitStack() as stack:
        keys, jobs = {}, {}
        for name in ("one", "two"):
            keys[name] = listened.service.key(name)
            jobs[name] = _job(listened.service, name, keys[name])

        def stream(name: str) -> Any:
            path = f"/v1/jobs/{jobs[name]}/events"
            return stack.enter_context(listened.send(head("GET", path, **keys[name])))

        streams = [stream("one"), stream("one")]
        assert [status_on(connection) for connection in streams] == [200, 200]
        assert listened.gauge("http_event_streams") == 2
        status, text = listened.get(f"/v1/jobs/{jobs['one']}/events", **keys["one"])
        assert (status, "RADII_TENANT_STREAMS" in text, listened.refused("tenant_streams")) == (429, True, 1)
        assert listened.get(f"/jobs/{jobs['one']}/events", **keys["one"])[0] == 429, "nor the same at another path"
        assert status_on(stream("two")) == 200
        assert listened.get(f"/v1/jobs/{jobs['one']}", **keys["one"])[0] == 200
        streams[0].close()
        until(lambda: listened.gauge("http_event_streams") == 2, 20, "what ends makes room")
        assert status_on(stream("one")) == 200


def test_an_address_has_its_number_of_streams_behind_a_trusted_proxy(fresh: Database, tmp_path: Path) -> None:
    settings = _settings(tmp_path, address_streams=1, trusted_proxies="127.0.0.1")
    with listening(fresh, settings) as listened, ExitStack() as stack:
        job_id = listened.service.submitted()

        def status(client: str) -> int:
            request = head("GET", f"/v1/jobs/{job_id}/events", X_Forwarded_For=client)
            return status_on(stack.enter_context(listened.send(request)))

        clients = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3, 192.0.2.1"]
        assert [status(client) for client in clients] == [200, 429, 200, 429]
        assert listened.refused("address_streams") == 2


def test_a_header_of_an_untrusted_client_does_not_change_its_address(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, address_streams=1)) as listened, ExitStack() as stack:
        job_id = listened.service.submitted()
        requests = [head("GET", f"/v1/jobs/{job_id}/events", X_Forwarded_For=f"192.0.2.{n}") for n in (1, 2)]
        assert [status_on(stack.enter_context(listened.send(request))) for request in requests] == [200, 429]


def test_a_tenant_has_its_number_of_requests_at_a_time(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, tenant_requests=3), require_key=True) as listened, ExitStack() as stack:
        one, two = listened.service.key("one"), listened.service.key("two")
        job_id = _job(listened.service, "one", one)
        poll = head("GET", f"/v1/jobs/{job_id}?wait=60", **one)

        def all_taken() -> bool:
            if listened.get("/v1/jobs", **one)[0] == 429:
                return True
            stack.enter_context(listened.send(poll))  # the request above may have taken the place of an earlier one
            return False

        until(all_taken, 10, "as many requests wait as a tenant may have")
        assert listened.refused("tenant_requests") >= 1
        assert listened.get("/v1/jobs", **two)[0] == 200


@pytest.mark.parametrize("waits", ["for a thread", "for memory"])
def test_a_tenant_with_very_many_requests_does_not_keep_another_waiting(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    """More than twice as many requests as there are threads, none of which ends: another tenant is answered anyway."""
    with listening(fresh, _settings(tmp_path), require_key=True) as listened, ExitStack() as stack:
        one, two = listened.service.key("one"), listened.service.key("two")
        mine, others = _job(listened.service, "one", one), _job(listened.service, "two", two)
        stop = threading.Event()
        stack.callback(stop.set)
        read = JobAnswers.read

        def blocked(self: JobAnswers, tenant_id: str, job_id: str) -> JobAnswer:
            if job_id == mine:
                stop.wait(60)
            return read(self, tenant_id, job_id)

        monkeypatch.setattr(JobAnswers, "read", blocked)
        request = head("GET", f"/v1/jobs/{mine}", **one)
        if waits == "for memory":
            path = f"/v1/predictions?checkpoint={listened.service.checkpoint(tenant='one')}"
            request = head("POST", path, **one, Content_Length=str(IMAGES))
        for _ in range(MANY):
            stack.enter_context(listened.send(request))
        until(lambda: listened.gauge("http_connections") == MANY, 20, "they are connected")
        if waits == "for a thread":
            until(lambda: listened.gauge("http_requests_waiting") > MANY / 2, 20, "they wait")
            assert listened.gauge("http_requests_running") == listened.service.settings.tenant_running_requests
        else:
            assert listened.gauge("http_body_bytes") <= listened.service.settings.tenant_body_memory
        assert listened.get(f"/v1/jobs/{others}", **two)[0] == 200
        body = '{"name": "d", "builtin": "digits"}'
        sent = head("POST", "/v1/datasets", **JSON, **two, Content_Length=str(len(body)), Connection="close")
        with listened.send(sent + body) as connection:
            assert answer_on(connection)[0] == 202
        stop.set()


def test_a_request_that_waits_for_a_job_or_a_body_takes_no_turn(fresh: Database, tmp_path: Path) -> None:
    settings = _settings(tmp_path, tenant_running_requests=1, running_requests=2)
    with listening(fresh, settings) as listened, ExitStack() as stack:
        job_id = listened.service.submitted()
        for request in (
            head("GET", f"/v1/jobs/{job_id}?wait=60"),
            head("GET", f"/v1/jobs/{job_id}/events"),
            head("PUT", "/v1/uploads/a", Content_Length="100"),
            head("POST", "/v1/jobs", **JSON, Content_Length="100"),
        ):
            stack.enter_context(listened.send(request))
        until(lambda: listened.gauge("http_connections") == 4, 10, "they are connected")
        assert listened.get("/v1/jobs")[0] == 200


def test_turns_and_memory_come_back_when_clients_leave_in_the_middle(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path)) as listened:
        job_id = listened.service.submitted()
        for request in (
            head("GET", f"/v1/jobs/{job_id}/events"),
            head("PUT", "/v1/uploads/a", Content_Length="100"),
            head("POST", "/v1/jobs", **JSON, Content_Length="1000") + "{",
            head("POST", "/v1/predictions?checkpoint=x", Transfer_Encoding="chunked"),
        ):
            for _ in range(5):
                listened.send(request).close()
        _gone(listened)


@pytest.mark.parametrize("depth", [20, 200, 900, 990, 2_000, 500_000])
@pytest.mark.parametrize("shape", ["lists", "objects", "a field", "a known field"])
def test_deeply_nested_json_is_a_mistake_of_the_client(service: Service, depth: int, shape: str) -> None:
    text = {
        "lists": "[" * depth + "]" * depth,
        "objects": '{"a":' * depth + "1" + "}" * depth,
        "a field": '{"kind":"certify","x":' + "[" * depth + "]" * depth + "}",
        "a known field": '{"kind":"certify","inputs":' + '{"count":' * depth + "1" + "}" * depth + "}",
    }[shape]
    for path in ("/v1/jobs", "/v1/datasets", "/v1/checkpoints", "/v1/uploads"):
        answer = service.client.post(path, content=text[: 2**20], headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (path, answer.text[:300])
        assert answer.headers["content-type"] == "application/problem+json"
        assert (
            depth < 2_000
            or any(word in answer.json()["detail"] for word in ("levels", "200,000 values"))
            or len(text) > 2**20
        )


def _job(service: Service, tenant: str, key: dict[str, str]) -> str:
    body = {"kind": "certify", "n": 100, "inputs": {"count": 2}}
    body |= {"dataset": service.dataset(tenant=tenant), "checkpoint": service.checkpoint(tenant=tenant)}
    return str(service.client.post("/v1/jobs", json=body, headers=key).json()["id"])


def _gone(listened: Listening) -> None:
    for name in ("connections", "requests_running", "requests_waiting", "body_bytes", "event_streams"):
        until(lambda name=name: listened.gauge(f"http_{name}") == 0, 20, name)  # type: ignore[misc]


def test_a_request_that_waits_ends_when_its_client_is_gone(fresh: Database, tmp_path: Path) -> None:
    """Otherwise a tenant would be refused for a minute after its clients have left."""
    with listening(fresh, _settings(tmp_path, tenant_requests=2)) as listened:
        job_id = listened.service.submitted()
        for _ in range(2):
            listened.send(head("GET", f"/v1/jobs/{job_id}?wait=60")).close()
        until(lambda: listened.get("/v1/jobs")[0] == 200, 10, "their places are free again")


def test_one_tenant_makes_one_report_at_a_time_and_others_theirs(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        listening(fresh, _settings(tmp_path, tenant_running_requests=2), require_key=True) as listened,
        ExitStack() as stack,
    ):
        one, two = listened.service.key("one"), listened.service.key("two")
        mine, others = _job(listened.service, "one", one), _job(listened.service, "two", two)
        stop, begun = threading.Event(), list[str]()
        stack.callback(stop.set)
        find = certification_report.sources

        def blocked(session: Any, job: Any) -> Any:
            begun.append(job.id)
            if job.id == mine:
                stop.wait(60)
            return find(session, job)

        monkeypatch.setattr(certification_report, "sources", blocked)
        for path in ("report", "report.csv", "plots/certified-accuracy.png") * 10:
            stack.enter_context(listened.send(head("GET", f"/v1/jobs/{mine}/{path}", **one)))
        stack.enter_context(listened.send(head("GET", f"/v1/compare?job={mine}", **one)))
        until(lambda: listened.gauge("http_connections") == 31 and begun == [mine], 20, "they are there")
        assert listened.get(f"/v1/jobs/{others}/report", **two)[0] == 200
        assert listened.get(f"/v1/jobs/{mine}", **one)[0] == 200, "what is quick does not wait for them either"
        assert begun == [mine, others]
        stop.set()


def test_a_client_that_does_not_read_its_answers_holds_no_turn(fresh: Database, tmp_path: Path) -> None:
    """The second of two answers on a connection does not begin before the first one was taken."""
    settings = _settings(tmp_path, tenant_running_requests=1, running_requests=2)
    with listening(fresh, settings, require_key=True) as listened, ExitStack() as stack:
        unread = head("GET", "/openapi.json") * 8
        for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            connection = stack.enter_context(listened.connect(source, receive_buffer=4_096))
            connection.sendall(unread.encode())
        until(lambda: listened.gauge("http_connections") == 3, 10, "they are connected")
        for _ in range(20):  # whenever one looks
            assert listened.get("/openapi.json")[0] == 200
        assert listened.gauge("http_requests_running") == 0


def test_requests_that_wait_for_a_look_at_their_keys_are_counted_and_dropped_with_their_clients(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(fresh, _settings(tmp_path, address_connections=4), require_key=True) as listened:
        one, release = listened.service.key("one"), threading.Event()
        look = Credentials._owner

        def blocked(self: Credentials, secret: str) -> str | None:
            if secret == "made-up":
                release.wait(60)
            return look(self, secret)

        monkeypatch.setattr(Credentials, "_owner", blocked)
        guess = head("GET", "/v1/jobs", Authorization="Bearer made-up")
        counts = listened.app.state.room._counts["requests"]
        with ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(listened.send(guess, OTHER))
            until(lambda: counts[f"address {OTHER}"] == 4, 10, "they are counted before their keys are known")
            assert listened.get("/v1/jobs", **one)[0] == 200
            assert listened.gauge("http_key_lookups_waiting") == 2, (
                "half of the threads for lookups are another address's"
            )
        until(lambda: counts[f"address {OTHER}"] <= 2, 10, "those are dropped whose lookups have not begun")
        assert listened.gauge("http_key_lookups_waiting") == 0
        release.set()
        until(lambda: f"address {OTHER}" not in counts, 10, "all are")


def test_small_bodies_do_not_wait_for_slow_large_ones_of_their_tenant(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path)) as listened, ExitStack() as stack:
        path = f"/v1/predictions?checkpoint={listened.service.checkpoint()}"
        for _ in range(3):  # each may become 16 MiB, and a tenant has 32
            stack.enter_context(listened.send(head("POST", path, Transfer_Encoding="chunked")))
        until(lambda: listened.gauge("http_bodies_waiting") == 1, 10, "they have all of the tenant's memory for bodies")
        body = '{"name": "d", "builtin": "digits"}'
        sent = head("POST", "/v1/datasets", **JSON, Content_Length=str(len(body)), Connection="close")
        with listened.send(sent + body) as connection:
            assert answer_on(connection)[0] == 202


def test_a_tenant_is_answered_while_its_large_upload_is_written_to_a_slow_disk(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(fresh, _settings(tmp_path)) as listened, ExitStack() as stack:
        release, begun, seal = threading.Event(), threading.Event(), blob_files.Writer.seal
        stack.callback(release.set)

        def slow(writer: blob_files.Writer) -> blob_files.SealedBlob:
            begun.set()
            release.wait(60)
            return seal(writer)

        monkeypatch.setattr(blob_files.Writer, "seal", slow)
        monkeypatch.setattr(upload_stream, "SLOW", 1)
        put = stack.enter_context(listened.send(head("PUT", "/v1/uploads/a", Content_Length="1") + "x"))
        assert begun.wait(10)
        assert listened.get("/v1/jobs")[0] == 200
        assert not release.is_set()
        release.set()
        assert status_on(put) == 201


def test_a_report_that_waits_is_not_made_for_a_client_that_has_left(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(fresh, _settings(tmp_path, tenant_running_requests=2)) as listened, ExitStack() as stack:
        release, begun = threading.Event(), []
        stack.callback(release.set)

        def blocked(*_: object) -> None:
            begun.append(1)
            release.wait(60)

        monkeypatch.setattr(certification_report, "sources", blocked)
        ask = head("GET", f"/v1/jobs/{listened.service.submitted()}/report")
        first = stack.enter_context(listened.send(ask))
        until(lambda: len(begun) == 1, 10, "the first is made")
        with ExitStack() as others:
            for _ in range(5):
                others.enter_context(listened.send(ask))
            until(lambda: listened.gauge("http_documents_waiting") == 5, 10, "the others wait")
        until(lambda: listened.gauge("http_documents_waiting") == 0, 10, "they are dropped")
        release.set()
        assert status_on(first) == 500, "it is made of nothing here"
        assert len(begun) == 1
