"""Requests made up from the OpenAPI document, right and wrong ones: no server error, and every answer as documented.

Derandomised, so that a run does not fail by chance; ``RADII_TEST_EXAMPLES`` asks for more examples per operation.
"""

import contextlib
import os
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from schemathesis.generation import GenerationMode
from tests_support.over_http import Service

from worker.store import results

pytestmark = pytest.mark.long

EXAMPLES = int(os.environ.get("RADII_TEST_EXAMPLES", "5"))
HOST = {"Host": "127.0.0.1"}
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
COMPARED = ("GET /v1/compare", "GET /v1/compare.{format}", "GET /v1/compare/plots/certified-accuracy.{format}")
"""Operations whose things that are there are named in the query."""


@pytest.mark.filterwarnings("ignore")
def test_answers_are_as_documented_whatever_is_asked(service: Service) -> None:
    checks.load_all_checks()
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.app, headers=HOST)
    asking = Asking(asked=checks.CHECKS.get_by_names(CHECKS), real=things(service))
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        try_many(operation, GenerationMode.POSITIVE, asking)
        with contextlib.suppress(Unsatisfiable):  # there is nothing in the request that could be wrong
            try_many(operation, GenerationMode.NEGATIVE, asking)
    assert asking.tried > 30 * EXAMPLES
    assert asking.answered > 5 * EXAMPLES
    assert service.client.get("/readyz").status_code == 200


@dataclass
class Asking:
    """What is asked of each answer, things that are there, and how many requests were made and answered well."""

    asked: list[Any]
    real: dict[str, Any]
    tried: int = 0
    answered: int = 0


def try_many(operation: Any, mode: GenerationMode, asking: Asking) -> None:
    """Some requests of one operation; every other right one is about things that are there."""

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
        asking.tried += 1
        if asking.tried % 2 and mode == GenerationMode.POSITIVE:
            known = case.path_parameters.keys() & asking.real.keys()
            case.path_parameters.update({name: asking.real[name] for name in known})
            if operation.label in COMPARED:
                case.query.update({"job": [asking.real["job_id"]], "published": ["cifar10/cat_rs/0.25"]})
                for name in ("file", "baseline"):
                    case.query.pop(name, None)
        case.query.pop("wait", None)
        answer = case.call_and_validate(headers=HOST, checks=asking.asked)
        asking.answered += answer.status_code < 300

    try_one()


def things(service: Service) -> dict[str, Any]:
    """Identifiers of things that are there."""
    job_id = service.submitted()
    service.work(job_id, most=2)
    with service.database.write() as session:
        results.store_failure(session, job_id, service.job(job_id).spec, 9, 1, "an error")
    return {
        "job_id": job_id,
        "dataset_id": service.dataset(),
        "checkpoint_id": service.checkpoint(),
        "sha256": service.client.put("/v1/uploads/kept", content=b"bytes").json()["sha256"],
    }
