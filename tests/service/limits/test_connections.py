"""Connections over a real socket: how many there may be, and how long their clients may take."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests_support.listening import Listening, answer_on, head, listening, status_on
from tests_support.processes import until

from radii.service.api.job_cache import JobAnswer, JobAnswers
from radii.service.cli.serve import listen
from radii.worker.settings import Settings
from radii.worker.store.database import Database

OTHER = "127.0.0.2"
FEW = {"address_connections": 3, "max_connections": 6}


def _settings(folder: Path, **changes: object) -> Settings:
    return Settings(data=folder, min_free=0, **changes)  # type: ignore[arg-type]


def _idle(listened: Listening, source: str = "127.0.0.1") -> socket.socket:
    """A connection on which one request was answered, and which stays open."""
    made = listened.send(head("GET", "/healthz"), source)
    assert status_on(made) == 200
    return made


def _busy(listened: Listening, job_id: str, source: str = "127.0.0.1") -> socket.socket:
    """A connection on which a request is being answered."""
    return listened.send(head("GET", f"/v1/jobs/{job_id}?wait=60"), source)


def _ended(connection: socket.socket) -> bool:
    """Whether the other side closes it; waits for that, and reads what is left of an answer."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_a_head_that_does_not_arrive_in_time_is_answered_with_408(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, head_seconds=0.3)) as listened:
        with listened.send("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ") as slow:
            status, text = answer_on(slow)
        assert (status, "RADII_HEAD_SECONDS" in text, listened.refused("slow_head")) == (408, True, 1)
        with listened.connect() as silent:
            assert _ended(silent), "without an answer: nothing was asked"
        assert listened.get("/healthz")[0] == 200


def test_a_head_that_trickles_does_not_get_more_time_with_every_byte(fresh: Database, tmp_path: Path) -> None:
    with (
        listening(fresh, _settings(tmp_path, head_seconds=0.5)) as listened,
        listened.send("GET / HTTP/1.1\r\n") as slow,
    ):
        for _ in range(200):
            try:
                slow.sendall(b"X-A: b\r\n")
            except OSError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("200 lines in 10 s, and still no end")
        assert listened.refused("slow_head") == 1


def test_the_next_head_on_a_connection_has_its_time_too(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, head_seconds=0.3)) as listened, _idle(listened) as connection:
        connection.sendall(b"GET /healthz HTT")
        assert _until_end(connection).count(b"HTTP/1.1 408") == 1
        assert listened.refused("slow_head") == 1


def test_a_request_that_takes_long_is_not_a_slow_head(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, head_seconds=0.2)) as listened:
        job_id = listened.service.submitted()
        with listened.send(head("GET", f"/v1/jobs/{job_id}?wait=1", Connection="close")) as waiting:
            assert answer_on(waiting)[0] == 200
        assert listened.refused("slow_head") == 0


def test_an_address_has_its_number_of_connections_and_others_have_theirs(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, **FEW)) as listened:
        job_id = listened.service.submitted()
        busy = [_busy(listened, job_id) for _ in range(3)]
        until(lambda: listened.gauge("http_connections") == 3, 10, "they are connected")
        until(lambda: listened.gauge("http_requests_running") == 0, 10, "they wait for the job")
        status, text = listened.get("/healthz")
        assert (status, "RADII_ADDRESS_CONNECTIONS" in text) == (429, True)
        assert listened.refused("address_connections") == 1
        assert listened.get("/healthz", OTHER)[0] == 200
        busy.pop().close()
        until(lambda: listened.get("/healthz")[0] == 200, 10, "what ends makes room")
        for connection in busy:
            connection.close()


def test_a_connection_that_does_no_work_makes_room_the_oldest_first(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, **FEW)) as listened:
        first, second, third = (_idle(listened) for _ in range(3))
        assert listened.get("/healthz")[0] == 200
        assert _ended(first) and listened.refused("evicted") == 1
        for still in (second, third):
            still.sendall(head("GET", "/healthz").encode())
            assert status_on(still) == 200


def test_unfinished_heads_of_one_address_do_not_keep_others_out(fresh: Database, tmp_path: Path) -> None:
    """Where the whole service is full, the address with the most connections makes room."""
    with listening(fresh, _settings(tmp_path, address_connections=5, max_connections=6)) as listened:
        half = [listened.send("GET / HTTP/1.1\r\n") for _ in range(5)]
        until(lambda: listened.gauge("http_connections") == 5, 10, "they are connected")
        friends = [_idle(listened, OTHER) for _ in range(2)]
        assert listened.get("/healthz", "127.0.0.3")[0] == 200
        assert listened.refused("evicted") == 2 and _ended(half[0]) and _ended(half[1])
        for friend in friends:
            friend.sendall(head("GET", "/healthz").encode())
            assert status_on(friend) == 200


def test_a_service_that_is_full_of_requests_says_so(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, **FEW)) as listened:
        job_id = listened.service.submitted()
        busy = [_busy(listened, job_id, source) for source in ("127.0.0.1", OTHER) for _ in range(3)]
        until(lambda: listened.gauge("http_connections") == 6, 10, "they are connected")
        until(lambda: listened.gauge("http_requests_running") == 0, 10, "they wait for the job")
        status, text = listened.get("/healthz", "127.0.0.3")
        assert (status, "RADII_MAX_CONNECTIONS" in text, listened.refused("connections")) == (503, True, 1)
        for connection in busy:
            connection.close()


def test_connections_of_a_trusted_proxy_are_not_counted_as_one_client(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, trusted_proxies="127.0.0.1", **FEW)) as listened:
        job_id = listened.service.submitted()
        busy = [_busy(listened, job_id) for _ in range(2)]
        via = [listened.send(head("GET", f"/v1/jobs/{job_id}?wait=60", X_Forwarded_For="192.0.2.7")) for _ in range(3)]
        until(lambda: listened.gauge("http_connections") == 5, 10, "they are connected")
        until(lambda: listened.gauge("http_requests_running") == 0, 10, "they wait for the job")
        assert listened.get("/v1/jobs", X_Forwarded_For="192.0.2.8")[0] == 200
        status, text = listened.get("/v1/jobs", X_Forwarded_For="192.0.2.9, 192.0.2.7")
        assert (status, "one address" in text, listened.refused("address_requests")) == (429, True, 1)
        for connection in busy + via:
            connection.close()


def test_a_client_that_does_not_take_its_answers_is_disconnected(fresh: Database, tmp_path: Path) -> None:
    with (
        listening(fresh, _settings(tmp_path, response_seconds=0.5)) as listened,
        listened.connect(receive_buffer=4096) as slow,
    ):
        slow.sendall((head("GET", "/openapi.json") * 60).encode())
        until(lambda: listened.refused("slow_reader") == 1, 20, "it is noticed")
        until(lambda: listened.gauge("http_connections") == 0, 10, "and gone")


@pytest.mark.parametrize(
    "text", ["\0\0\0\0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", f"GET /{'a' * 70_000} HTTP/1.1\r\nHost"]
)
def test_what_is_no_request_is_a_problem_like_any_other(fresh: Database, tmp_path: Path, text: str) -> None:
    with listening(fresh, _settings(tmp_path)) as listened, listened.send(text) as connection:
        status, body = answer_on(connection)
        assert (status, "urn:radii:problem:malformed-request" in body) == (400, True)
        assert listened.refused("malformed") == 1


def test_what_is_sent_after_an_early_answer_is_read_for_a_while_only(fresh: Database, tmp_path: Path) -> None:
    """An endless body without a key: answered with 401, and cut before the service has read very much of it."""
    with listening(fresh, _settings(tmp_path), require_key=True) as listened:
        with listened.send(head("POST", "/v1/jobs", Transfer_Encoding="chunked")) as endless:
            assert status_on(endless) == 401
            assert _refuses_more_than(endless, 256 * 2**20)
        assert listened.get("/healthz")[0] == 200


def _refuses_more_than(connection: socket.socket, size: int) -> bool:
    piece = b"10000\r\n" + bytes(2**16) + b"\r\n"
    try:
        for _ in range(size // len(piece)):
            connection.sendall(piece)
    except OSError:
        return True
    return False


def _until_end(connection: socket.socket) -> bytes:
    got = bytearray()
    while piece := connection.recv(65_536):
        got += piece
    return bytes(got)


@pytest.fixture(autouse=True)
def _no_stray_errors(caplog: pytest.LogCaptureFixture) -> "Callable[[], None] | None":
    """uvicorn logs what the protocol raises."""
    yield  # type: ignore[misc]
    assert not [record for record in caplog.records if record.levelname == "ERROR"], caplog.text


def test_a_client_that_reads_slowly_but_steadily_gets_all_of_a_large_answer(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes four times as long as one that takes nothing would be given."""
    large = b'"' + b"x" * 4_000_000 + b'"'
    monkeypatch.setattr(JobAnswers, "read", lambda *_: JobAnswer(active=False, etag='W/"x"', body=large))
    with (
        listening(fresh, _settings(tmp_path, response_seconds=0.5, response_rate=100_000)) as listened,
        listened.connect(receive_buffer=65_536) as slow,
    ):
        slow.sendall(head("GET", "/v1/jobs/x", Connection="close").encode())
        began, got = time.monotonic(), 0
        while piece := slow.recv(65_536):
            got += len(piece)
            time.sleep(0.03)
        assert got > len(large)
        assert time.monotonic() - began > 1.5
        assert listened.refused("slow_reader") == 0


def test_an_address_that_opens_connections_too_fast_is_answered_429_at_once(fresh: Database, tmp_path: Path) -> None:
    with listening(fresh, _settings(tmp_path, address_connection_rate=0.5)) as listened:
        for _ in range(5):
            assert listened.get("/healthz", OTHER)[0] == 200
        with listened.connect(OTHER) as silent:
            status, text = answer_on(silent)
        assert (status, "at most 0.5 new connections per second" in text) == (429, True)
        assert "RADII_ADDRESS_CONNECTION_RATE" in text
        assert listened.refused("connection_rate") == 1
        assert listened.get("/healthz")[0] == 200, "another address"


def test_answers_on_a_kept_connection_do_not_wait_for_the_clients_acknowledgement() -> None:
    without_delay: list[int] = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connection = transport.get_extra_info("socket")
            without_delay.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async def accept() -> None:
        with listen("127.0.0.1", 0) as listener:
            async with await asyncio.get_running_loop().create_server(Protocol, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                while not without_delay:
                    await asyncio.sleep(0.01)
                writer.close()

    asyncio.run(asyncio.wait_for(accept(), 10))
    assert without_delay != [0]
