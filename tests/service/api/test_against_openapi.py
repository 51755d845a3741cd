"""Requests made up from the OpenAPI document, right and wrong ones, alone and in sequences, on a service that holds something
of everything: no server error, and every answer as documented.

Derandomized, so that a run does not fail by chance; ``RADII_TEST_EXAMPLES`` asks for more examples per operation.
"""

import contextlib
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from schemathesis.generation import GenerationMode
from tests_support.over_http import Service
from tests_support.populated import populated

pytestmark = pytest.mark.long

EXAMPLES = int(os.environ.get("RADII_TEST_EXAMPLES", "5"))
SEQUENCES, STEPS = 2 * EXAMPLES, 8
HOST = {"Host": "127.0.0.1"}
IDENTIFIER = re.compile(r"[a-z]+_[0-9a-f]{28}")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "allow_header_conformance",
)
SLOW = (
    "GET /v1/jobs/{job_id}/plots/{name}.{format}",
    "GET /v1/jobs/{job_id}/report.{format}",
    "GET /v1/compare.{format}",
    "GET /v1/compare/plots/certified-accuracy.{format}",
)
KIND_OF_JOB = {
    "epochs": "train",
    "predictions": "predict",
    "predictions.{format}": "predict",
    "evaluations": "evaluate",
    "evaluations.{format}": "evaluate",
}
"""Whose rows an operation shows, by the end of its path; a certification has all others."""


@dataclass
class Populated:
    """The service, what it holds, and how its operations have answered so far."""

    service: Service
    things: dict[str, str]
    well: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)

    @property
    def schema(self) -> Any:
        """The document of the running application."""
        return schemathesis.openapi.from_asgi("/openapi.json", self.service.app, headers=HOST)

    def operations(self) -> Iterator[Any]:
        """All operations."""
        return (operation.ok() for operation in self.schema.get_all_operations())

    def noted(self, label: str, answer: Any) -> None:
        """Remembers an answer."""
        self.tried[label] += 1
        self.well[label] += answer.status_code < 300


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Populated]:
    """A service that a worker has filled, and that has no worker any more."""
    with populated(tmp_path_factory.mktemp("populated")) as (service, things):
        yield Populated(service, things)


def about_things(case: Any, things: dict[str, str]) -> None:
    """Puts what is there into a request in place of what was made up; what is to be deleted is a spare."""
    path, spare = case.operation.path, "spare_" if case.operation.method == "delete" else ""
    job = "predictions" if "/predictions/{" in path else KIND_OF_JOB.get(path.rpartition("}/")[2], "certify")
    known: dict[str, Any] = {
        "job_id": things["spare_job" if spare else job],
        "dataset_id": things[f"{spare}dataset"],
        "checkpoint_id": things[f"{spare}checkpoint"],
        "sha256": things["sha256"],
        "upload_id": things[f"{spare}parts"],
        "number": 0,
        "method": "cat_rs",
        "sigma": "0.25",
        "dataset": "cifar10",
    }
    if path == "/v1/uploads/{name}" and case.method != "PUT":
        known["name"] = "spare" if spare else things["upload"]
    if path == "/v1/jobs/{job_id}/plots/{name}.{format}":
        known["name"] = "certified-accuracy"
    case.path_parameters.update({name: known[name] for name in case.path_parameters.keys() & known.keys()})
    for name in ("cursor", "if-none-match", "Idempotency-Key"):
        case.query.pop(name, None)
        case.headers.pop(name, None)
    if path.startswith("/v1/compare"):
        case.query = {"job": [things["certify"]], "published": ["cifar10/cat_rs/0.25"]}
    if case.method == "POST" or case.method == "PUT":
        _with_a_body(case, things)


def _with_a_body(case: Any, things: dict[str, str]) -> None:
    """The body of a request that makes something out of what is there."""
    both = [things["checkpoint"], things["checkpoint"]]
    bodies: dict[str, Any] = {
        "/v1/datasets": {"name": "digits", "builtin": "digits"},
        "/v1/checkpoints": {"name": "both", "compose": {"kind": "ensemble", "parts": both}},
        "/v1/predictions": [[[0.0] * 8] * 8],
        "/v1/uploads/{upload_id}/parts/{number}": b"12345",
    }
    if case.operation.path in bodies:
        case.body = bodies[case.operation.path]
    if case.operation.path == "/v1/predictions":
        case.query, case.media_type = {"checkpoint": things["checkpoint"], "n": 100}, "application/json"
    if case.operation.path == "/v1/jobs" and isinstance(case.body, dict):
        case.body.update({name: things[name] for name in ("dataset", "checkpoint") if name in case.body})


def try_many(operation: Any, mode: GenerationMode, site: Populated, prepare: Callable[[Any], None]) -> None:
    """Some requests of one operation."""

    @settings(
        max_examples=2 if operation.label in SLOW else EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_one(case: Any) -> None:
        prepare(case)
        case.query.pop("wait", None)
        answer = case.call_and_validate(headers=HOST, checks=_checks())
        site.noted(operation.label, answer)

    try_one()


def _checks() -> list[Any]:
    checks.load_all_checks()
    return list(checks.CHECKS.get_by_names(CHECKS))


@pytest.mark.filterwarnings("ignore")
def test_every_operation_has_a_right_answer_about_what_is_there(site: Populated) -> None:
    for operation in site.operations():
        try_many(operation, GenerationMode.POSITIVE, site, lambda case: about_things(case, site.things))
    silent = [operation.label for operation in site.operations() if not site.well[operation.label]]
    assert silent == [], silent


@pytest.mark.filterwarnings("ignore")
def test_answers_are_as_documented_whatever_is_asked(site: Populated) -> None:
    for operation in site.operations():
        try_many(operation, GenerationMode.POSITIVE, site, lambda case: None)
        with contextlib.suppress(Unsatisfiable):  # there is nothing in the request that could be wrong
            try_many(operation, GenerationMode.NEGATIVE, site, lambda case: None)
    assert site.tried.total() > 30 * EXAMPLES
    assert site.service.client.get("/readyz").status_code == 200


def restore(target: Path | sqlite3.Connection, source: Path | sqlite3.Connection) -> None:
    """Makes one database what another one is."""
    into = sqlite3.connect(target) if isinstance(target, Path) else target
    of = sqlite3.connect(source) if isinstance(source, Path) else source
    of.backup(into)
    for one in (into, of):
        if one not in (target, source):
            one.close()


@pytest.mark.filterwarnings("ignore")
def test_sequences_of_requests_are_answered_as_documented(site: Populated) -> None:
    answered: Counter[str] = Counter()
    followed: Counter[str] = Counter()
    kept = sqlite3.connect(":memory:")
    restore(kept, site.service.settings.data / "radii.db")

    class Sequence(site.schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            restore(site.service.settings.data / "radii.db", kept)  # or Hypothesis would see another service each time
            self.made: set[str] = set()

        def before_call(self, case: Any) -> None:
            case.query.pop("wait", None)
            if not self.linked(case):
                about_things(case, site.things)

        def linked(self, case: Any) -> bool:
            """Whether the request is about something that an earlier one of the sequence was answered."""
            return not self.made.isdisjoint(map(str, case.path_parameters.values()))

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": HOST}

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            if response.status_code < 300:
                answered[case.operation.label] += 1
                followed.update([case.operation.label] if self.linked(case) else [])
                self.made |= set(IDENTIFIER.findall(response.content.decode(errors="replace")))

        def validate_response(self, response: Any, case: Any, additional_checks: Any = (), **more: Any) -> None:
            case.validate_response(response, checks=_checks())

    Sequence.run(
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
    assert len(answered) >= 15, answered
    assert answered["POST /v1/jobs"] or answered["POST /v1/checkpoints"], "nothing was made of what is there"
    of_jobs = {label for label in followed if label.startswith("GET /v1/jobs/{job_id}/")}
    assert of_jobs - {"GET /v1/jobs/{job_id}/events"}, f"no results of a job were read: {followed}"
    assert len(followed) >= 4 and followed.total() >= SEQUENCES // 2, followed
    assert site.service.client.get("/readyz").status_code == 200
