"""Hostile files through the whole service, as a person who means harm would send them: each is refused with one clear
sentence or does nothing, none runs code, and the service goes on serving others.

``make test`` tries a sample, ``make hostile`` all of them. All files are sent first and then asked about, so that two
workers share them.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests_support.hostile import Canary, Case, every_case
from tests_support.live import running

from radii.service.client.client import Client

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]  # the first test waits for all files
CASES = every_case()
PATIENCE = 600.0
"""Seconds until all files are expected to have been looked at."""
LONGEST = 2_000
"""Characters of a sentence about a file, however large what is wrong with it."""
VAGUE = ("Traceback", "return code", 'File "', "please file", "site-packages", "errors.pydantic.dev")


@dataclass(frozen=True)
class Outcome:
    """What became of a file: the sentence that refuses it, or the answer that accepts it."""

    status: int
    detail: str | None
    answer: Mapping[str, Any]


@dataclass
class Site:
    """A service, what it was sent, and what it answered."""

    http: httpx.Client
    url: str
    process: Any
    log: Path
    canary: Canary
    outcomes: dict[str, Outcome]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A service that was sent every selected file."""
    folder = tmp_path_factory.mktemp("hostile")
    canary = Canary(folder / "canary")
    canary.folder.mkdir()
    canary.folder.chmod(0o777)  # whatever user a file's code may run as could leave a trace
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__) and hasattr(item, "callspec")
    ]
    limits = {"RADII_CONVERT_LIMIT": "60", "RADII_CONVERT_MEMORY": str(8 * 2**30), "RADII_LOCAL_WORKERS": "2"}
    with running(folder / "data", **limits) as (url, process), httpx.Client(base_url=url, timeout=120) as http:
        found = Site(http, url, process, folder / "data.log", canary, {})
        model = _good_checkpoint(url, folder)
        pending = {name: _sent(found, CASES[name], model) for name in names}
        found.outcomes = {
            name: sent if isinstance(sent, Outcome) else _ended(http, sent) for name, sent in pending.items()
        }
        yield found


def _good_checkpoint(url: str, folder: Path) -> str:
    from tests_support.hostile.metadata import stored_checkpoint

    (folder / "good.safetensors").write_bytes(stored_checkpoint())
    with Client(url) as client:
        return str(client.add_checkpoint("good", folder / "good.safetensors").id)


def _sent(site: Site, case: Case, model: str) -> Outcome | str:
    """The outcome where it is known at once, else where to ask for it."""
    files = case.files(site.canary)
    if case.door == "predictions":
        (body,) = files.values()
        query = {"checkpoint": model, "n": 100, "wait": 30}
        return _outcome(site.http.post("/v1/predictions", params=query, content=body))
    number = list(CASES).index(case.name)
    names = [f"{number}-{name}" if case.door == "comparison" else name for name in files]
    for name, content in zip(names, files.values(), strict=True):
        answer = site.http.put(f"/v1/uploads/{name}", content=content)
        if answer.status_code >= 400:
            return _outcome(answer)
    if case.door == "comparison":
        return _outcome(site.http.get("/v1/compare", params={"file": names}))
    body = {"name": case.name, **({"files": names} if case.door == "dataset" else {"file": names[0]}), **case.fields}
    answer = site.http.post(f"/v1/{case.door}s", json=body)
    return answer.headers["Location"] if answer.status_code < 300 else _outcome(answer)


def _ended(http: httpx.Client, location: str) -> Outcome:
    until = time.monotonic() + PATIENCE
    while (answer := http.get(location, params={"wait": 30})).json().get("state") == "pending":
        assert time.monotonic() < until, f"{location} is still pending"
    return _outcome(answer)


def _outcome(answer: httpx.Response) -> Outcome:
    body = answer.json()
    problem = body if answer.status_code >= 400 else body.get("problem")
    return Outcome(answer.status_code, None if problem is None else problem["detail"], body)


def _marked(case: Case) -> Any:
    return pytest.param(case.name, id=case.name, marks=[] if case.sampled else [pytest.mark.hostile])


@pytest.mark.parametrize("name", [_marked(case) for case in CASES.values()])
def test_a_hostile_file_is_refused_with_a_sentence_or_does_nothing(site: Site, name: str) -> None:
    found, harmless = site.outcomes[name], CASES[name].harmless
    assert found.status < 500 or found.status == 507, found.detail
    if found.detail is None:
        assert harmless is not None, f"accepted: {str(found.answer)[:500]}"
        assert harmless(found.answer)
    else:
        assert "expected" in found.detail and "got" in found.detail, found.detail
        assert len(found.detail) <= LONGEST
        assert found.detail.isprintable(), found.detail
        assert not any(sign in found.detail for sign in VAGUE), found.detail


def test_no_hostile_file_ran_code(site: Site) -> None:
    assert site.canary.traces() == []


def test_the_service_outlived_all_hostile_files(site: Site, tmp_path: Path) -> None:
    from tests_support.hostile.metadata import stored_checkpoint

    assert site.process.poll() is None
    requests = site.http.get("/metrics").text
    assert re.findall(r'radii_http_requests_total\{.*status="5\d\d".*\} [1-9].*', requests) == []
    assert "a local worker ended" not in site.log.read_text()
    assert site.http.get("/readyz").json()["ready"] is True
    (tmp_path / "good.safetensors").write_bytes(stored_checkpoint())
    with Client(site.url) as client:
        model = client.add_checkpoint("good", tmp_path / "good.safetensors")
        job = client.certify(
            checkpoint=model, dataset=client.add_dataset("digits", builtin="digits"), n=100, inputs={"count": 3}
        )
        assert len(list(job.wait(check=True).certificates())) == 3
