"""Commands about a job while the service is away, has no room or has no workers: against scripted answers."""

import functools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests_support.cli import radii

from radii.service.client import client, http

URL = "http://127.0.0.1:8000"
Play = Callable[..., list[httpx.Request]]
PROGRESS = {"done": 0, "total": 9, "unit": "inputs", "work_done": 0, "work_total": 9, "work_unit": "noise samples"}
GONE = httpx.ConnectError("refused")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Sets the answers, of which the last stays; pauses are not made, but time passes in them."""
    slept: list[float] = []
    monkeypatch.setattr(http.time, "sleep", slept.append)
    monkeypatch.setattr(http.time, "monotonic", lambda: sum(slept))

    def begin(*answers: httpx.Response | Exception) -> list[httpx.Request]:
        left, seen = list(answers), []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            found = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(found, Exception):
                raise found
            return found

        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(client, "Client", functools.partial(client.Client, transport=transport))
        return seen

    return begin


def job(state: str) -> httpx.Response:
    body: dict[str, Any] = {"id": "job_1", "kind": "certify", "state": state, "created": "2026-01-01T00:00:00Z"}
    return httpx.Response(200, json=body | {"spec": {}, "progress": PROGRESS | {"fraction": 0.0}})


def stream(*kinds: str) -> httpx.Response:
    rows = [
        {"job": "job_1", "seq": seq, "type": kind, "created": "2026-02-03T09:15:00Z", "data": {}}
        for seq, kind in enumerate(kinds)
    ]
    text = "".join(f"event: {row['type']}\ndata: {json.dumps(row)}\nid: {row['seq']}\n\n" for row in rows)
    return httpx.Response(200, text=text, headers={"Content-Type": "text/event-stream"})


def test_watch_outlasts_a_restart(play: Play) -> None:
    play(job("running"), *[GONE] * 12, job("succeeded"))
    result = radii("watch", "job_1")
    assert result.exit_code == 0 and "has succeeded" in result.stderr
    assert result.stderr.count(f"No answer from {URL}: refused; trying again for up to 5 min.") == 1


def test_watch_begins_while_the_service_is_away(play: Play) -> None:
    play(*[GONE] * 5, job("failed"))
    assert radii("watch", "job_1").exit_code == 1


def test_a_job_that_is_not_there_is_a_mistake_and_no_end_that_is_not_known(play: Play) -> None:
    play(httpx.Response(404, json={"title": "Not found.", "detail": "Not found: no such job.", "status": 404}))
    for command in ("watch", "events"):
        result = radii(command, "job_1")
        assert (result.exit_code, result.stderr) == (1, "radii: Not found: no such job.\n")


def test_watch_ends_with_3_where_the_end_is_not_known(play: Play) -> None:
    play(job("running"), GONE)
    result = radii("watch", "job_1")
    assert result.exit_code == 3
    assert "How the job ends is not known: `radii watch job_1` shows it again." in result.stderr


def test_events_end_with_3_and_say_how_to_go_on(play: Play) -> None:
    play(job("running"), job("running"), stream("queued", "running"), GONE)
    result = radii("events", "job_1")
    assert result.exit_code == 3 and len(result.stdout.splitlines()) == 2
    assert "`radii events job_1 --after 1` goes on from here." in result.stderr


def test_events_of_a_job_that_ended_end_with_0(play: Play) -> None:
    play(job("failed"), job("failed"), stream("queued", "failed"))
    assert radii("events", "job_1").exit_code == 0


def test_submit_says_that_the_queue_is_full_and_gives_up_with_the_services_words(play: Play) -> None:
    full = {"title": "There is too much work.", "detail": "There is too much work: expected 2 jobs, got 2 and 1 more."}
    seen = play(httpx.Response(429, json=full, headers={"Retry-After": "30"}))
    result = radii("submit", "--kind", "certify", "--checkpoint", "ckpt_1", "--dataset", "ds_1")
    assert result.exit_code == 1 and len(seen) == 11
    assert result.stderr.splitlines() == [
        f"{full['detail']} Trying again in 30 s, for up to 5 min.",
        f"radii: {full['detail']}",
    ]


def test_a_submission_to_an_address_that_never_answered_is_given_up_soon(play: Play) -> None:
    seen = play(GONE)
    result = radii("submit", "--kind", "certify", "--checkpoint", "ckpt_1", "--dataset", "ds_1")
    assert (result.exit_code, len(seen)) == (1, 2)
    assert result.stderr == f"radii: No answer from {URL}: refused.\n"


def test_a_submission_whose_job_cannot_be_followed_to_its_end_ends_with_3(play: Play) -> None:
    play(job("queued"), GONE)
    result = radii("submit", "--kind", "certify", "--checkpoint", "ckpt_1", "--dataset", "ds_1", "--wait")
    assert (result.exit_code, result.stdout) == (3, "job_1\n")


def readiness(*workers: str) -> httpx.Response:
    detail = "no worker was seen in the last 45 s: jobs wait until there is one"
    return httpx.Response(200, json={"workers": workers, "checks": {"workers": {"detail": detail}}})


def test_status_says_that_no_worker_is_there(play: Play) -> None:
    play(job("running"), readiness())
    assert radii("status", "job_1").stdout.endswith(
        "\nNo worker was seen in the last 45 s: jobs wait until there is one.\n"
    )


@pytest.mark.parametrize("answer", [readiness("w"), httpx.Response(404), httpx.Response(200, text="<html>")])
def test_status_says_nothing_where_there_is_one_or_nobody_knows(play: Play, answer: httpx.Response) -> None:
    play(job("running"), answer)
    result = radii("status", "job_1")
    assert result.exit_code == 0 and "worker" not in result.output
