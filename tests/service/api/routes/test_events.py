"""A job's events over HTTP: as they happen, in order, none missing and none twice, through lost connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse
from tests_support import things
from tests_support.live import running
from tests_support.over_http import Service

from radii.service.client.client import Client
from radii.worker.store import jobs

pytestmark = pytest.mark.long


@contextmanager
def _cutting(address: str, after: int) -> Iterator[str]:
    """A way to the service on which every stream of events breaks after so many bytes."""
    target = urlsplit(address)
    listener = socket.create_server(("127.0.0.1", 0))

    def forward(here: socket.socket) -> None:
        with here, socket.create_connection((target.hostname, target.port)) as there:
            left = [1 << 30]
            threading.Thread(target=_ask, args=(here, there, left, after), daemon=True).start()
            _answer(there, here, left)

    def accept() -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=forward, args=(here,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def _ask(here: socket.socket, there: socket.socket, left: list[int], after: int) -> None:
    with suppress(OSError):
        while piece := here.recv(65_536):
            if b"/events" in piece:
                left[0] = after
            there.sendall(piece)


def _answer(there: socket.socket, here: socket.socket, left: list[int]) -> None:
    with suppress(OSError):
        while left[0] > 0 and (piece := there.recv(4096)):
            here.sendall(piece[: left[0]])
            left[0] -= len(piece)
        here.shutdown(socket.SHUT_RDWR)


def _stream(service: Service, job_id: str, last: int | None = None) -> list[ServerSentEvent]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with connect_sse(service.client, "GET", f"/v1/jobs/{job_id}/events", headers=headers) as source:
        return list(source.iter_sse())


def test_every_change_of_a_job_is_an_event_and_the_stream_ends_with_the_job(either: Service) -> None:
    job_id = either.finished()
    events = _stream(either, job_id)
    assert [(event.id, event.event) for event in events] == [("0", "queued"), ("1", "running"), ("2", "succeeded")]
    assert all(event.json()["job"] == job_id for event in events)


@pytest.mark.parametrize(("last", "following"), [(0, ["1", "2"]), (1, ["2"]), (2, []), (99, [])])
def test_a_stream_goes_on_after_the_last_event_that_came(service: Service, last: int, following: list[str]) -> None:
    job_id = service.finished()
    assert [event.id for event in _stream(service, job_id, last)] == following


def test_a_stream_of_no_job_is_a_404_and_a_number_that_is_none_a_422(service: Service) -> None:
    assert service.client.get("/v1/jobs/job_none/events").status_code == 404
    job_id = service.finished()
    for wrong in ("x", "-1", str(2**63)):
        answer = service.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": wrong})
        assert answer.status_code == 422, wrong


def test_another_tenants_events_are_not_to_be_seen(locked: Service) -> None:
    tenant_id = things.tenant(locked.database, "owner")
    with locked.database.write() as session:
        new = jobs.NewJob(tenant_id=tenant_id, spec=things.spec("certify"), shards=[], total=1, work_total=1)
        job_id = jobs.submit(session, new).id
    answer = locked.client.get(f"/v1/jobs/{job_id}/events", headers=locked.key("stranger"))
    assert answer.status_code == 404


def test_what_is_noted_of_a_job_that_has_ended_is_an_event_too(service: Service) -> None:
    job_id = service.finished()
    with service.database.write() as session:
        jobs.note_output(session, job_id, {"checkpoint": "ckpt_1"})
    assert [(event.event, event.json()["data"]) for event in _stream(service, job_id, 2)] == [
        ("output", {"checkpoint": "ckpt_1"})
    ]


def test_events_arrive_while_they_happen_and_survive_lost_connections(tmp_path: Path) -> None:
    with running(tmp_path / "data") as (address, _), Client(address) as client:
        data = client.add_dataset("digits", builtin="digits")
        training = client.train(
            dataset=data,
            architecture="digits_cnn",
            sigma=0.25,
            epochs=1,
            batch_size=64,
            learning_rate=0.05,
            inputs={"count": 640},
        ).wait(check=True)
        job = client.certify(
            checkpoint=training.checkpoint_id or "", dataset=data, n=3_000, inputs={"count": 8}, batch_size=100
        )
        seen: list[str] = []
        with httpx.stream("GET", f"{address}/v1/jobs/{job.id}/events", timeout=60) as response:
            for line in response.iter_lines():
                if line.startswith("event: "):
                    seen.append(line.removeprefix("event: "))
        again = client.certify(checkpoint=training.checkpoint_id or "", dataset=data, n=1_000, inputs={"count": 8})
        assert [event.type for event in again.events()] == ["queued", "running", "succeeded"], "while it runs"
        changes = [name for name in seen if name != "progress"]
        assert changes == ["queued", "running", "succeeded"]
        assert seen.index("progress") < seen.index("succeeded"), "progress was told before the end"
        # One event is about 200 bytes, the answer's head as much: no connection lasts for all of them.
        with _cutting(address, after=600) as configuration, Client(configuration) as far_away:
            events = list(far_away.job(job.id).events())
        assert [(event.seq, event.type) for event in events] == list(enumerate(changes))
        assert [event.seq for event in client.job(job.id).events(after=0)] == [1, 2]


def test_a_service_that_is_told_to_end_lets_those_go_who_follow_a_job(tmp_path: Path) -> None:
    """In order: the stream has an end, and the log no error."""
    with running(tmp_path / "data", "--workers", "0") as (address, process), Client(address) as client:
        data = client.add_dataset("digits", builtin="digits", wait=False)
        job_id = httpx.get(f"{address}/v1/jobs?kind=convert").json()["items"][0]["id"]
        assert data
        with httpx.stream("GET", f"{address}/v1/jobs/{job_id}/events", timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: queued"
            process.terminate()
            assert not any(line.startswith("event") for line in lines), "nothing more, to its end"
    assert "error" not in (tmp_path / "data.log").read_text().lower()
