"""Reports, plots, comparisons and files come from a process of their own, and the service outlives it."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from tests_support.live import killed
from tests_support.over_http import Service, serving
from tests_support.processes import until

from radii.service.api.document_process import running_of_one_tenant
from radii.service.api.documents import DocumentProcess
from radii.service.errors import DocumentsUnavailable
from radii.worker.settings import Settings
from radii.worker.store.database import Database

HOST = "127.0.0.1"
NOTHING_TO_COMPARE = "expected at least one job or file to compare"


@pytest.fixture
def service(fresh: Database, tmp_path: Path) -> Iterator[Service]:
    """A service without another process, over a database that another process can read."""
    with serving(fresh, _settings(fresh, tmp_path)) as found:
        yield found


def _settings(database: Database, folder: Path) -> Settings:
    url = database.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    return Settings(data=folder, min_free=0, database_url=url)


def _request(path: str, query: str = "", **headers: str) -> Request:
    given = {"host": HOST, **headers}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
    )


def _with_process(
    settings: Settings, act: Callable[[DocumentProcess], Coroutine[Any, Any, None]], *, require_key: bool = False
) -> None:
    async def run() -> None:
        documents = DocumentProcess(settings, require_key=require_key)
        try:
            await act(documents)
        finally:
            await documents.close()

    asyncio.run(run())


async def _body(answer: Response) -> bytes:
    assert isinstance(answer, StreamingResponse)
    return b"".join([piece async for piece in answer.body_iterator])  # type: ignore[misc]


def test_what_the_other_process_answers_is_what_the_application_answers(service: Service) -> None:
    paths = [("/v1/jobs/job_x/report", ""), ("/v1/compare", ""), ("/v1/compare", "job=%C3%A9&published=none")]

    async def act(documents: DocumentProcess) -> None:
        for path, query in paths:
            answer = await documents.answer(_request(path, query))
            expected = service.client.get(f"{path}?{query}", headers={"Host": HOST})
            assert (answer.status_code, await _body(answer)) == (expected.status_code, expected.content)
            headers = {name: value for name, value in answer.headers.items() if name not in ("date", "server")}
            assert headers == dict(expected.headers)

    _with_process(service.settings, act)


def test_keys_are_looked_up_by_the_other_process_too(service: Service) -> None:
    async def act(documents: DocumentProcess) -> None:
        without = await documents.answer(_request("/v1/compare"))
        assert without.status_code == 401
        mine = await documents.answer(_request("/v1/compare", **service.key("mine")))
        assert (mine.status_code, NOTHING_TO_COMPARE in (await _body(mine)).decode()) == (422, True)

    _with_process(service.settings, act, require_key=True)


def test_a_process_that_has_ended_is_told_in_the_log_and_started_again(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radii.service.api.documents.Backoff", lambda **_: _Pause(0.3))

    async def act(documents: DocumentProcess) -> None:
        await documents.answer(_request("/v1/compare"))
        assert documents.pid is not None
        first = documents.pid
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(0.1)
        with caplog.at_level(logging.ERROR), pytest.raises(DocumentsUnavailable, match="try again in a few seconds"):
            await documents.answer(_request("/v1/compare"))
        assert "was ended by signal 9" in caplog.text
        await asyncio.sleep(0.3)
        assert (await documents.answer(_request("/v1/compare"))).status_code == 422
        assert documents.pid != first

    _with_process(service.settings, act)


class _Pause:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def pause(self) -> float:
        return self._seconds

    def reset(self) -> None:
        pass


def test_a_request_whose_process_ends_is_answered_503(service: Service) -> None:
    async def act(documents: DocumentProcess) -> None:
        documents.start()
        assert documents.pid is not None
        os.kill(documents.pid, signal.SIGSTOP)
        waits = asyncio.ensure_future(documents.answer(_request("/v1/compare")))
        await asyncio.sleep(0.1)
        os.kill(documents.pid, signal.SIGKILL)
        with pytest.raises(DocumentsUnavailable) as refused:
            await waits
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")

    _with_process(service.settings, act)


def test_nothing_is_left_of_a_process_that_was_closed(service: Service) -> None:
    left: list[Path] = []

    async def act(documents: DocumentProcess) -> None:
        documents.start()
        assert documents._folder is not None and documents.pid is not None
        left.extend([documents._folder, Path(f"/proc/{documents.pid}")])
        assert documents._folder.stat().st_mode & 0o077 == 0, "nobody else can connect"
        assert all(path.exists() for path in left)

    _with_process(service.settings, act)
    assert not any(path.exists() for path in left)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_the_process_ends_with_a_service_that_is_killed(tmp_path: Path) -> None:
    with killed(tmp_path / "data", "--workers", "0") as (url, process):
        assert httpx.get(f"{url}/v1/compare", timeout=60).status_code == 422
        made = _documents_of(process.pid)
        assert len(made) == 1
        os.kill(made[0], signal.SIGKILL)
        _answers_in_time(f"{url}/v1/compare")
        again = _documents_of(process.pid)
        assert len(again) == 1 and again != made
    until(lambda: not Path(f"/proc/{again[0]}").exists(), 10, "the end of the other process")


def _answers_in_time(url: str) -> None:
    end = time.monotonic() + 30
    while (status := httpx.get(url, timeout=60).status_code) == 503 and time.monotonic() < end:
        time.sleep(0.2)
    assert status == 422


def _documents_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"radii.service.api.document_process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_a_request_with_a_body_is_answered_like_one_without(service: Service) -> None:
    async def act(documents: DocumentProcess) -> None:
        given = {"content-length": "5", "content-type": "application/json", "expect": "100-continue", "te": "trailers"}
        answer = await documents.answer(_request("/v1/compare", **given))
        assert (answer.status_code, NOTHING_TO_COMPARE in (await _body(answer)).decode()) == (422, True)

    _with_process(service.settings, act)


@pytest.mark.parametrize(
    ("running", "of_one_tenant", "documents"), [(8, 1, 2), (8, 5, 5), (2, 1, 1)], ids=["default", "more", "few"]
)
def test_documents_of_one_tenant_never_take_every_turn(running: int, of_one_tenant: int, documents: int) -> None:
    settings = Settings(running_requests=running, tenant_running_requests=of_one_tenant)
    assert running_of_one_tenant(settings) == documents
