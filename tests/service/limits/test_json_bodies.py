"""JSON bodies that would cost more than a request is worth are refused before they are validated."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests_support.over_http import Service

from radii.rs_core.data.dataset_info import MAX_CLASS_NAMES_TEXT
from radii.rs_core.specs import validation_errors
from radii.service.errors import InvalidRequest
from radii.service.limits import json_bodies, request_bodies

FEW_KIB = 16 * 2**10


@pytest.fixture(autouse=True)
def large_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds hold whatever the largest body of a route may be."""
    monkeypatch.setattr(request_bodies, "JSON_BODY", 2**24)


def post(service: Service, body: bytes, path: str = "/v1/jobs") -> dict[str, Any]:
    answer = service.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text[:500]
    assert len(answer.content) < FEW_KIB
    found: dict[str, Any] = answer.json()
    return found


def test_a_body_of_900_000_unknown_fields_is_refused_before_it_is_parsed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"{" + b",".join(b'"f%d":0' % number for number in range(900_000)) + b"}"
    monkeypatch.setattr(json_bodies, "json", SimpleNamespace(loads=lambda _: pytest.fail("parsed")))
    assert "expected a body with at most 200,000 values, got about 900,000" in post(service, body)["detail"]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_object_of_too_many_fields_is_refused_at_any_depth(service: Service, depth: int) -> None:
    body: Any = {f"field{number}": 0 for number in range(5_000)}
    for _ in range(depth):
        body = {"kind": "train", "method": [body]}
    assert "at most 200 fields, got one with 5,000" in post(service, json.dumps(body).encode())["detail"]


@pytest.mark.parametrize("colon", [":", " :", "\n\t: "])
def test_a_body_of_too_many_fields_is_not_parsed_to_its_end(colon: str) -> None:
    body = "[" + ",".join(f'{{"a{number}"{colon}1}}' for number in range(10_001)) + ",this is no JSON"
    with pytest.raises(InvalidRequest, match="at most 10,000 fields, got more"):
        json_bodies.parse(body.encode())


def test_repeated_names_count_as_fields() -> None:
    body = "[" + ",".join('{"a":1,"a":2}' for _ in range(5_001)) + "]"
    with pytest.raises(InvalidRequest, match="at most 10,000 fields"):
        json_bodies.parse(body.encode())


def test_colons_in_text_are_no_fields() -> None:
    text = '":' * 20_000
    assert json_bodies.parse(json.dumps({"name": text}).encode()) == {"name": text}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_json_in_another_encoding_than_utf_8_is_refused(service: Service, encoding: str) -> None:
    answer = service.client.post(
        "/v1/jobs", content='{"kind": "certify"}'.encode(encoding), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert "JSON" in answer.json()["detail"]


def test_of_many_wrong_fields_20_are_described_and_the_rest_are_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    near = validation_errors.difflib.get_close_matches
    monkeypatch.setattr(
        validation_errors.difflib, "get_close_matches", lambda *a, **k: compared.append(a[0]) or near(*a, **k)
    )
    body = {"kind": "certify", "dataset": "d", "checkpoint": "c"} | {f"f{n}": n for n in range(190)}
    found = post(service, json.dumps(body).encode())
    assert len(found["errors"]) == 20
    assert found["more_errors"] == 170
    assert found["detail"].endswith("; and 185 more.")
    assert len(compared) == 20


def test_long_names_and_values_are_cut(service: Service) -> None:
    body = {"kind": "certify", "dataset": ["d" * 10**6] * 3, "checkpoint": {"a": {"b": "c" * 10**6}}}
    body |= {f"{n}" * 50_000: [["x" * 10**5]] * 5 for n in range(10)}
    found = post(service, json.dumps(body).encode())
    assert len(found["errors"]) + found.get("more_errors", 0) == 12
    assert all(len(text) <= 1_000 for fault in found["errors"] for text in fault.values())


def test_a_list_of_100_000_wrong_items_is_one_error(service: Service) -> None:
    body = {"name": "d", "files": ["f"], "class_names": [1] * 100_000}
    found = post(service, json.dumps(body).encode(), "/v1/datasets")
    assert [fault["location"] for fault in found["errors"]] == ["body.class_names.0"]
    corrupt = {"dataset": "d", "severities": [0] * 100_000, "corruptions": ["x"] * 90_000}
    found = post(service, json.dumps({"name": "d", "corrupt": corrupt}).encode(), "/v1/datasets")
    assert len(found["errors"]) == 2 and "more_errors" not in found


def test_class_names_are_bounded_in_all(service: Service) -> None:
    body = {"name": "d", "files": ["f"], "class_names": ["x" * 199] * (MAX_CLASS_NAMES_TEXT // 199 + 1)}
    found = post(service, json.dumps(body).encode(), "/v1/datasets")
    assert "class_names: expected names of at most 524,288 characters together, got 524," in found["detail"]


@pytest.mark.parametrize("place", [{"name": "\ud800"}, {"files": ["a\udfff"]}, {"\udc00": 1}])
def test_a_lone_surrogate_is_refused(service: Service, place: dict[str, Any]) -> None:
    body = json.dumps({"name": "d", "files": ["f"]} | place).encode()
    assert "expected text in Unicode, got a lone surrogate" in post(service, body, "/v1/datasets")["detail"]


def test_an_escaped_pair_of_surrogates_is_a_character(service: Service) -> None:
    body = b'{"name": "\\ud83d\\ude00", "builtin": "digits"}'
    answer = service.client.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["name"]) == (202, "\U0001f600")


def test_a_large_body_is_parsed_outside_the_event_loop(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    threads: list[str] = []
    parse = json_bodies.parse
    monkeypatch.setattr(
        json_bodies, "parse", lambda body: threads.append(threading.current_thread().name) or parse(body)
    )
    post(service, json.dumps({"kind": "certify", "x": "y" * json_bodies.LARGE}).encode())
    post(service, json.dumps({"kind": "certify"}).encode())
    assert "worker" in threads[0].lower() and threads[0] != threads[1]


def test_what_is_no_json_is_told_as_before(service: Service) -> None:
    assert "expected JSON, got text with an error at character 1" in post(service, b"{x}")["detail"]


@pytest.mark.parametrize("shape", ['{"a":%s}', "[%s]"])
def test_a_body_of_many_levels_is_refused_before_it_is_validated(service: Service, shape: str) -> None:
    text = "1"
    for _ in range(json_bodies.MOST_LEVELS + 1):
        text = shape % text
    answer = service.client.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "expected JSON of at most 64 levels, got more levels" in answer.json()["detail"]
    assert len(answer.content) < FEW_KIB
