"""The Python client: against scripted answers, and against a real service in a thread."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from radii.rs_core.records import Certificate
from radii.service.client import http
from radii.service.client import job as client_job
from radii.service.client.client import ApiError, Client, JobNotSucceeded, JobTimeout, Unreachable
from radii.service.schemas.responses import Checkpoint, JobKind, JobState

URL = "http://radii.test"
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted and not made."""
    made: list[float] = []
    monkeypatch.setattr(http.time, "sleep", made.append)
    return made


def client_of(handler: Handler, **options: Any) -> Client:
    return Client(URL, transport=httpx.MockTransport(handler), **options)


def scripted(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A service that gives these answers one after another, and the requests that it got."""
    left, seen = list(answers), []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler, seen


def job_body(state: str = "queued", **fields: Any) -> dict[str, Any]:
    progress = {
        "done": 0,
        "total": 10,
        "unit": "inputs",
        "work_done": 0,
        "work_total": 1000,
        "work_unit": "noise samples",
        "fraction": 0.0,
    }
    body = {"id": "job_1", "kind": "certify", "state": state, "created": "2026-01-01T00:00:00Z", "spec": {}}
    return body | {"progress": progress} | fields


def certificate_body(index: int, **fields: Any) -> dict[str, Any]:
    body = {
        "index": index,
        "label": 3,
        "prediction": 3,
        "correct": True,
        "radius": 0.1 + 0.2,
        "p_lower": 0.9,
        "counts0": [1, 0, 0, 99],
        "counts": [5, 0, 0, 995],
        "at_cap": False,
        "n0": 100,
        "n": 1000,
        "sigma": 0.25,
        "alpha": 0.001,
        "seed": 7,
        "seconds": 0.5,
        "error": None,
    }
    return body | fields


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_that_may_change_is_asked_for_again(status: int, sleeps: list[float]) -> None:
    handler, seen = scripted(httpx.Response(status), httpx.Response(200, json=job_body("running")))
    assert client_of(handler).job("job_1").state == "running"
    assert len(seen) == 2 and len(sleeps) == 1


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 507])
def test_a_problem_is_raised_at_once_and_carries_the_services_words(status: int, sleeps: list[float]) -> None:
    problem = {"type": "urn:radii:problem:x", "title": "It is wrong.", "status": status, "detail": "expected a, got b."}
    handler, seen = scripted(httpx.Response(status, json=problem))
    with pytest.raises(ApiError) as caught:
        client_of(handler).job("job_1")
    error = caught.value
    assert (error.status, error.title, error.detail) == (status, "It is wrong.", "expected a, got b.")
    assert error.problem == problem and str(error) == "expected a, got b."
    assert len(seen) == 1 and not sleeps


def test_an_error_page_that_is_no_problem_still_names_status_and_address() -> None:
    handler, _ = scripted(httpx.Response(500, text="<html>oops"))
    with pytest.raises(ApiError, match=r"http://radii\.test/v1/jobs/job_1 answered 500 Internal Server Error"):
        client_of(handler).job("job_1")


def test_retry_after_is_honoured_in_seconds_and_as_a_date(sleeps: list[float]) -> None:
    past = "Mon, 01 Jan 2001 00:00:00 GMT"
    handler, _ = scripted(
        httpx.Response(503, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": past}),
        httpx.Response(200, json=job_body()),
    )
    client_of(handler).job("job_1")
    assert sleeps == [7.0, 0.0]


def test_pauses_double_up_to_a_limit() -> None:
    for tried in range(12):
        longest = min(0.5 * 2**tried, 30.0)
        assert longest / 2 <= http.pause(tried) <= longest


def test_a_service_that_stops_answering_is_unreachable_after_all_retries(sleeps: list[float]) -> None:
    handler, seen = scripted(*[httpx.ReadTimeout("nothing came")] * 3)
    with pytest.raises(Unreachable, match=r"No answer from http://radii\.test: nothing came"):
        client_of(handler, retries=2).job("job_1")
    assert len(seen) == 3 and len(sleeps) == 2


def test_an_address_that_never_answered_is_given_up_after_one_more_try(sleeps: list[float]) -> None:
    handler, seen = scripted(*[httpx.ConnectError("refused")] * 9)
    with pytest.raises(Unreachable, match=r"No answer from http://radii\.test: refused"):
        client_of(handler, retries=8).job("job_1")
    assert len(seen) == 2 and len(sleeps) == 1


def test_a_busy_service_is_given_up_with_its_own_problem(sleeps: list[float]) -> None:
    handler, seen = scripted(*[httpx.Response(503, json={"detail": "The database cannot be reached."})] * 3)
    with pytest.raises(ApiError, match="The database cannot be reached"):
        client_of(handler, retries=2).job("job_1")
    assert len(seen) == 3


@pytest.fixture
def clock(sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes in pauses alone."""
    monkeypatch.setattr(http.time, "monotonic", lambda: sum(sleeps))
    return sleeps


def test_a_service_that_is_away_is_asked_for_as_long_as_the_caller_wants_who_is_told_once(clock: list[float]) -> None:
    answers = [httpx.Response(200, json=job_body("running")), *[httpx.ConnectError("refused")] * 99]
    told: list[tuple[str, float]] = []
    client = client_of(
        scripted(*answers)[0], keep_trying=200.0, waiting=lambda why, seconds: told.append((str(why), seconds))
    )
    job = client.job("job_1")
    with pytest.raises(Unreachable, match="refused"):
        job.refresh()
    assert 200.0 <= sum(clock) < 200.0 + http.LONGEST_PAUSE
    assert told == [("No answer from http://radii.test: refused.", clock[1])], "the first pause is told to nobody"


def test_a_full_queue_is_waited_for_and_given_up_with_the_services_words(clock: list[float]) -> None:
    full = httpx.Response(429, json={"detail": "The queue is full."}, headers={"Retry-After": "30"})
    told: list[tuple[str, float]] = []
    handler, seen = scripted(*[full] * 99)
    client = client_of(handler, keep_trying=300.0, waiting=lambda why, seconds: told.append((str(why), seconds)))
    with pytest.raises(ApiError, match="The queue is full"):
        client.certify(checkpoint="ckpt_1", dataset="ds_1")
    assert (len(seen), sum(clock), told) == (11, 300.0, [("The queue is full.", 30.0)])


def test_an_address_that_is_known_to_be_right_is_tried_longer_than_one_more_time(clock: list[float]) -> None:
    handler, seen = scripted(*[httpx.ConnectError("refused")] * 3, httpx.Response(200, json=job_body("running")))
    client = client_of(handler)
    client.http.reached = True
    assert client.job("job_1").state == "running" and len(seen) == 4


def test_every_try_of_one_submission_carries_the_same_key_and_every_submission_its_own(sleeps: list[float]) -> None:
    made = httpx.Response(202, json=job_body())
    handler, seen = scripted(httpx.ReadTimeout("slow"), httpx.Response(502), made, made)
    client = client_of(handler)
    for _ in range(2):
        client.certify(checkpoint="ckpt_1", dataset="ds_1", n=100)
    keys = [request.headers["Idempotency-Key"] for request in seen]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert all(json.loads(request.content) == json.loads(seen[0].content) for request in seen)


def test_a_submission_sends_the_given_fields_and_no_others() -> None:
    handler, seen = scripted(httpx.Response(202, json=job_body()))
    client_of(handler).certify(checkpoint="ckpt_1", dataset="ds_1", sigma=0.5, inputs={"count": 3})
    assert json.loads(seen[0].content) == {
        "kind": "certify",
        "checkpoint": "ckpt_1",
        "dataset": "ds_1",
        "sigma": 0.5,
        "inputs": {"count": 3},
    }


def test_an_evaluation_names_its_certificates_by_the_job_that_made_them() -> None:
    handler, seen = scripted(httpx.Response(200, json=job_body()), httpx.Response(202, json=job_body()))
    with client_of(handler) as client:
        evaluation = {"name": "attack", "certificates": client.job("job_1")}
        client.evaluate(evaluation, checkpoint="ckpt_1", dataset="ds_1", seed=2)
    assert json.loads(seen[1].content) == {
        "kind": "evaluate",
        "checkpoint": "ckpt_1",
        "dataset": "ds_1",
        "evaluation": {"name": "attack", "certificates": "job_1"},
        "seed": 2,
    }


def test_the_key_is_sent_and_only_when_there_is_one() -> None:
    handler, seen = scripted(*[httpx.Response(200, json=job_body())] * 2)
    client_of(handler, api_key="radii_x").job("job_1")
    client_of(handler).job("job_1")
    assert seen[0].headers["Authorization"] == "Bearer radii_x"
    assert "Authorization" not in seen[1].headers


class Receiving(httpx.BaseTransport):
    """A service that takes uploads, refuses the first, and notes the pieces in which they came."""

    def __init__(self) -> None:
        self.bodies: list[list[bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/v1/uploads/my%20set.npz"
        assert request.headers["Content-Length"] == "256000"
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.bodies.append(list(request.stream))
        if len(self.bodies) == 1:
            return httpx.Response(503)
        body = {"id": "up_1", "name": "my set.npz", "sha256": "0" * 64, "size": 256_000}
        return httpx.Response(201, json=body | {"created": "2026-01-01T00:00:00Z"})


def test_an_upload_is_streamed_and_begins_anew_with_each_try(tmp_path: Path, sleeps: list[float]) -> None:
    path = tmp_path / "my set.npz"
    path.write_bytes(bytes(range(256)) * 1000)
    service = Receiving()
    assert Client(URL, transport=service).upload(path).size == 256_000
    assert [b"".join(pieces) for pieces in service.bodies] == [path.read_bytes()] * 2
    assert all(len(pieces) > 1 for pieces in service.bodies), "the file was read into memory as one piece"


def test_certificates_follow_the_cursors_and_become_records_of_the_library() -> None:
    pages = {
        None: {"items": [certificate_body(0), certificate_body(2)], "next_cursor": "abc"},
        "abc": {"items": [certificate_body(5, prediction=None, label=None, radius=0.0)], "next_cursor": None},
    }

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/jobs/job_1":
            return httpx.Response(200, json=job_body("succeeded"))
        return httpx.Response(200, json=pages[request.url.params.get("cursor")])

    found = list(client_of(handler).job("job_1").certificates())
    assert [row.index for row in found] == [0, 2, 5]
    assert all(type(row) is Certificate for row in found)
    assert (found[0].radius, found[0].counts, found[0].correct) == (0.1 + 0.2, (5, 0, 0, 995), True)
    assert (found[2].prediction, found[2].label, found[2].correct) == (-1, -1, False)


def test_waiting_polls_with_the_known_tag_until_the_end_and_tells_of_progress(sleeps: list[float]) -> None:
    handler, seen = scripted(
        httpx.Response(202, json=job_body(), headers={"ETag": 'W/"1"'}),
        httpx.Response(304, headers={"ETag": 'W/"1"'}),
        httpx.Response(200, json=job_body("running"), headers={"ETag": 'W/"2"'}),
        httpx.Response(200, json=job_body("succeeded"), headers={"ETag": 'W/"3"'}),
    )
    states: list[str] = []
    job = client_of(handler).certify(checkpoint="c", dataset="d").wait(progress=lambda job: states.append(job.state))
    assert job.state == "succeeded" and states == ["queued", "running", "succeeded"]
    assert [request.headers.get("If-None-Match") for request in seen] == [None, 'W/"1"', 'W/"1"', 'W/"2"']
    assert all(float(request.url.params["wait"]) > 0 for request in seen[1:])


def test_events_are_read_past_progress_and_what_keeps_the_connection_alive() -> None:
    def sent(seq: int, kind: str) -> str:
        body = {"job": "job_1", "seq": seq, "type": kind, "created": "2026-02-03T09:15:00Z", "data": {}}
        return f"event: {kind}\ndata: {json.dumps(body)}\nid: {seq}\n\n"

    progress = 'event: progress\ndata: {"done": 1, "total": 2, "work_done": 1, "work_total": 2}\n\n'
    stream = sent(0, "queued") + ": ping\n\n" + sent(1, "running") + progress + ": ping\n\n" + sent(2, "succeeded")

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, text=stream, headers={"Content-Type": "text/event-stream"})
        return httpx.Response(200, json=job_body("succeeded"))

    with client_of(handler) as client:
        assert [event.type for event in client.job("job_1").events()] == ["queued", "running", "succeeded"]


def test_waiting_ends_with_an_error_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 0.4)
    monkeypatch.setattr(client_job.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(client_job.time, "sleep", lambda seconds: None)
    job = client_of(lambda request: httpx.Response(200, json=job_body("running"))).job("job_1")
    with pytest.raises(JobTimeout, match="is running after 2 s"):
        job.wait(timeout=2)


def test_a_failed_job_is_returned_or_raised_as_the_caller_wants() -> None:
    problem = {"type": "x", "title": "t", "status": 422, "detail": "The loss is no number."}
    handler, _ = scripted(*[httpx.Response(200, json=job_body("failed", problem=problem))] * 2)
    assert client_of(handler).job("job_1").wait().state == "failed"
    with pytest.raises(JobNotSucceeded, match=r"job_1 \(certify\) has failed: The loss is no number\."):
        client_of(handler).job("job_1").wait(check=True)


def test_a_rejected_data_set_is_an_error_with_its_reason(tmp_path: Path) -> None:
    row = {"id": "ds_1", "name": "x", "created": "2026-01-01T00:00:00Z", "job": "job_1"}
    problem = {"type": "x", "title": "t", "status": 422, "detail": "The data set cannot be read."}
    handler, seen = scripted(
        httpx.Response(202, json=row | {"state": "pending"}),
        httpx.Response(200, json=job_body("failed", kind="convert")),
        httpx.Response(200, json=row | {"state": "rejected", "problem": problem}),
    )
    with pytest.raises(ApiError, match="The data set cannot be read"):
        client_of(handler).add_dataset("x", builtin="digits")
    assert json.loads(seen[0].content) == {"name": "x", "builtin": "digits"}


def test_a_download_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"idx\tlabel"
        raise httpx.ReadError("cut")

    handler, _ = scripted(httpx.Response(200, json=job_body("succeeded")), httpx.Response(200, content=pieces()))
    job = client_of(handler).job("job_1")
    with pytest.raises(Unreachable, match="broke off"):
        job.download("certificates.tsv", tmp_path / "certificates.tsv")
    assert list(tmp_path.iterdir()) == []


def test_identifiers_cannot_lead_out_of_their_place() -> None:
    handler, seen = scripted(*[httpx.Response(200, json=job_body())] * 2)
    client = client_of(handler)
    client.job("../tenants?x=1")
    client.job("")
    assert seen[0].url.raw_path == b"/v1/jobs/..%2Ftenants%3Fx%3D1"
    assert seen[1].url.raw_path == b"/v1/jobs/-"


def test_the_client_needs_neither_torch_nor_the_server() -> None:
    heavy = "torch scipy matplotlib sqlalchemy fastapi celery uvicorn worker radii.service.api.app"
    code = f"import sys, radii.service.client.client; print([name for name in {heavy.split()} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_composition_names_its_parts_and_its_settings() -> None:
    made = {"id": "ckpt_3", "name": "mix", "state": "ready", "created": "2026-01-01T00:00:00Z"}
    handler, seen = scripted(httpx.Response(202, json=made), httpx.Response(200, json=made))
    part = Checkpoint.model_validate(made | {"id": "ckpt_1"})
    with client_of(handler) as client:
        assert client.compose("mix", "mixed", [part, "ckpt_2"], robust_weight=0.76, standard_size=None).id == "ckpt_3"
    assert json.loads(seen[0].content) == {
        "name": "mix",
        "compose": {"kind": "mixed", "parts": ["ckpt_1", "ckpt_2"], "robust_weight": 0.76},
    }


def test_a_job_names_every_kind_and_every_state_that_there_is() -> None:
    for of, values in ((client_job.Job.kind, JobKind), (client_job.Job.state, JobState)):
        *most, last = get_args(values)
        assert of.__doc__ == f"{', '.join(most)} or {last}."
